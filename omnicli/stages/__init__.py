"""What the paper says: one file per step; records in, records out."""
