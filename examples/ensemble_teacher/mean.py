#!/usr/bin/env python3
"""Average the scores that several teachers give to the query of each record.

    python mean.py SCORED.jsonl SCORED.jsonl > mean.jsonl

The files are those of omni filter --score-only on the same records, in the same order.
"""

import json
import sys
from pathlib import Path


def mean_of(lines: list[str]) -> str:
    """One line from one line of every file; raises SystemExit where they are of different records."""
    records = [json.loads(line) for line in lines]
    if len({record["id"] for record in records}) > 1:
        raise SystemExit(f"expected the same record in every file, got {', '.join(record['id'] for record in records)}")
    score = sum(record["query_score"] for record in records) / len(records)
    return json.dumps({**records[0], "query_score": round(score, 6)})


if __name__ == "__main__":
    for lines in zip(*(Path(path).read_text().splitlines() for path in sys.argv[1:]), strict=True):
        print(mean_of(list(lines)))
