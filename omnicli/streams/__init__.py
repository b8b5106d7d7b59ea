"""Streams of records: readers, outputs and their journal, parts of the input, HDF5 shards."""
