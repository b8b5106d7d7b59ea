"""Camera motion as homographies: fitted parameters, and images seen by a moving camera (Eq. 2)."""
