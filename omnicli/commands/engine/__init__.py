"""Engines of `-o DIR/`: the driver hands jobs to worker processes of this machine or of a Ray cluster."""
