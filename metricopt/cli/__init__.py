"""The command line: what is typed, and the runs on tables behind it."""
