"""Single studies, one a file."""
