"""Print the accuracies of a setting beside the published ones, from the last line of each file of ``omni eval``.

python3 results.py minikinetics out/teacher-2d.eval.jsonl out/student-2d.all.eval.jsonl
"""

import json
import sys
from pathlib import Path

# Top-1 without web data and per run. MiniKinetics: model zoo of mmaction2; the others: OmniSource Tables 2, 5 and 6.
PUBLISHED = {
    "minikinetics": {
        "teacher-2d": 77.4, "student-2d.google": 78.0, "student-2d.images": 78.6, "student-2d.videos": 80.6,
        "student-2d.long": 78.6, "student-2d.all": 81.3,
        "teacher-3d": 78.6, "student-3d.google": 80.8, "student-3d.images": 81.3, "student-3d.videos": 82.4,
        "student-3d.long": 80.3, "student-3d.all": 82.9,
    },
    "k400": {
        "teacher-2d": 70.6, "student-2d.google": 71.5, "student-2d.images": 72.0, "student-2d.videos": 72.0,
        "student-2d.long": 71.7, "student-2d.all": 73.6,
        "teacher-3d": 72.9, "student-3d.all": 76.8,
    },
    "car": {"teacher-2d": 77.05, "student-2d.google": 80.96, "student-2d.videos": 81.68, "student-2d.all": 81.95},
    "ucf101": {"teacher-2d": 86.04, "student-2d.google": 88.74},
}  # fmt: skip


def row(file: Path, published: dict[str, float]) -> str:
    """One line of the table, from the summary that ends the output of ``omni eval``."""
    name = file.name.removesuffix(".eval.jsonl")
    summary = json.loads(file.read_text().splitlines()[-1])
    top1, top5, mean_ap = (100 * (summary.get(key) or 0.0) for key in ("top1_acc", "top5_acc", "mean_ap"))
    expected = f"{published[name]:9.2f}" if name in published else "        -"
    return f"{name:20} {top1:6.2f} {top5:6.2f} {mean_ap:6.2f} {expected}"


def main() -> None:
    """Print the table."""
    setting, *files = sys.argv[1:]
    print(f"{'model':20} {'top-1':>6} {'top-5':>6} {'mAP':>6} {'published':>9}")
    for file in files:
        print(row(Path(file), PUBLISHED.get(setting, {})))


if __name__ == "__main__":
    main()
