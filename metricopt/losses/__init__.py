"""Competing objectives as plain torch losses, relaxations and reweightings, one a file; they come in a later release."""
