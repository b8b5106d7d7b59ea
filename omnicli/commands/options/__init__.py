"""Typed groups of options, each spelled once."""
