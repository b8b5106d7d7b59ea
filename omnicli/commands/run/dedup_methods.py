"""The two methods of dedup as the runner sees them, and what both report about the target."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from omnicli.commands.options.compute import ComputeOptions
from omnicli.commands.options.dedup import DedupOptions
from omnicli.commands.options.digests import digests_of_inputs
from omnicli.commands.options.model import BackboneOptions
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.one_output import StageSpec
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.stages.dedup.frame_features import Extractors
    from omnicli.stages.dedup.target import Target
    from omnicli.streams.record import Record
    from omnicli.streams.stage_run import Stage
    from omnicli.streams.verdicts import Verdicts

DEFAULT_DIM = 256  # Ours
READ_AGAIN = "dedup: read again in float32"


def features_spec(
    options: DedupOptions, streams: StreamOptions, backbone: BackboneOptions, compute: ComputeOptions,
    *, as_media: bool, seed: int, verdicts: "Verdicts",
) -> StageSpec:  # fmt: skip
    """Similar frames (OmniSource Sec. 3.3)."""
    digests = backbone.digests()
    attributes = digests if backbone.checkpoint else {"backbone": backbone.name, **digests}
    rule = {"score_only": options.score_only, "within": options.within, "as_media": as_media,
            "keep_features": bool(streams.shards_dir)}  # fmt: skip
    decided = {"threshold": options.threshold, "whiten_dim": options.whiten_dim or DEFAULT_DIM, "seed": seed}
    facts: dict[str, Any] = {}
    lines: list[str] = []

    def make() -> "Stage":
        from omnicli.stages.dedup.frame_features import FrameReader
        from omnicli.stages.dedup.pair_check import PairCheck
        from omnicli.stages.dedup.stage import DedupRule, dedup_records
        from omnicli.stages.dedup.target import learn_target
        from omnicli.stages.dedup.target_rate import choose_rate
        from omnicli.streams.read.reader import read_records

        device, precision = compute.resolve()  # of the search
        # what compares each record with what was read before, or writes every similarity, decides none by a margin
        needs_all = options.score_only or options.within
        chosen = compute.exact_if_auto() if needs_all else compute
        load = partial(_load_extract, backbone, chosen, streams.root, with_exact=not options.score_only,
                       say=lines.append)  # fmt: skip
        reader = FrameReader(load, backbone=attributes, root=streams.root)
        unreadable: list[tuple[str, str]] = []
        records = read_records(options.target or [], root=streams.root, on_drop=_noting(unreadable))
        fps = backbone.fps
        if fps is None:
            fps, records = choose_rate(records, root=streams.root, workers=compute.workers)
        target = learn_target(
            records, reader=reader, fps=fps, needs_threshold=not options.score_only, device=device,
            precision=precision, unreadable=unreadable,
            threshold=options.threshold, whiten_dim=options.whiten_dim or DEFAULT_DIM, seed=seed,
        )  # fmt: skip
        lines.extend(_describe(target, fps))
        facts.update(threshold=target.threshold, threshold_origin=target.origin, target_frames=len(target.database),
                     target_fps=fps)  # fmt: skip
        check = PairCheck(streams.root, compute.workers)
        return lambda records, on_drop: dedup_records(
            records,
            target=target,
            reader=reader,
            rule=DedupRule(**rule),
            check=check,
            verdicts=verdicts,
            on_drop=on_drop,
        )

    model_options = {"backbone": backbone.name, "weights": None, "checkpoint": None, "fps": backbone.fps or 1.0,
                     "target_fps": backbone.fps}  # fmt: skip
    return StageSpec(
        name="dedup", make=make,
        options={"target": digests_of_inputs(options.target or []), **rule, **model_options,
                 **compute.deciding(), **attributes, **decided},
        whole_stream="--within" if options.within else None, shard_kind="features", shard_keeps_paths=True, facts=facts,
        observe=_count_features,
        closing=lambda counters: [*lines, *_describe_again(counters), *_describe_checks(counters)],
    )  # fmt: skip


def _count_features(record: "Record", counters: Counter[str]) -> None:
    if record.rescored:
        counters[READ_AGAIN] += record.rescored
    _count_checks(record, counters)


def _describe_again(counters: Mapping[str, int]) -> list[str]:
    """The closing line about records that bfloat16 did not decide; none without any."""
    from omnicli.inference.metrics import rescored_lines

    num_compared = counters.get("in", 0) - counters.get("unreadable", 0)
    return rescored_lines(counters.get(READ_AGAIN, 0), num_scored=num_compared, what="records")


def _count_checks(record: "Record", counters: Counter[str]) -> None:
    from omnicli.stages.dedup.pair_check import count_checks

    count_checks(record, counters)


def _describe_checks(counters: Mapping[str, int]) -> list[str]:
    from omnicli.stages.dedup.pair_check import describe_checks

    return describe_checks(counters)


def _load_extract(
    backbone: BackboneOptions, compute: ComputeOptions, root: str | None, *, with_exact: bool,
    say: Callable[[str], None],
) -> "Extractors":  # fmt: skip
    """``extract_features`` with its model."""
    from omnicli.inference.scorer import extract_features
    from omnicli.stages.dedup.frame_features import Extractors

    model = backbone.load(compute, with_content=True, with_exact=with_exact)
    say(backbone.describe(model))
    if not model.network.is_framewise:
        raise UsageError(f"--checkpoint {backbone.checkpoint}: takes clips; dedup needs a model of single frames (TSN)")
    extract = partial(
        extract_features, fps=backbone.fps or 1.0, root=root, batch_size=compute.batch_size, workers=compute.workers
    )
    usual = partial(extract, model=model)
    return Extractors(usual, usual if model.exact is None else partial(extract, model=model.exact))


def census_spec(options: DedupOptions, root: str | None, workers: int | None, verdicts: "Verdicts") -> StageSpec:
    """Common footage (IG-65M A.2)."""
    counts: Counter[str] = Counter()
    seen: dict[str, int] = {}
    unreadable: list[tuple[str, str]] = []
    targets = options.target or []

    def make() -> "Stage":
        from omnicli.stages.dedup.census_stage import census_targets, dedup_census_records
        from omnicli.stages.dedup.pair_check import PairCheck
        from omnicli.streams.read.reader import read_records

        on_drop = _noting(unreadable)
        target = census_targets(
            read_records(targets, root=root, on_drop=on_drop) if targets else [], root=root, workers=workers,
            on_drop=on_drop,
        )  # fmt: skip
        return lambda records, on_drop: dedup_census_records(
            records, targets=target, within=options.within, root=root, workers=workers, counts=counts,
            check=PairCheck(root, workers), verdicts=verdicts, on_drop=on_drop,
        )  # fmt: skip

    def observe(record: "Record", counters: Counter[str]) -> None:
        counters.update(counts)  # into those of the run, which a resumed run goes on with
        counts.clear()
        _count_checks(record, counters)

    def closing(counters: Mapping[str, int]) -> list[str]:
        seen.update({name: count for name, count in sorted(counters.items()) if name.startswith("census: ")})
        found = [f"{count:,} {name.removeprefix('census: ')}" for name, count in seen.items() if count]
        return (
            _unreadable_lines(unreadable)
            + ([f"seen: {', '.join(found)}"] if found else [])
            + (_describe_checks(counters))
        )

    return StageSpec(
        name="dedup", make=make,
        options={"method": "census", "target": digests_of_inputs(targets), "within": options.within},
        whole_stream="--within" if options.within else None, closing=closing, observe=observe,
        facts={"census": seen},
    )  # fmt: skip


def _noting(unreadable: list[tuple[str, str]]) -> Any:
    def note(record: "Record", why: str) -> None:
        unreadable.append((str(record.get("id")), why))

    return note


def _describe(target: "Target", fps: float) -> list[str]:
    """Closing lines: the size of the target, its frames per second, its whitening and its threshold."""
    whitening = target.whitening
    how = f"whitened to {whitening.num_dims} dimensions" if whitening.matrix is not None else (
        f"{whitening.num_dims} features, too few different frames to whiten them"
    )  # fmt: skip
    lines = [f"target: {len(target.database.records):,} records, {len(target.database):,} frames ({fps:g} per second), "
             f"{how}"]  # fmt: skip
    shown = "none" if target.threshold is None else f"{target.threshold:g}"
    return [*lines, *_unreadable_lines(target.unreadable), f"threshold {shown}: {target.origin}"]


def _unreadable_lines(unreadable: Sequence[tuple[str, str]]) -> list[str]:
    """A line about target records that nothing is compared with."""
    if not unreadable:
        return []
    name, why = unreadable[0]
    count = f"{len(unreadable):,} target records cannot be read"
    return [f"{count}, and copies of them are not found; the first: {name} ({why})"]
