"""omni: webly-supervised video recognition (OmniSource), one shell stage at a time."""

import os

__version__ = "0.1.0"

# Read by OpenMP when torch loads it: its idle threads sleep instead of spinning, so that decoders and other jobs of the
# machine get the cores. A teacher's forward pass ran 2 to 4 times faster so wherever anything else was running.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
