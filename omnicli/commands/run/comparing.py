"""``eval --baseline``: the scores of another model beside those of this one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.stages.eval.fusion import ScoreSet

PRINTED = {"top1_acc": "top-1", "top5_acc": "top-5", "mean_class_acc": "mean-class", "mean_ap": "mAP"}


def check_baseline(baseline: Path | None, shards_dir: Path | None) -> None:
    """Raises UsageError: --shards would overwrite what it is compared with."""
    if baseline and shards_dir and shards_dir.resolve() in {baseline.resolve(), baseline.parent.resolve()}:
        raise UsageError(f"--shards {shards_dir}: holds the scores of --baseline; give another folder")


def load_baseline(path: Path, classes: Sequence[str], *, whose: str, fused: "ScoreSet | None") -> "ScoreSet":
    """The scores under ``path``.

    Args:
        path: a shard or a folder of them.
        classes: (K,) names of the model that is tested.
        whose: that model, for messages.
        fused: the stored records that are judged, if they are: both must have the same.

    Raises:
        InputError: other classes, or records that one of both lacks.
    """
    from omnicli.stages.eval.fusion import check_same_records, common_classes, open_scores

    baseline = open_scores(path)
    common_classes([baseline], classes, source=whose)
    if fused is not None:
        check_same_records([fused, baseline])
    return baseline


def closing_words(result: Mapping[str, Any], baseline: Path | None) -> str:
    """What a summary says in one line, in percent.

    >>> closing_words({"mean_ap": 0.5}, None)
    'mAP 50.00 %'
    """
    words = ", ".join(f"{word} {100 * result[name]:.2f} %" for name, word in PRINTED.items() if name in result)
    if baseline is None:
        return words
    compared = result["baseline"]
    words += f"; against {baseline}: " + ", ".join(
        f"{word} {100 * compared['change'][name]:+.2f}" for name, word in PRINTED.items() if name in result
    )
    if "p_value" in compared:
        words += (
            f"; {compared['became_right']:,} became right, {compared['became_wrong']:,} wrong "
            f"(p = {compared['p_value']:.2g})"
        )
    if compared["num_left_out"]:
        words += f"; {compared['num_left_out']:,} of its records were not judged here"
    return words
