"""Class balance of auxiliary data (OmniSource Sec. 3.6; IG-65M Sec. 3.1)."""
