"""Test a model on labelled records: accuracy, mAP, confused classes, and changes against another model.

    omni eval --checkpoint tsn.pth target/val | tail -1 | jq .top1_acc

    omni eval --checkpoint tsn.pth --num-segments 25 --crops ten k400_val.jsonl -o scores.jsonl

    omni eval --checkpoint slowonly.pth --num-clips 10 --crops three --crop-size 256 k400_val.jsonl -o scores.jsonl

    omni eval --checkpoint tsn.pth --shards tsn/ val.jsonl -o tsn.jsonl
    omni eval --checkpoint slowonly.pth --shards slowonly/ val.jsonl -o slowonly.jsonl
    omni eval --fuse tsn/ --fuse slowonly/ --fuse-ratio 1:1.5 | tail -1

    omni eval --checkpoint slowonly.pth val/*.jsonl -o scored/ --shards scores/ --engine local | jq .top1_acc

    omni eval --checkpoint student.pth --baseline tsn/ val.jsonl | tail -1 | jq .baseline.improved

Every record gains pseudo_label, pseudo_class, confidence and top_scores. The last line is the summary: top1_acc,
top5_acc, mean_class_acc, mean_ap, view (what the model was shown), and the most confused classes; for records with
several labels only mean_ap. Another class with the label's score counts as better, in every metric. Rows of features
(omni features) of the model's own backbone are scored by its classifier alone.

A checkpoint remembers what it was trained on (ids, parents and contents, as digests): records among these stop the
test with exit code 65, unless --allow-overlap is given.

--mean-of FILE, repeated, writes the mean of the metrics of several outputs instead, such as those of the three splits
of UCF101 and HMDB51.

--shards writes the scores of all classes to HDF5. --fuse reads such shards instead of media, matches records by id and
evaluates the weighted mean of their scores, of the records that all of them have. It also takes result files of
mmaction2 (.pkl, .json), which follow the lines of --fuse-list and are read as data, never run. --baseline reads such
shards of another model: the summary lists the pairs of classes that are confused less and more, how many records became
right or wrong, and the p-value of that change (McNemar's exact test).

-o DIR/ with --shards scores each input file by itself, resumable, on every --engine, and writes the summary over all
of them to stdout when the last one is done.

Memory: 200 bytes per record and 256 MiB. TMPDIR: 4 bytes per record and class, to compute mAP.
"""

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli import __version__
from omnicli.commands.invocation import refuse_to_prepare
from omnicli.commands.options.compute import ComputeOptions, RoundedPrecision
from omnicli.commands.options.digests import digest_of_list, digests_of_models
from omnicli.commands.options.eval import StoredScoreOptions, ViewsOptions, digests_of_shards
from omnicli.commands.options.groups import (
    INPUT_OUTPUT,
    MODEL,
    RARE,
    SELECTION,
    Adapt,
    given_options,
    refuse_given,
    takes_groups,
)
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.model import ModelOptions, check_views
from omnicli.commands.options.part_names import with_part
from omnicli.commands.options.streams import OF_JOBS, ShardsDir, StreamOptions, check_one_file, check_outputs_differ
from omnicli.commands.options.training import AllowOverlap
from omnicli.commands.run.counters import ReadAccountant
from omnicli.commands.run.eval_jobs import EvalJobs
from omnicli.commands.run.eval_output import EvalOutput, result_line
from omnicli.commands.run.runner import run_stage
from omnicli.commands.run.summary import print_options
from omnicli.errors import InputError, UsageError
from omnicli.process import stopping_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omnicli.inference.view_names import SeenViews
    from omnicli.models.loading import LoadedModel
    from omnicli.streams.record import Record

WITH_MEAN = {"mean_of", "output", "dry_run", "quiet", "verbose"}
OutputOfEval = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="FILE|DIR/", help="Output file, written atomically. DIR/, with --shards, "
                 "writes one file per input file, resumable. Default: stdout.", rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip


@takes_groups
def command(
    *,
    context: typer.Context,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="The model to test.", rich_help_panel=SELECTION)
    ] = None,
    stored: StoredScoreOptions,
    views: ViewsOptions,
    streams: Annotated[StreamOptions, Adapt(output=OutputOfEval, shards_dir=ShardsDir)],
    model: ModelOptions,
    compute: Annotated[ComputeOptions, Adapt(precision=RoundedPrecision)],
    logging: LoggingOptions,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="Divide logits by the temperature that the checkpoint stores; "
                           "published numbers are without.", rich_help_panel=MODEL), RARE,
    ] = False,
    allow_overlap: AllowOverlap = False,
    mean_of: Annotated[
        list[Path] | None,
        typer.Option("--mean-of", metavar="FILE", help="Instead of a test: outputs of earlier ones, such as of the "
                     "three splits of UCF101 and HMDB51, whose metrics are averaged.", rich_help_panel=SELECTION), RARE,
    ] = None,
) -> None:  # fmt: skip
    if mean_of:
        _write_mean(context, mean_of, streams.output, logging)
        return
    if not streams.to_folder:
        refuse_given(context, (*OF_JOBS, "resume"), "divides input files into jobs: give -o DIR/")
        refuse_to_prepare("eval without -o DIR/")
    stored.check(context, checkpoint, streams.shards_dir)
    options = _options_of_model(checkpoint, model, views, compute, calibrated=calibrated)
    if checkpoint is not None:
        load = partial(_load, checkpoint, model, views, compute, streams.root, calibrated=calibrated)
        if streams.to_folder:
            jobs = EvalJobs(
                checkpoint=str(checkpoint), load=load, options=options, streams=with_part(streams), stored=stored,
                allow_overlap=allow_overlap, published=views.say_published,
            )  # fmt: skip
            run_stage(jobs.spec(), streams, logging)
            return
    elif streams.to_folder:
        check_one_file(streams.output, command="eval --fuse", what="one file")
    options = {
        "omni": __version__, "command": "eval", **options,
        "baseline": digests_of_shards(stored.baseline) if stored.baseline else None,
        **({"limit": streams.limit} if checkpoint else stored.deciding()),
    }  # fmt: skip
    if logging.dry_run:
        given: dict[str, Any] = {"fuse": stored.fuse} if stored.fuse else {"inputs": streams.inputs or ["-"]}
        print_options({**options, **given, "output": streams.output, "shards": streams.shards_dir})
        return
    check_outputs_differ({"-o": streams.output, "--rejects": streams.rejects, "--summary": streams.summary})
    console = logging.console("eval")
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(stopping_stage(resumable=False))
        accountant = stack.enter_context(ReadAccountant(console, streams, options=options))
        output = EvalOutput(streams.output, stack)
        from omnicli.stages.eval.fusion import fuse_scores, read_score_records
        from omnicli.stages.eval.stage import evaluate

        seen: SeenViews | None = None
        score: Any
        lacking: list[str] = []
        if checkpoint is None:
            sets, names, lacking = stored.load(model.class_names(), stack)
            score = partial(fuse_scores, sets=sets, ratio=stored.ratio(), logits=stored.fuse_by == "logits")
            records, function = accountant.count(read_score_records(sets[0])), sets[0].function
        else:
            score, tested_model, seen = load()
            names, function = tested_model.classes, "sigmoid" if tested_model.spec.multi_label else "softmax"
            records = _untrained(accountant, streams, tested_model, views, allow_overlap=allow_overlap)
        stop.check()  # an import may have swallowed the exception of a signal
        tested = str(checkpoint or (stored.fuse or [])[0])
        baseline = stored.load_baseline(names, tested=tested, stack=stack)
        output.open_shards(streams.shards_dir, options, names, function)
        with console.progress(accountant.sums):
            run = partial(evaluate, classes=names, baseline=baseline, seen=seen, on_drop=accountant.on_drop)
            for record in run(records, score=score):
                accountant.result = output.write(record)  # the last one is the summary
        output.close()
        for line in (f"{accountant.sums()}; {result_line(accountant.result, stored.baseline)}", *lacking):
            console.say(line)


def _write_mean(context: typer.Context, paths: list[Path], output: str | None, logging: LoggingOptions) -> None:
    """The mean over splits. Raises UsageError: an option of a test, or a single split."""
    given = {name: spelling for name, spelling in given_options(context).items() if name not in WITH_MEAN}
    if given:
        raise UsageError(f"--mean-of averages earlier tests; {' and '.join(given.values())} cannot act on them")
    if output is not None:
        check_one_file(output, command="eval --mean-of", what="one file")
    if len(paths) < 2:
        raise UsageError(f"--mean-of {paths[0]}: give --mean-of for each split")
    from omnicli.stages.eval.splits import mean_of_splits

    if logging.dry_run:
        print_options({"omni": __version__, "command": "eval", "mean_of": paths, "output": output})
        return
    with contextlib.ExitStack() as stack:
        result = mean_of_splits(paths)
        lines = EvalOutput(output, stack)
        lines.write(result)
        lines.close()
    logging.console("eval").say(f"mean of {len(paths)}: {result_line(result, None)}")


def _options_of_model(
    checkpoint: Path | None, model: ModelOptions, views: ViewsOptions, compute: ComputeOptions, *, calibrated: bool
) -> dict[str, Any]:
    """What decides the scores of a model, as JSON values; without one only the classes. Raises OmniError."""
    options: dict[str, Any] = {"classes": digest_of_list(model.classes)}
    if checkpoint is None:
        return options
    return options | {
        "checkpoint": digests_of_models([checkpoint])[0], **views.deciding(model.num_segments), **model.described(),
        **compute.deciding(), "calibrated": calibrated,
    }  # fmt: skip


def _load(
    checkpoint: Path,
    options: ModelOptions,
    views: ViewsOptions,
    compute: ComputeOptions,
    root: str | None,
    *,
    calibrated: bool,
) -> "tuple[Any, LoadedModel, SeenViews]":
    """``score_records`` with the model, the model, and what notes its views."""
    from omnicli.inference.scorer import score_records
    from omnicli.inference.view_names import SeenViews
    from omnicli.inference.views import ViewOptions

    [model] = options.load([checkpoint], compute)
    check_views([model], has_segments=options.num_segments is not None, has_clips=views.num_clips is not None)
    model = model if calibrated else replace(model, temperature=1.0)
    chosen = ViewOptions(root=root, **views.deciding(options.num_segments, model.spec))
    if compute.compile_mode == "on" and not chosen.have_one_size:
        raise UsageError("--compile on needs views of one size: remove it, or --crops full and --fully-convolutional")
    score = partial(
        score_records, models=[model], views=chosen, batch_size=compute.batch_size, workers=compute.workers
    )  # fmt: skip
    return score, model, SeenViews(model, chosen)


def _untrained(
    accountant: ReadAccountant,
    streams: StreamOptions,
    model: "LoadedModel",
    views: ViewsOptions,
    *,
    allow_overlap: bool,
) -> "Iterator[Record]":
    """The records, checked against what the model was trained on; files before the first is scored. Raises InputError.

    With ``allow_overlap`` a line says what is shared. Another one says which views are published.
    """
    from omnicli.stages.eval.tested_records import ADVICE, check_untrained, refuse_trained

    for line in views.say_published(model.spec):
        accountant.console.say(line)
    is_read_once = streams.is_live or bool(streams.files_from)
    read = None if is_read_once else lambda: streams.read(lambda record, reason: None)
    shared = check_untrained(read, model.meta, model=model.name, root=streams.root)
    if shared and not allow_overlap:
        raise InputError(f"{shared}; {ADVICE}")
    if shared:
        accountant.console.say(f"{shared}; the accuracy on them is not a test (--allow-overlap)")
    records = accountant.read(streams)
    if allow_overlap or read is not None:
        return records
    return refuse_trained(records, model.meta, model=model.name, root=streams.root)
