"""Keep the web images and videos that a teacher is confident about, and label them.

    omni filter --teacher tsn.pth web_imgs/ > kept.jsonl

    omni filter --teacher tsn.pth --score-only web.jsonl -o scored.jsonl
    omni filter --keep-fraction 0.3 --per query --label-by query --classes classes.txt scored.jsonl > kept.jsonl

Each record gains pseudo_label, pseudo_class, confidence, top_scores and query_score. A teacher of many labelled clips
labels the records with its best class and keeps those that reach --threshold; the closing lines show what other
thresholds would keep. A teacher that learnt from few clips rejects most of what is new to it: if the records have
queries, it only ranks the results of each query, and the share that seems to fit is kept (--rule query). This needs the
whole stream; for --part and -o DIR/, score with --score-only and decide with --stored-scores.

Without --teacher, stored scores decide again without reading media; files written by --rejects can be decided again,
too: what left before it was scored (no class, too short, unreadable) leaves again for the same reason.

Images need a 2D teacher (tsn-...); videos accept 2D and 3D teachers. Rows of features (omni features) of the teacher's
own backbone are scored by its classifier alone; --as-media writes them as the media they were made from.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli.commands.options.compute import ComputeOptions, FilterPrecision, Seed
from omnicli.commands.options.digests import digest_of_list, digests_of_models
from omnicli.commands.options.filter import FilterOptions
from omnicli.commands.options.groups import SELECTION, Adapt, given_options, refuse_given, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.model import ModelOptions, NumClips, QueryMap, check_views, strength_of
from omnicli.commands.options.streams import AsMedia, StreamOptions
from omnicli.commands.options.subset import SubsetOptions
from omnicli.commands.options.verdicts import VerdictFiles, load_verdicts, with_verdicts
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omnicli.data.query_labels import Queries
    from omnicli.inference.protocols import ScoreRecords
    from omnicli.stages.filter.rules import FilterRule
    from omnicli.streams.stage_run import Stage

OF_SCORING = ("num_segments", "num_clips", "num_frames", "frame_interval", "model", "batch_size", "workers", "device",
                "precision", "compile_mode")  # fmt: skip


@takes_groups
def command(
    *,
    context: typer.Context,
    teacher: Annotated[
        list[Path] | None,
        typer.Option("--teacher", metavar="FILE", help="Checkpoint of a teacher; repeat it to average the scores of "
                     "several.", rich_help_panel=SELECTION),
    ] = None,
    options: FilterOptions,
    subset: Annotated[SubsetOptions, Adapt("label_share", "centre_sec")],
    streams: StreamOptions,
    model: ModelOptions,
    compute: Annotated[ComputeOptions, Adapt(precision=FilterPrecision)],
    logging: LoggingOptions,
    query_map: QueryMap = None,
    num_clips: NumClips = 10,
    as_media: AsMedia = False,
    seed: Seed = 0,
    verdict_files: VerdictFiles = None,
) -> None:  # fmt: skip
    teachers = teacher or []
    options.check()
    subset.check()
    if not teachers:
        _check_without_teacher(context, options, query_map, model)
    elif options.stored_scores:
        refuse_given(context, OF_SCORING, "has no effect with --stored-scores")
    from omnicli.stages.filter.closing import advice, check_queries, count_confidence, keep_curve, rule_line

    verdicts = load_verdicts(verdict_files, "record", streams, score_only=options.score_only)
    digests = digests_of_models(teachers)
    strength = strength_of(teachers) if options.is_automatic or options.rule_name == "query" else None
    rule = options.rule(is_labelled=bool(teachers or model.classes), strength=strength)
    is_scoring = bool(teachers) and not options.stored_scores
    views = {"num_segments": model.num_segments, "num_clips": num_clips}
    scoring = {**views, **model.described(), **compute.deciding()}
    deciding = {
        **asdict(rule), "teacher": digests, **(scoring if is_scoring else {}),
        "classes": digest_of_list(model.classes), "query_map": digest_of_list(query_map), "seed": seed,
        "as_media": as_media, **subset.deciding(),
    }  # fmt: skip

    classes: list[str] = []
    made: list[Queries] = []
    facts: dict[str, Any] = {}

    def make() -> "Stage":
        from omnicli.data.query_labels import Queries, read_query_map
        from omnicli.stages.filter.stage import filter_records
        from omnicli.streams.class_names import ClassIndex
        from omnicli.streams.shards.features import output_as_media

        score, names = None, model.class_names() or ()
        if is_scoring:
            score, names = _load_scorer(context, teachers, model, compute, {**views, "root": streams.root}, rule)
        elif teachers:
            names = model.load_classes(teachers)
        classes[:] = names
        queries = Queries(ClassIndex(names), read_query_map(query_map) if query_map else {}, seed)
        made.append(queries)

        why_not = subset.subset(seed).why_not
        run = partial(filter_records, score=score, queries=queries, rule=rule, why_not=why_not, facts=facts,
                      verdicts=verdicts)  # fmt: skip
        applied = subset.applied(lambda records, on_drop: run(records, on_drop=on_drop), seed)
        return output_as_media(applied, streams.root) if as_media else applied

    def closing(counters: "Mapping[str, int]") -> list[str]:
        chosen = [rule_line(facts, strength.describe() if strength else None)] if rule.by_query else []
        return [*chosen, *keep_curve(counters), *advice(rule, facts, lambda: strength or strength_of(teachers))]

    needs_query = rule.needs_query and not options.score_only
    spec = StageSpec(
        name="filter", make=make, options=deciding, whole_stream=options.whole_stream(rule) or subset.whole_stream,
        observe=count_confidence, check=partial(check_queries, made=made) if needs_query else None, closing=closing,
        facts=facts, classes=classes, by_query=True,
        remedy="collect more, or label more clips" if rule.by_query else StageSpec.remedy,
    )  # fmt: skip
    run_stage(with_verdicts(spec, verdicts, verdict_files, streams), streams, logging)


def _check_without_teacher(
    context: typer.Context, options: FilterOptions, query_map: Path | None, model: ModelOptions
) -> None:
    """Stored scores decide: no media are read, and labels need class names. Raises UsageError."""
    refuse_given(context, OF_SCORING, "needs --teacher; without it the stored scores are used")
    if options.rule_name == "query":
        raise UsageError("--rule query needs --teacher, which says how far to trust the scores; add --stored-scores")
    labelling = {"--label-by": options.label_by, "--agree": options.agree, "--query-map": query_map}
    given = [name for name, value in labelling.items() if value]
    if given and not model.classes:
        raise UsageError(f"{given[0]} needs class names: give --teacher, or --classes with stored scores")


def _load_scorer(
    context: typer.Context,
    paths: list[Path],
    model: ModelOptions,
    compute: ComputeOptions,
    views: dict[str, Any],
    rule: "FilterRule",
) -> "tuple[ScoreRecords, tuple[str, ...]]":
    """``score_records`` with its teachers, and their classes."""
    from omnicli.inference.ensemble import align_classes
    from omnicli.inference.scorer import score_records
    from omnicli.inference.views import ViewOptions
    from omnicli.stages.filter.undecided import decides_alone

    compute = compute.exact_if_auto() if rule.needs_whole_stream else compute
    teachers = model.load(paths, compute, with_exact=decides_alone(rule))
    given = given_options(context)
    check_views(teachers, has_segments=model.num_segments is not None, has_clips="num_clips" in given)
    score = partial(
        score_records, models=teachers, views=ViewOptions(**views), batch_size=compute.batch_size,
        workers=compute.workers,
    )  # fmt: skip
    return score, align_classes(teachers)
