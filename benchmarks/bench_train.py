"""Training on packed frames against the same steps on tensors that are ready; ratios of one run, as JSON.

    python benchmarks/bench_train.py [--model tsn-resnet50] [--batch-size 8] [--repeats 3] [--device auto]

Bar: step time <= 1.05 x. Two packed sources, videos as the target and images from the web, one step for both (Eq. 1),
read, cropped and stacked while the model works. ``images_to_still_clips`` is the time of a step of images over that of
the same images repeated to the number of segments. An epoch of each kind in turn; the fastest of each counts. Processor
time tells the same of a CPU that others use at the same time.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command settles it; torch reads it when it loads
import cv2
import numpy as np
import torch
from bench_pack import smooth

from omnicli.data.dataloader import Example, StepBatch
from omnicli.inference.device import pick_device, pick_precision, prepare_cpu
from omnicli.models.loading import LoadedModel
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter
from omnicli.training.batch_sampler import JointSampler, TrainingSource
from omnicli.training.context import TrainingContext
from omnicli.training.inputs import ClipInputs
from omnicli.training.loop import train_epoch
from omnicli.training.objective import Objective
from omnicli.training.recipe_fields import as_student
from omnicli.training.recipes import TEACHER_RECIPES
from omnicli.training.setup import create_learner, make_augmentation, prepare_training
from omnicli.training.trainer import TrainingRun

NUM_FRAMES = 40


def pack(folder: Path, name: str, count: int, num_frames: int) -> list[Example]:
    """Media of 340 x 256 as ``omni pack`` keeps them: one video of a source is enough to be read again and again."""
    big = smooth(340 + 200, 256 + 200, 1)
    frames = []
    for index in range(num_frames):
        top, left = 100 + 2 * index % 100, 100 + 3 * index % 100
        pixels = np.ascontiguousarray(big[top : top + 256, left : left + 340])
        frames.append(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    shards = ShardWriter(folder / name, stage="pack", kind="frames", provenance={})
    examples = []
    for number in range(count):
        record = Record({"id": f"{name}{number}", **({"media": "image"} if num_frames == 1 else {})})
        record.arrays = {"frames": frames, "times": np.arange(num_frames) / 25, "span_sec": (0.0, num_frames / 25)}
        examples.append(Example(shards.add(record), number % 2))
    shards.close()
    return examples


def seconds_per_step(run: TrainingRun, batches: Iterable[StepBatch], inputs: ClipInputs) -> np.ndarray:
    """(2,) wall and processor time of a step after the first, which waits for the first clips."""
    begun: list[np.ndarray] = []

    def timed() -> Iterator[StepBatch]:
        for batch in batches:
            begun.append(now())
            yield batch

    train_epoch(run, timed(), inputs, Objective(num_classes=2))
    run.progress.next_epoch()
    return (now() - begun[1]) / (len(begun) - 1)


def images_and_stills(steps: Sequence[StepBatch], num_segments: int) -> tuple[list[StepBatch], list[StepBatch]]:
    """The images of each step as they are, and as still clips of so many segments."""
    images = [part for step in steps for part in step.parts if part.source == "web"]
    stills = [replace(part, clips=part.clips.repeat(1, num_segments, 1, 1, 1)) for part in images]
    return [StepBatch((part,)) for part in images], [StepBatch((part,)) for part in stills]


def now() -> np.ndarray:
    """(2,) wall clock, and processor time of all threads."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return np.array([time.perf_counter(), time.process_time()])


def main() -> None:
    """Measure both kinds of epoch in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tsn-resnet50")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    chosen = parser.parse_args()
    prepare_cpu()
    device = pick_device(chosen.device)
    context = TrainingContext(device=device, precision=pick_precision(chosen.precision, device))
    recipe = replace(
        as_student(TEACHER_RECIPES["tsn-r50-3seg"]),
        model=chosen.model,
        init="scratch",
        epochs=9999,
        batch_size=chosen.batch_size,
    )
    with tempfile.TemporaryDirectory() as folder:
        target = pack(Path(folder), "t", chosen.batch_size * chosen.steps, NUM_FRAMES)
        web = pack(Path(folder), "w", chosen.batch_size * chosen.steps, 1)
        sources = [TrainingSource("target", target, chosen.batch_size)]
        sources.append(TrainingSource("web", web, chosen.batch_size, np.ones(len(web))))
        sampler = JointSampler(sources, [1, 1])
        spec, model = create_learner(recipe, ["a", "b"], 0, context)
        run = prepare_training(model, recipe, sampler, Path(folder) / "a.pth", {}, context)
        augmentation = make_augmentation(spec, recipe, seed=0, stage="train", root=None)
        loaded = LoadedModel(model, spec, 1.0, "", "", device, torch.float32)
        inputs = ClipInputs(loaded, sampler, augmentation, context)
        ready = list(inputs.batches({}, 0, 0))
        seconds_per_step(run, ready, inputs)  # warm
        images, stills = images_and_stills(ready, spec.num_segments)
        times: dict[str, list[np.ndarray]] = {"ready": [], "packed": [], "images": [], "stills": []}
        for repeat in range(chosen.repeats):
            times["images"].append(seconds_per_step(run, images, inputs))
            times["stills"].append(seconds_per_step(run, stills, inputs))
            times["ready"].append(seconds_per_step(run, ready, inputs))
            times["packed"].append(seconds_per_step(run, inputs.batches({}, repeat, 0), inputs))
    fastest = {name: np.min(found, axis=0) for name, found in times.items()}
    wall, processor = (fastest["packed"] / fastest["ready"]).round(3).tolist()
    shown = {
        "model": chosen.model, "device": str(device), "precision": str(context.precision),
        "seconds_a_step": {name: round(found[0], 4) for name, found in fastest.items()},
        "ratio": wall, "ratio_of_processor_time": processor, "bar": 1.05,
        "frames_per_image": images[0].parts[0].clips.shape[1], "segments": spec.num_segments,
        "images_to_still_clips": round(float(fastest["images"][0] / fastest["stills"][0]), 3),
    }  # fmt: skip
    print(json.dumps(shown, indent=2))


if __name__ == "__main__":
    main()
