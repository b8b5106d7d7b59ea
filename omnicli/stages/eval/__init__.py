"""Testing, fusion and comparison of models (OmniSource Sec. 5)."""
