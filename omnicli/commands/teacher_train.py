"""Train a teacher on labelled clips.

    omni teacher-train target/train --val target/val --model tsn-resnet50 -o tsn.pth > metrics.jsonl

    omni teacher-train k400_train.jsonl --recipe tsn-r50-3seg --root /data/k400 -o tsn.pth

    torchrun --nproc-per-node 8 -m omnicli teacher-train k400.jsonl --recipe slowonly-r50-4x16 -o slowonly.pth

    omni teacher-train hashtags.jsonl --recipe ig65m-r2plus1d-34 -o ig65m.pth

INPUTs need classes: records with class_name or label, or one folder per class; with --target-label query the classes
are those of the queries. Records with a weight (omni balance) are drawn by it. One metric record per epoch goes to
stdout. Without --recipe the backbone stays frozen, which suits a few clips per class; --freeze batch-norm fine-tunes
it, --init scratch trains all weights. To filter images, train a 2D model (tsn-...); 3D models accept videos only. If
training is interrupted, the same command continues it.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from omnicli.commands.options.compute import ComputeOptions, Seed
from omnicli.commands.options.digests import digest_of_list
from omnicli.commands.options.groups import Adapt, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import OF_JOBS, CheckpointFile, InputOptions, StreamOptions
from omnicli.commands.options.training import Classes, TrainingOptions, Val
from omnicli.commands.run.counters import ReadAccountant
from omnicli.commands.run.training_run import Metrics, TrainingCommand
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omnicli.training.context import TrainingContext


@takes_groups
def command(
    streams: Annotated[StreamOptions, Adapt(*OF_JOBS, output=CheckpointFile)],
    training: TrainingOptions,
    compute: Annotated[ComputeOptions, Adapt("batch_size", "compile_mode")],
    logging: LoggingOptions,
    classes: Classes = None,
    val: Val = None,
    seed: Seed = 0,
) -> None:
    name, recipe = training.resolve()
    if training.query_map and recipe.target_label != "query":
        raise UsageError("--query-map needs --target-label query")
    options = {
        "recipe": name, **asdict(recipe), "seed": seed, "classes": classes,
        "query_map": digest_of_list(training.query_map),
        "inputs": streams.inputs or ["-"], "val": val, "output": streams.output,
    }  # fmt: skip
    command = TrainingCommand(
        name="teacher-train", streams=streams, compute=compute, logging=logging, options=options,
        allow_overlap=training.allow_overlap, augmentations=training.augmentations(),
    )  # fmt: skip

    def train(setting: "TrainingContext", accountant: ReadAccountant) -> "Iterator[Metrics]":
        from omnicli.data.query_labels import read_query_map
        from omnicli.stages.teacher_train import train_teacher
        from omnicli.streams.class_names import read_classes

        return train_teacher(
            accountant.read(streams),
            val=accountant.read_validation(InputOptions(inputs=val, root=streams.root)) if val else None,
            classes=read_classes(classes) if classes else None,
            query_map=read_query_map(training.query_map) if training.query_map else None,
            recipe=recipe, seed=seed, calibrate=recipe.temperature, resume=streams.resume,
            out=Path(streams.output or ""), context=setting, on_drop=accountant.on_drop,
        )  # fmt: skip

    command.run(train)
