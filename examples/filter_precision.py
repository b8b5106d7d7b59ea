#!/usr/bin/env python3
"""Measure a filter on the rendered world: label precision per query before and after filtering.

    python examples/filter_precision.py world/truth.jsonl --kept kept.jsonl --rejects rejects.jsonl

"right before" is the share of readable records that show the class they were searched for. "right after" is the share
of kept records that show their pseudo-label. Ids must end in the paths of truth.jsonl, as ``omni index`` writes them.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any


def read(paths: list[Path]) -> list[dict[str, Any]]:
    """All lines of all files."""
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def true_class(truth: dict[str, str | None], name: str) -> str | None:
    """The class that a file shows; None for no class."""
    return truth["web/" + name.split("web/", 1)[1]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--kept", type=Path, nargs="+", required=True)
    parser.add_argument("--rejects", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    truth = {line["path"]: line["class_name"] for line in read([options.truth])}
    readable = [line for line in read(options.rejects) if not line["reason"].startswith("unreadable")]
    kept = read(options.kept)
    counts: Counter[tuple[str, str]] = Counter()
    for record in readable + kept:
        for query in (record["query"], "all"):
            counts[query, "in"] += 1
            counts[query, "right"] += true_class(truth, record["id"]) == record["query"]
    for record in kept:
        for query in (record["query"], "all"):
            counts[query, "kept"] += 1
            counts[query, "kept right"] += true_class(truth, record["id"]) == record["pseudo_class"]
    print(f"{'query':<20}{'readable':>9}{'right before':>14}{'kept':>6}{'right after':>13}")
    for query in [*sorted({name for name, _ in counts} - {"all"}), "all"]:
        num_readable, num_kept = counts[query, "in"], counts[query, "kept"]
        before, after = counts[query, "right"] / max(num_readable, 1), counts[query, "kept right"] / max(num_kept, 1)
        print(f"{query:<20}{num_readable:>9}{before:>14.0%}{num_kept:>6}{after:>13.0%}")


if __name__ == "__main__":
    main()
