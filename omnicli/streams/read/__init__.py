"""Readers: inputs of every kind as one stream of records."""
