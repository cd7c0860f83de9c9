"""Competing objectives as plain torch losses, relaxations and reweightings, one a file."""
