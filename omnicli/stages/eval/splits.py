"""The mean over splits, as UCF101 and HMDB51 are reported (OmniSource Table 4): each split has a model of its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnicli.errors import InputError

METRICS = ("top1_acc", "top5_acc", "mean_class_acc", "mean_ap")


def mean_of_splits(paths: Sequence[Path]) -> dict[str, Any]:
    """The mean of the metrics of several tests, each split counting once.

    Args:
        paths: outputs of ``omni eval``, whose last line is the summary.

    Returns:
        The means of the metrics that all have, ``num_videos`` of all, ``view``, and ``splits``, the metrics of each.

    Raises:
        InputError: no output of eval, or tests with other metrics or views.
    """
    summaries = [read_summary(path) for path in paths]
    first = summaries[0]
    metrics = [name for name in METRICS if name in first]
    for path, summary in zip(paths, summaries, strict=True):
        if [name for name in METRICS if name in summary] != metrics:
            raise InputError(f"{path}: has other metrics than {paths[0]}: expected {', '.join(metrics)}")
        if summary.get("view") != first.get("view"):
            raise InputError(
                f"{path}: tested with {summary.get('view')}, but {paths[0]} with {first.get('view')}; test all splits "
                "in the same way"
            )
    shown = [*metrics, "num_videos"]
    splits = [{"file": str(path), **{name: each.get(name) for name in shown}}
              for path, each in zip(paths, summaries, strict=True)]  # fmt: skip
    means = {name: sum(each[name] for each in summaries) / len(summaries) for name in metrics}
    return {
        **means, "num_videos": sum(each.get("num_videos", 0) for each in summaries), "view": first.get("view"),
        "splits": splits,
    }  # fmt: skip


def read_summary(path: Path) -> dict[str, Any]:
    """The last line of an output of eval. Raises InputError: there is none."""
    last = b""
    try:
        with path.open("rb") as file:
            for line in file:
                last = line if line.strip() else last
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'read error').lower()}") from None
    try:
        summary = json.loads(last)
    except ValueError:
        summary = None
    if not isinstance(summary, dict) or not any(isinstance(summary.get(name), float | int) for name in METRICS):
        raise InputError(f"{path}: its last line is not a summary of omni eval, with {', '.join(METRICS[:2])}")
    return summary
