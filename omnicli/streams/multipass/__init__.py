"""Streams that are read more than once, line by line."""
