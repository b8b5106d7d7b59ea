"""Streams that a stage reads more than once."""
