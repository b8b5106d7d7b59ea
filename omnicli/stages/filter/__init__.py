"""Teacher filtering of web data (OmniSource Sec. 3.2, 3.4)."""
