"""What the user types: parse, open, call one stage, write."""
