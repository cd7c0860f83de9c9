"""What rows can testify: intervals, bands, reports on given scores, certification."""
