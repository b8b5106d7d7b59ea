"""Top-1 accuracy of the settings of compare.sh in %, then differences, as Markdown: python table.py NAME=OUT...

The last row of each problem is over all numbers of clips. A difference is that of the default to the setting, with its
95 % interval over draws of the labelled clips and over test clips or recordings (``actions6/runs.py``).
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "actions6"))

from runs import Runs, paired, read_runs
from tables import markdown

SETTINGS = ("target", "unfiltered", "paper", "default", "second")


def main() -> None:
    """Print the two tables of all problems."""
    means, differences = [], []
    for argument in sys.argv[1:]:
        name, _, folder = argument.partition("=")
        found = read_runs(Path(folder) / "eval")
        clips = sorted({number for _, number, _ in found})
        rows = {str(number): {setting: found["weak", number, setting] for setting in SETTINGS} for number in clips}
        rows["all"] = {setting: joined([found["weak", k, setting] for k in clips]) for setting in SETTINGS}
        for number, runs in rows.items():
            means.append((name, number, *(f"{100 * runs[setting].mean:.1f}" for setting in SETTINGS)))
            differences.append((name, number, *(difference(runs, other) for other in ("target", "unfiltered"))))
    print(markdown(f"problem|clips|{'|'.join(SETTINGS)}", means))
    print(markdown("problem|clips|default - target|default - unfiltered", differences), end="")


def joined(runs: list[Runs]) -> Runs:
    """The draws of several numbers of clips."""
    return Runs(
        *(np.concatenate([one.by(measure) for one in runs]) for measure in ("top-1", "log loss")),
        np.concatenate([one.by("log loss at its temperature") for one in runs]),
        tuple(seed + 1000 * index for index, one in enumerate(runs) for seed in one.seeds),
        runs[0].units,
    )


def difference(runs: dict[str, Runs], other: str) -> str:
    """The paired difference of the default to another setting, with its 95 % interval."""
    change, low, high = (100 * value for value in paired(runs["default"], runs[other]))
    return f"{change:+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
