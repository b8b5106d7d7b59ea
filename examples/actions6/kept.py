"""What each rule keeps of the images: how many, how many of them are right, and how evenly over the classes.

Reads OUT/runs and DATA/manifest.csv, whose true labels no stage reads.
"""

import csv
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from tables import markdown

# rule → its list of kept images, relative to OUT/runs
RULES = {
    "paper": "few/{draw}/paper/image.jsonl",
    "tenth": "paper/{draw}/tenth/image.jsonl",
    "per class": "paper/{draw}/per class/image.jsonl",
    "agree": "paper/{draw}/agree/image.jsonl",
    "query all": "paper/{draw}/query all/image.jsonl",
    "query each": "paper/{draw}/query each/image.jsonl",
}
SCORED = "few/{draw}/first/image.scored.jsonl"
FEW = 5  # right images of a class
HEADING = f"""## What the rules keep of the images

Means over draws. *Right*: the image shows the class that it is labelled with. *Largest*: the share of the class with
the most images. *Scarce*: classes with fewer than {FEW} right images.
"""
TEACHERS = """How the teachers see the crawl. *Known*: of the images that show their query, the share whose best class
is right. *Agrees on noise*: of the images of no class, the share whose best class is the query. *Noise of the surest*:
of the 30 % with the highest confidence, the share that shows no class.
"""


def read_truth(manifest: Path) -> dict[str, str]:
    """Path of a web file, relative to DATA → the class that it shows, or noise."""
    with manifest.open(encoding="utf-8", newline="") as file:
        return {line["path"]: line["true_label"] for line in csv.DictReader(file)}


def kept_tables(out: Path, truth: dict[str, str]) -> str:
    """The images that the rules of the study ``paper`` keep, and how well the teachers know the images that fit."""
    kept: dict[tuple[int, str], list[tuple[float, ...]]] = defaultdict(list)
    known: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for finished in sorted((out / "eval" / "paper" / "query each").glob("k*-s*.jsonl")):
        draw, clips = finished.stem, int(re.match(r"k(\d+)-", finished.stem)[1])
        scored = read(out / "runs" / SCORED.format(draw=draw))
        fit = [line for line in scored if truth[line["id"]] == line["query"]]
        classes = {line["query"] for line in scored}
        surest = sorted(scored, key=lambda line: -line["confidence"])[: round(0.3 * len(scored))]
        known[clips].append((
            np.mean([line["pseudo_class"] == truth[line["id"]] for line in fit]),
            np.mean([line["pseudo_class"] == line["query"] for line in scored if truth[line["id"]] not in classes]),
            np.mean([truth[line["id"]] not in classes for line in surest]),
        ))  # fmt: skip
        for rule, name in RULES.items():
            kept[clips, rule].append(of_list(read(out / "runs" / name.format(draw=draw)), truth, classes))
    if not kept:
        return ""
    rows = [
        (clips, rule, f"{mean[0]:.0f}", f"{mean[1]:.0%}", f"{mean[2]:.0%}", f"{mean[3]:.1f}")
        for clips in sorted(known)
        for rule in RULES
        for mean in [np.mean(kept[clips, rule], axis=0)]
    ]
    teachers = [(clips, *(f"{value:.0%}" for value in np.mean(known[clips], axis=0))) for clips in sorted(known)]
    return "\n".join([HEADING, markdown("clips|rule|images|right|largest|scarce", rows), TEACHERS,
                      markdown("clips|known|agrees on noise|noise of the surest", teachers)])  # fmt: skip


def read(path: Path) -> list[dict[str, object]]:
    """The records of a list."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def of_list(records: list[dict[str, object]], truth: dict[str, str], classes: set[str]) -> tuple[float, ...]:
    """Images, share that is right, share of the largest class, classes with fewer than FEW right images."""
    given = Counter(record["pseudo_class"] for record in records)
    right = Counter(record["pseudo_class"] for record in records if truth[record["id"]] == record["pseudo_class"])
    num = max(len(records), 1)
    return len(records), right.total() / num, max(given.values(), default=0) / num, sum(right[c] < FEW for c in classes)
