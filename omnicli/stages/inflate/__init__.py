"""Web images to clips by a moving camera (OmniSource Sec. 3.5, Eq. 2)."""
