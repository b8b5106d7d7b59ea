"""omni: webly-supervised video recognition (OmniSource), one shell stage at a time."""

__version__ = "0.2.0"
