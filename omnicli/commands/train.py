"""Train a student jointly on the target and all auxiliary sources (OmniSource Sec. 3.6).

    omni train --target target/train --auxiliary kept.jsonl --val target/val --model tsn-resnet50 -o student.pth

    omni train --target t.jsonl --auxiliary gg.jsonl --auxiliary ig.jsonl --ratio 2:1:1 --recipe tsn-r50-3seg -o s.pth

    torchrun --nproc-per-node 8 -m omnicli train --target t.jsonl --auxiliary w.jsonl --recipe ircsn-r152-32x2 -o s.pth

    omni train --target t.h5 --auxiliary web.h5 --init tsn.pth --freeze backbone -o student.pth

A step takes one batch of the target and one of each auxiliary source, and minimises the mean cross-entropy over all
their samples (OmniSource Eq. 1, divided by the number of samples). Web records need pseudo_label (omni filter, omni
segment) and, to balance classes, weight (omni balance), by which the target is drawn, too, if it has one. Images,
videos, clips, frame folders and shards may be mixed. On feature shards (omni features) only the classifier is trained,
in seconds. A source without records, of which the filter kept nothing, is left out. One metric record per epoch and
source goes to stdout. If training is interrupted, the same command continues it, bit for bit on a CPU. Each process
holds about 100 bytes per record in memory, and the lines of the records in TMPDIR.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options.compute import ComputeOptions, Seed
from omnicli.commands.options.digests import digest_of_list
from omnicli.commands.options.groups import COMPUTE, INPUT_OUTPUT, RARE, Adapt, refuse_given, takes_groups
from omnicli.commands.options.joint import JointOptions
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import OF_JOBS, CheckpointFile, InputOptions, StreamOptions
from omnicli.commands.options.training import Classes, TrainingOptions, Val
from omnicli.commands.run.counters import ReadAccountant
from omnicli.commands.run.training_run import Metrics, TrainingCommand
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omnicli.streams.record import Record
    from omnicli.training.context import TrainingContext

NO_INPUTS = Adapt(
    "inputs", "files_from", "null_separated", "limit", *OF_JOBS, output=CheckpointFile
)  # fmt: skip


@takes_groups
def command(
    context: typer.Context,
    joint: JointOptions,
    streams: Annotated[StreamOptions, NO_INPUTS],
    training: TrainingOptions,
    compute: Annotated[ComputeOptions, Adapt("batch_size", "compile_mode")],
    logging: LoggingOptions,
    classes: Classes = None,
    val: Val = None,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the model with torch.compile: minutes once, then faster steps.",
                           rich_help_panel=COMPUTE), RARE,
    ] = False,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="Write the metrics to TensorBoard, too.",
                                  rich_help_panel=INPUT_OUTPUT), RARE,
    ] = None,
    seed: Seed = 0,
) -> None:  # fmt: skip
    name, recipe = joint.resolve(training)
    if compile_model and recipe.freeze == "backbone":
        raise UsageError("--compile has no effect on a frozen backbone: give --freeze batch-norm or nothing")
    if not joint.target:
        raise UsageError("give --target, the labelled records")
    if joint.multi_label:
        refuse_given(context, ("temperature",), "needs one softmax over classes; remove it or --multi-label")
    calibrate = recipe.temperature and not joint.multi_label
    sources = joint.sources()
    options = {
        "recipe": name, **asdict(recipe), "seed": seed, "temperature": calibrate, "target": joint.target,
        "auxiliary": sources, "val": val, "classes": classes, "query_map": digest_of_list(training.query_map),
        "output": streams.output,
    }  # fmt: skip

    def train(setting: "TrainingContext", accountant: ReadAccountant) -> "Iterator[Metrics]":
        from omnicli.data.query_labels import read_query_map
        from omnicli.stages.train import train_student
        from omnicli.streams.class_names import read_classes

        def read(inputs: list[str]) -> "Iterator[Record]":
            return accountant.read(InputOptions(inputs=inputs, root=streams.root))

        return train_student(
            read(joint.target or []),
            {source: read([text]) for source, text in sources.items()},
            val=accountant.read_validation(InputOptions(inputs=val, root=streams.root)) if val else None,
            classes=read_classes(classes) if classes else None,
            query_map=read_query_map(training.query_map) if training.query_map else None,
            recipe=recipe, seed=seed, calibrate=calibrate, resume=streams.resume,
            out=Path(streams.output or ""), context=setting, on_drop=accountant.on_drop,
            on_empty=lambda name: accountant.console.say(f"warning: auxiliary {name} has no records: left out"),
        )  # fmt: skip

    TrainingCommand(
        name="train", streams=streams, compute=compute, logging=logging, options=options, tensorboard=tensorboard,
        compile=compile_model, allow_overlap=training.allow_overlap, augmentations=training.augmentations(),
    ).run(train)  # fmt: skip
