"""What a training returns: the result, its words, pictures and page, and how it is stored and exported."""
