"""Camera motion as homographies: fitted distributions, and images seen by a moving camera (OmniSource Eq. 2)."""
