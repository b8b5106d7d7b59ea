"""Self-contained HTML pages of records, metrics and camera motion."""
