"""HDF5 shards: records with arrays."""
