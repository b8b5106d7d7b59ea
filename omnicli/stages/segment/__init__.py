"""Untrimmed videos to snippets or clips (OmniSource Sec. 3.5)."""
