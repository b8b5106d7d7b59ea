"""Test a model on labelled records: accuracies, mAP, confused classes; what changed against another model.

    omni eval --checkpoint tsn.pth target/val | tail -1 | jq .top1_acc

    omni eval --checkpoint tsn.pth --num-segments 25 --crops ten k400_val.jsonl -o scores.jsonl

    omni eval --checkpoint slowonly.pth --num-clips 10 --crops three --crop-size 256 k400_val.jsonl -o scores.jsonl

    omni eval --checkpoint tsn.pth --shards tsn/ val.jsonl -o tsn.jsonl
    omni eval --checkpoint slowonly.pth --shards slowonly/ val.jsonl -o slowonly.jsonl
    omni eval --fuse tsn/ --fuse slowonly/ --fuse-ratio 1:1.5 | tail -1

    omni eval --checkpoint student.pth --baseline tsn/ val.jsonl | tail -1 | jq .baseline.improved

Every record gains pseudo_label, pseudo_class, confidence and top_scores; the last line is the summary: top1_acc,
top5_acc, mean_class_acc, mean_ap, and the classes most often confused. Rows of features (omni features) of the model's
own backbone are judged by its classifier alone. Where records have several labels, mean_ap is
all. With --shards the scores of all classes go to HDF5. --fuse takes such shards instead of a model and media, matches
records by id and judges the weighted mean of their scores (Ours: of scores, as two-stream TSN, not of logits).
--baseline takes such shards of another model: the summary says which pairs of classes are confused less now, and which
more, how many records became right or wrong, and how likely chance alone does that (McNemar's exact test). mAP ranks
all records, so their scores wait in TMPDIR, 4 bytes a class. Memory: the ids, 200 bytes a record and 256 MiB.
"""

import contextlib
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli import __version__
from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import check_outputs_differ
from omnicli.commands.run.comparing import check_baseline, closing_words, load_baseline
from omnicli.commands.run.counters import Ledger
from omnicli.commands.run.fusing import check_fusing, digests_of, fusing_options, load_scores
from omnicli.commands.run.runner import digest_of, print_options, stopping_on_sigterm
from omnicli.console import Console
from omnicli.errors import InputError, ModelError, UsageError

if TYPE_CHECKING:
    from omnicli.streams.shards.writer import ShardWriter
    from omnicli.streams.write.stdout import LineWriter

VIEWS = "Views"
FUSING = "Stored scores"


class Crops(StrEnum):
    """What of each frame is looked at."""

    centre = "centre"
    three = "three"
    ten = "ten"
    full = "full"


class Generation(StrEnum):
    """Which released code chooses the frames."""

    v1 = "1.x"
    v0 = "0.x"


def command(
    ctx: typer.Context,
    inputs: o.Inputs = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="The model to test.", rich_help_panel=VIEWS)
    ] = None,
    num_segments: Annotated[
        int | None, typer.Option("--num-segments", min=1, metavar="N", help="Snippets of a video; the papers use 25.",
                                 show_default="as in training", rich_help_panel=VIEWS)
    ] = None,
    fuse: Annotated[
        list[Path] | None,
        typer.Option("--fuse", metavar="SHARD|DIR", help="Scores that eval --shards wrote, instead of a model; two "
                     "or more, or one to be compared.", rich_help_panel=FUSING),
    ] = None,
    fuse_ratio: Annotated[
        str | None,
        typer.Option("--fuse-ratio", metavar="R:R", help="Weight of each --fuse, such as 1:1.5.", show_default="equal",
                     rich_help_panel=FUSING),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="SHARD|DIR", help="Scores that eval --shards wrote of another model on the "
                     "same records: say what is different.", rich_help_panel=FUSING),
    ] = None,
    crops: Annotated[
        Crops, typer.Option("--crops", help="centre: the square in the middle of a frame. three: squares along its "
                            "long side. ten: corners, middle and their mirrors. full: all of it.",
                            rich_help_panel=VIEWS)
    ] = Crops.centre,
    fully_convolutional: Annotated[
        bool, typer.Option("--fully-convolutional", help="3D models: classify every window of the training crop's size "
                           "in a larger frame, and average.", rich_help_panel=VIEWS)
    ] = False,
    short_side: Annotated[
        int | None, typer.Option("--short-side", min=8, metavar="PIXELS", help="Resize to this before cropping.",
                                 show_default="as in training", rich_help_panel=VIEWS)
    ] = None,
    crop_size: Annotated[
        int | None, typer.Option("--crop-size", min=8, metavar="PIXELS", help="The square the model sees.",
                                 show_default="as in training", rich_help_panel=VIEWS)
    ] = None,
    generation: Annotated[
        Generation, typer.Option("--generation", help="Frames as mmaction2 1.x or 0.x chooses them.",
                                 rich_help_panel=VIEWS)
    ] = Generation.v1,
    shards_dir: o.ShardsDir = None,
    num_clips: o.NumClips = 10,
    num_frames: o.NumFrames = None,
    frame_interval: o.FrameInterval = None,
    model: o.ModelName = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one a line, where a checkpoint of another program "
                     "or --fuse has none.",
                     rich_help_panel=o.COMPUTE),
    ] = None,
    batch_size: o.BatchSize = 32,
    workers: o.Workers = None,
    device: o.Device = "auto",
    precision: o.Precision = "auto",
    files_from: o.FilesFrom = None,
    null_separated: o.NullSeparated = False,
    root: o.Root = None,
    limit: o.Limit = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write here instead of stdout: whole or not at all.",
                     rich_help_panel=o.STREAMS),
    ] = None,
    rejects: o.Rejects = None,
    summary: o.Summary = None,
    max_bad: o.MaxBad = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:  # fmt: skip
    if out is not None and (out.endswith("/") or Path(out).is_dir()):
        raise UsageError(f"-o {out}: a folder; eval sums up all its input in one file")
    ratio = check_fusing(ctx, checkpoint, fuse or [], fuse_ratio, shards_dir)
    check_baseline(baseline, shards_dir)
    views: dict[str, Any] = {
        "num_segments": num_segments, "short_side": short_side, "crop_size": crop_size, "crops": crops.value,
        "generation": generation.value, "num_clips": num_clips, "fully_convolutional": fully_convolutional,
    }  # fmt: skip
    foreign = {"name": model, "num_frames": num_frames, "frame_interval": frame_interval}
    options = {
        "omni": __version__, "command": "eval", "classes": digest_of(classes, InputError) if classes else None,
        "baseline": digests_of(baseline) if baseline else None,
        **(fusing_options(fuse or [], ratio) if checkpoint is None else {
            "checkpoint": digest_of(checkpoint, ModelError), **views, **foreign,
            "batch_size": batch_size, "device": device, "precision": precision, "limit": limit,
        }),
    }  # fmt: skip
    if dry_run:
        given = {"fuse": fuse} if fuse else {"inputs": inputs or ["-"]}
        print_options({**options, **given, "out": out, "shards": shards_dir})
        return
    check_outputs_differ({"-o": out, "--rejects": rejects, "--summary": summary})
    console = Console("eval", quiet=quiet, verbose=verbose)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopping_on_sigterm(resumable=False))
        ledger = stack.enter_context(
            Ledger(console, rejects=rejects, max_bad=max_bad, summary=summary, options=options)
        )
        writer = _open_lines(out, stack)
        from omnicli.stages.eval.fusion import read_score_records
        from omnicli.stages.eval.stage import evaluate
        from omnicli.streams.class_names import read_classes

        known = read_classes(classes) if classes else None
        fused = None
        if checkpoint is None:
            fused, score, names = load_scores(fuse or [], ratio, known)
            records, function = ledger.count(read_score_records(fused)), fused.function
        else:
            told = {**foreign, "num_segments": num_segments, "classes": known}
            score, names, function = _load(checkpoint, told, views, batch_size, workers, device, precision, root)
            records = ledger.read(
                inputs or [], root=root, files_from=files_from, null_separated=null_separated, limit=limit
            )
        whose = str(checkpoint or (fuse or [])[0])
        rival = load_baseline(baseline, names, whose=whose, fused=fused) if baseline else None
        shards = _open_shards(shards_dir, options, names, function, stack)
        with console.progress(lambda: ledger.sums()):
            for record in evaluate(records, score=score, classes=names, baseline=rival, on_drop=ledger.on_drop):
                ledger.result = _write(record, writer, shards)  # the last is the summary
        if shards is not None:
            shards.close()
            shards.remove_later()
        writer.flush()
        console.say(f"{ledger.sums()}; {closing_words(ledger.result, baseline)}")


def _open_lines(out: str | None, stack: contextlib.ExitStack) -> "LineWriter":
    from omnicli.streams.write.atomic import open_atomic
    from omnicli.streams.write.stdout import StreamWriter, open_stdout

    if out is None:
        return open_stdout(live=False)
    return StreamWriter(stack.enter_context(open_atomic(Path(out))), name=out, live=False)


def _open_shards(
    shards_dir: Path | None,
    options: dict[str, Any],
    classes: tuple[str, ...],
    function: str,
    stack: contextlib.ExitStack,
) -> "ShardWriter | None":
    if shards_dir is None:
        return None
    from omnicli.stages.eval.fusion import CLASS_NAMES, SCORE_FUNCTION
    from omnicli.streams.shards.ownership import hold_shards, refuse_shards_of_other_stages
    from omnicli.streams.shards.writer import ShardWriter

    stack.enter_context(hold_shards(shards_dir, ""))
    refuse_shards_of_other_stages(shards_dir, "", "eval")
    provenance = {**options, CLASS_NAMES: list(classes), SCORE_FUNCTION: function}
    shards = ShardWriter(shards_dir, stage="eval", kind="scores", provenance=provenance)
    stack.callback(shards.abort)  # what is closed stays; an open shard leaves nothing
    return shards


def _load(
    checkpoint: Path,
    told: dict[str, Any],
    views: dict[str, Any],
    batch_size: int,
    workers: int | None,
    device: str,
    precision: str,
    root: str | None,
) -> tuple[Any, tuple[str, ...], str]:
    """``score_records`` with the model, its classes, and what makes scores of its logits."""
    from omnicli.inference.device import pick_device, pick_precision, set_threads
    from omnicli.inference.scorer import score_records
    from omnicli.inference.views import ViewOptions
    from omnicli.models.loading import load_model

    where = pick_device(device)
    set_threads()
    teacher = load_model(checkpoint, where, pick_precision(precision, where), **told)
    look = ViewOptions(root=root, **views)
    score = partial(score_records, models=[teacher], views=look, batch_size=batch_size, workers=workers)
    return score, teacher.classes, "sigmoid" if teacher.spec.multi_label else "softmax"


def _write(record: Any, writer: "LineWriter", shards: "ShardWriter | None") -> Any:
    """One line, and its scores; gives the record back."""
    from omnicli.streams.record import Record, format_record

    if shards is not None and isinstance(record, Record):
        record = shards.add(record)
    writer.write(format_record(record))
    return record
