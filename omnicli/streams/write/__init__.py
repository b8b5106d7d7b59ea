"""Atomic outputs, and the journal of a run that can be resumed."""
