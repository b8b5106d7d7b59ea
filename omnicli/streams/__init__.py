"""Records on the move: inputs, outputs and their journal, sharding, HDF5 shards."""
