"""``eval --fuse``: stored scores in place of a model and media."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from omnicli.commands.run.runner import digest_of
from omnicli.errors import InputError, UsageError

if TYPE_CHECKING:
    from omnicli.stages.eval.fusion import ScoreSet

WITH_FUSE = {"fuse", "fuse_ratio", "baseline", "classes", "shards_dir", "out", "summary", "dry_run", "quiet", "verbose"}


def check_fusing(
    ctx: typer.Context, checkpoint: Path | None, fuse: list[Path], ratio: str | None, shards_dir: Path | None
) -> list[float]:
    """The weight of each --fuse. Raises UsageError: neither a model nor scores, or both, or options for the other."""
    if not fuse:
        if ratio is not None:
            raise UsageError("--fuse-ratio goes with --fuse")
        if checkpoint is None:
            raise UsageError("nothing to test: give --checkpoint FILE, or scores to --fuse")
        return []
    typed = [param for param in ctx.command.params if _is_typed(ctx, str(param.name))]
    idle = [param for param in typed if param.name not in WITH_FUSE]
    if idle:
        raise UsageError(
            f"--fuse judges stored scores; {' and '.join(_spelled(param) for param in idle)} cannot act on them"
        )
    if len(fuse) < 2 and ctx.params.get("baseline") is None:
        raise UsageError(f"--fuse {fuse[0]}: nothing to fuse it with; give --fuse twice or more, or a --baseline")
    if shards_dir and shards_dir.resolve() in {folder.resolve() for path in fuse for folder in (path, path.parent)}:
        raise UsageError(f"--shards {shards_dir}: holds the scores to be fused; give another folder")
    return _parse_ratio(ratio, len(fuse))


def _is_typed(ctx: typer.Context, name: str) -> bool:
    """Whether the user gave it on the command line; a variable of the environment is for all commands."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE" and ctx.params.get(name) is not None


def _spelled(param: Any) -> str:
    return str(param.opts[-1]) if param.param_type_name == "option" else "INPUT"


def _parse_ratio(text: str | None, count: int) -> list[float]:
    """``1:1.5`` as weights. Raises UsageError."""
    if text is None:
        return [1.0] * count
    try:
        ratio = [float(part) for part in text.split(":")]
    except ValueError:
        ratio = []
    if not ratio or not all(math.isfinite(weight) and weight >= 0 for weight in ratio) or not sum(ratio) > 0:
        raise UsageError(f"--fuse-ratio {text}: expected numbers of 0 or more, such as 1:1.5, and not only 0")
    if len(ratio) != count:
        raise UsageError(f"--fuse-ratio {text}: {len(ratio)} weights for {count} times --fuse")
    return ratio


def fusing_options(fuse: list[Path], ratio: list[float]) -> dict[str, Any]:
    """What decides the output: digests of the shards of each --fuse, and the weights. Raises InputError."""
    return {"fused": [digests_of(path) for path in fuse], "fuse_ratio": ratio}


def digests_of(path: Path) -> list[str]:
    """Of a score shard, or of those in a folder. Raises InputError."""
    from omnicli.stages.eval.fusion import shards_under

    return [digest_of(Path(shard), InputError) for shard in shards_under(path)]


def load_scores(
    fuse: list[Path], ratio: list[float], classes: list[str] | None
) -> "tuple[ScoreSet, Any, tuple[str, ...]]":
    """The first --fuse, whose records are judged, ``fuse_scores`` with all, and their classes."""
    from omnicli.stages.eval.fusion import check_same_records, common_classes, fuse_scores, open_scores

    sets = [open_scores(path) for path in fuse]
    names = common_classes(sets, classes)
    check_same_records(sets)
    return sets[0], partial(fuse_scores, sets=sets, ratio=ratio), names
