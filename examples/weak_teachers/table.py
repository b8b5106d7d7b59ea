"""Top-1 accuracy of the settings of compare.sh as a Markdown table: python table.py NAME=OUT...

The last row of each problem is over all numbers of clips. A difference is that of the default to the setting, with its
95 % interval over draws of the labelled clips and over test clips or recordings (``actions6/runs.py``).
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "actions6"))

from runs import Runs, paired, read_runs

SETTINGS = ("target", "unfiltered", "paper", "default", "second")


def main() -> None:
    """Print the table of every problem."""
    print("| problem | clips | " + " | ".join(SETTINGS) + " | default - target | default - unfiltered |")
    print("|---|---|" + "---|" * (len(SETTINGS) + 2))
    for argument in sys.argv[1:]:
        name, _, folder = argument.partition("=")
        found = read_runs(Path(folder) / "eval")
        clips = sorted({number for _, number, _ in found})
        for number in clips:
            print(row(name, str(number), {setting: found["weak", number, setting] for setting in SETTINGS}))
        print(row(name, "all", {setting: joined([found["weak", k, setting] for k in clips]) for setting in SETTINGS}))


def joined(runs: list[Runs]) -> Runs:
    """The draws of several numbers of clips."""
    return Runs(
        *(np.concatenate([one.by(measure) for one in runs]) for measure in ("top-1", "log loss")),
        np.concatenate([one.by("log loss at its temperature") for one in runs]),
        tuple(seed + 1000 * index for index, one in enumerate(runs) for seed in one.seeds),
        runs[0].units,
    )


def row(name: str, clips: str, runs: dict[str, Runs]) -> str:
    """One line of the table."""
    means = [f"{100 * runs[setting].mean:.1f}" for setting in SETTINGS]
    differences = []
    for other in ("target", "unfiltered"):
        difference, low, high = (100 * value for value in paired(runs["default"], runs[other]))
        differences.append(f"{difference:+.1f} [{low:+.1f}, {high:+.1f}]")
    return f"| {name} | {clips} | " + " | ".join([*means, *differences]) + " |"


if __name__ == "__main__":
    main()
