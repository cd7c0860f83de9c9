"""What is written of results: statistics, comparisons, pictures and pages."""
