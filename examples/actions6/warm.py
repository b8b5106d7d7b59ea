#!/usr/bin/env python3
"""Run omni commands one after the other in one process, which imports torch once.

    python warm.py < commands

Each line of stdin holds the arguments of one command, separated by the unit separator (0x1F). Each line of stdout is an
exit code. The stdout of the commands is discarded: they write to files (-o). warm.sh uses this script.
"""

import os
import sys


def main() -> None:
    """Run the command of every line."""
    lines, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nobody = os.open(os.devnull, os.O_RDWR)
    os.dup2(nobody, 0)
    os.dup2(nobody, 1)
    from omnicli.app import app

    for line in lines:
        sys.argv = ["omni", *line.rstrip("\n").split("\x1f")]
        try:
            app(prog_name="omni")
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        print(code, file=answers, flush=True)


if __name__ == "__main__":
    main()
