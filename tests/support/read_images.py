"""Reading images in a process of its own, to see all that it prints."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from omnicli.errors import MediaError
from omnicli.media.image import read_image
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_image(path.read_bytes())
    except MediaError as error:
        print(error)
"""


def read_in_a_process(folder: Path, *, then: str = "") -> subprocess.CompletedProcess[str]:
    """The errors of the images in a folder on stdout, a line each; ``then`` is run after it."""
    command = [sys.executable, "-c", SCRIPT + then, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)
