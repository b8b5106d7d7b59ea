"""What the benchmark of a GPU looks at: generated images, videos and teachers; and what every section is given."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from omnicli.cpus import available_cores
from omnicli.data.transforms import normalise
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.factory import ModelSpec, create_model, model_spec
from omnicli.models.flow_spec import flow_spec
from omnicli.models.loading import LoadedModel, inference_copy
from omnicli.models.recogniser import Recogniser
from omnicli.models.resnet3d import BasicBlock, Bottleneck
from omnicli.models.video.registry import library_config

ROOT = Path(__file__).resolve().parent.parent
CLASSES = ("climbing", "diving", "juggling", "sailing")
FPS = 25
SPREAD = 3.0  # standard deviation of a seasoned model's logits: scores neither flat nor all 0 and 1
LEAST_APART = 0.1  # of a logit; what tells clips apart is not magnified further, and rounding with it
SMALL_GAIN = 0.3  # of what a block adds: at 0 a branch would be silent, at 1 a deep random model multiplies rounding


@dataclass
class Bench:
    """What a section is given, and where it puts what it finds, so that a section that is stopped has said something.

    Attributes:
        device: that is tried; the CPU is what it is compared with.
        is_smoke: tiny sizes, only to see that everything runs.
        folder: for files of this section.
        ends_at: time.monotonic() at which it should be over.
        found: what goes into the report.
        checks: everything that has a bar.
        errors: what parts of it failed with, by part.
    """

    device: torch.device
    is_smoke: bool
    folder: Path
    ends_at: float
    found: dict[str, Any] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def size(self, full: Any, smoke: Any) -> Any:
        """The first, or the second where sizes are tiny."""
        return smoke if self.is_smoke else full

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends_at - time.monotonic()

    @property
    def on_gpu(self) -> bool:
        """False where the script is tried on a CPU."""
        return self.device.type == "cuda"

    def check(self, name: str, value: float, bar: float, *, at_least: bool = False, is_speed: bool = False) -> None:
        """Note whether ``value`` is at most ``bar`` (or at least); a bar of speed is no error where it is missed."""
        if is_speed and self.is_smoke:
            return
        is_met = bool(value >= bar if at_least else value <= bar)
        kind = "speed" if is_speed else "correct"
        shown = value if np.isfinite(value) else str(value)  # JSON has no infinity
        self.checks.append({"name": name, "value": shown, "bar": bar, "met": is_met, "kind": kind})

    def sync(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[], object], *, repeats: int = 1) -> float:
        """Of one call, on average, all its work on the device included."""
        self.sync()
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        self.sync()
        return (time.perf_counter() - start) / repeats

    def best(self, call: Callable[[], object], *, repeats: int = 1, turns: int = 3) -> float:
        """The fastest of several turns."""
        return min(self.seconds(call, repeats=repeats) for _ in range(turns))


def rounded(value: float) -> float:
    """To four significant digits."""
    return float(f"{value:.4g}")


# Commands


def omni(bench: Bench, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a process; raises RuntimeError with the end of its stderr where it fails."""
    done = subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, timeout=max(bench.left, 1), check=False
    )
    if done.returncode:
        raise RuntimeError(f"omni {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr[-2000:]}")
    return done


def command(*arguments: object) -> list[str]:
    """The words that start ``omni`` with these arguments."""
    return [sys.executable, "-m", "omnicli", *map(str, arguments)]


def environment() -> dict[str, str]:
    """In which the package is found."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *([known] if known else [])]), "OMNI_DEBUG": "1"}


def together(bench: Bench, calls: Mapping[str, Callable[[], Any]], *, at_once: int | None = None) -> dict[str, Any]:
    """Results of calls that wait for processes, some at once; of those that fail, the error is noted."""
    made = {}
    with ThreadPoolExecutor(at_once or max(2, available_cores() // 2)) as pool:
        for name, waiting in {name: pool.submit(call) for name, call in calls.items()}.items():
            try:
                made[name] = waiting.result()
            except (RuntimeError, subprocess.TimeoutExpired, ValueError) as error:
                bench.errors[name] = str(error)[-3000:]
    return made


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# Images and videos


def image(number: int, label: int, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8: stripes whose direction and tint tell the class, under noise of its own."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (max(height // 12, 2), max(width // 12, 2), 3), dtype=np.uint8)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = np.pi * label / len(CLASSES)
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) / (4 + rng.random()) + 6 * rng.random())
    tint = np.roll([60, 0, -60], label % 3)
    return (0.4 * noise + 60 + 50 * stripes[..., None] + tint).clip(0, 255).astype(np.uint8)


def write_images(folder: Path, count: int, *, width: int = 340, height: int = 256, copies: int = 1) -> None:
    """JPEG files in a folder for each class, ``count`` of them, and ``copies`` - 1 further names of each."""

    def write(number: int) -> None:
        label = number % len(CLASSES)
        path = folder / CLASSES[label] / f"{number:05d}.jpg"
        cv2.imwrite(str(path), image(number, label, width, height), [cv2.IMWRITE_JPEG_QUALITY, 88])
        for copy in range(1, copies):
            os.link(path, path.with_name(f"{number:05d}-{copy}.jpg"))

    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(write, range(count)))


def write_videos(
    folder: Path, count: int, *, num_frames: int, width: int = 320, height: int = 240, copies: int = 1
) -> None:
    """Videos in a folder for each class: a window that wanders over a larger image, 25 frames per second."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"

    def write(number: int) -> None:
        label = number % len(CLASSES)
        path = folder / CLASSES[label] / f"{number:05d}.mp4"
        large = image(1_000_000 + number, label, width + 100, height + 100)
        with av.open(str(path), "w") as file:
            stream = file.add_stream(codec, rate=Fraction(FPS), options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.thread_count = 1
            for index in range(num_frames):
                top, left = int(50 + 49 * np.sin(index / 9)), int(50 + 49 * np.cos(index / 13))
                pixels = np.ascontiguousarray(large[top : top + height, left : left + width])
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode(None))
        for copy in range(1, copies):
            os.link(path, path.with_name(f"{number:05d}-{copy}.mp4"))

    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(write, range(count)))


def clips_of_images(count: int, num_frames: int, side: int) -> torch.Tensor:
    """(count, num_frames, side, side, 3) uint8: windows that wander over images of all classes."""
    clips = []
    for number in range(count):
        large = image(number, number % len(CLASSES), side + 16, side + 16)
        offsets = [(index % 16, index * 2 % 16) for index in range(num_frames)]
        clips.append(np.stack([large[top : top + side, left : left + side] for top, left in offsets]))
    return torch.from_numpy(np.stack(clips))


# Models


@torch.no_grad()
def seasoned(
    name: str,
    device: torch.device,
    *,
    classes: Sequence[str] = CLASSES,
    num_frames: int | None = None,
    crop_size: int | None = None,
    seed: int = 0,
) -> tuple[Recogniser, ModelSpec]:
    """A model of random weights that behaves like a trained one, in ``eval`` mode on ``device``; ``NAME+flow`` of flow.

    Its batch-norms have seen generated clips, and its classifier tells these apart: logits are up to 3 wide.
    """
    name, _, modality = name.partition("+")
    spec = model_spec(name, classes=classes, num_frames=num_frames, crop_size=crop_size)
    spec = flow_spec(spec) if modality == "flow" else spec
    with device:
        model = create_model(
            name, num_classes=len(classes), init="scratch", seed=seed, flow_pairs=spec.flow_pairs
        ).to_device(device)
    is_normal = "efficientnet" not in name  # which, of random weights, is chaos once its batch-norms work
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean of all that is seen
        if norm.affine and not norm.weight.any():
            norm.weight.fill_(SMALL_GAIN)
    for block in model.modules():
        if isinstance(block, BasicBlock | Bottleneck):
            block.last_norm.weight.fill_(SMALL_GAIN)
        if (
            getattr(block, "groups", 1) > 1 and is_normal
        ):  # a random kernel of one channel may let through little but rounding
            block.weight.abs_()
    clips = clips_of_images(4 * len(CLASSES), frames_of(spec), side_of(spec))
    inputs = [
        normalise(part, mean=spec.mean, std=spec.std, device=device) for part in clips.split(8)
    ]  # (N, 3, T, H, W) each
    model.train(is_normal)
    for part in inputs:
        model(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
    features = torch.cat([model.features(part) for part in inputs])
    weight = torch.randn(model.fc.weight.shape, generator=torch.Generator().manual_seed(seed)).to(device)
    apart, together = ((some @ weight.T).std() for some in (features - features.mean(dim=0), features))
    model.fc.weight.copy_(weight * (SPREAD / torch.maximum(apart, together * LEAST_APART)))
    model.fc.bias.copy_(-features.mean(dim=0) @ model.fc.weight.T)
    return model, spec


def frames_of(spec: ModelSpec) -> int:
    """Frames of an input: of all segments, and of all pairs of flow."""
    return spec.num_segments * spec.num_frames * max(1, spec.flow_pairs)


def side_of(spec: ModelSpec) -> int:
    """Pixels of the images that a model is tried on: few, but a transformer takes its own size only."""
    takes_one_size = "vit" in spec.name or library_config(spec.name)
    return spec.crop_size if takes_one_size else min(spec.crop_size, 112 if spec.num_frames > 1 else 128)


def write_teacher(path: Path, name: str, device: torch.device, **options: Any) -> Path:
    """A seasoned model as a checkpoint."""
    model, spec = seasoned(name, device, **options)
    save_checkpoint(path, meta={"model": spec.to_meta(), "temperature": None}, state_dict=model.state_dict())
    return path


def ready_teacher(name: str, device: torch.device, precision: torch.dtype, **options: Any) -> LoadedModel:
    """A seasoned model, ready to score."""
    model, spec = seasoned(name, device, **options)
    return inference_copy(LoadedModel(model, spec, 1.0, "", name, device, precision), precision)


def with_precision(teacher: LoadedModel, precision: torch.dtype) -> LoadedModel:
    """The same model in another precision; the one given is not to be used any more."""
    return replace(teacher, network=teacher.network.set_precision(precision), precision=precision)
