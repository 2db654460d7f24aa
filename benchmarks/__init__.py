"""Measures how fast rotator is, and prints tables. It asserts nothing; no test depends on a time."""
