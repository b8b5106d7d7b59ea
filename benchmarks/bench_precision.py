"""Measure the speed-up of bfloat16 and of reduced-scale decoding, and whether decisions change; prints JSON.

    python benchmarks/bench_precision.py [--model tsn-resnet50] [--teacher tsn.pth --images DIR]

Bars: ``--precision auto`` >= 2 x the float32 forward pass where bfloat16 is native, as it is or as the program
that ``--compile auto`` makes of it in long jobs; the same decisions (kept or not at 0.5, and the label of kept images)
on >= 99.5 % of real images, for the precision and for reduced-scale JPEGs.
"""

import argparse
import importlib
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command sets it; torch reads it when it loads
import torch
from bench_filter import ACTIONS6, untrained_teacher

from omnicli.inference.batcher import Forward
from omnicli.inference.compiled import CompiledFunction
from omnicli.inference.device import pick_device, pick_precision, prepare_cpu
from omnicli.inference.predictor import forward_of
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions
from omnicli.media import source as media_source
from omnicli.models.loading import LoadedModel, load_model
from omnicli.streams.read.reader import read_records

THRESHOLD = 0.5
Verdict = tuple[bool, int]


def main() -> None:
    """Time forward passes in turn; with ``--teacher``, compare decisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tsn-resnet50")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--images", type=Path, default=ACTIONS6)
    parser.add_argument("--batch-size", type=int, default=32)
    chosen = parser.parse_args()
    prepare_cpu()
    rows = [forward_row(chosen.model, chosen.device, chosen.batch_size)]
    if chosen.teacher:
        rows += verdict_rows(chosen.teacher, chosen.images, chosen.device, chosen.batch_size)
    print(json.dumps({"bench": "precision", "rows": rows}, indent=2))


def forward_row(model: str, device: str, batch_size: int) -> dict[str, object]:
    """Seconds per batch in float32, in ``auto``, and in ``auto`` as a compiled program, measured in turn."""
    exact, auto = (untrained_teacher(model, device, name) for name in ("float32", "auto"))
    forwards = {
        "float32": forward_of(exact.network, exact),
        "auto": forward_of(auto.network, auto),
        "compiled": forward_of(CompiledFunction(auto.network, model), auto),
    }
    side = auto.spec.crop_size
    batch = torch.randint(0, 255, (batch_size, 1, side, side, 3), dtype=torch.uint8)
    best = dict.fromkeys(forwards, float("inf"))
    for forward in forwards.values():
        forward_seconds(forward, batch)  # compiles
    for _ in range(5):
        for name, forward in forwards.items():
            best[name] = min(best[name], forward_seconds(forward, batch))
    seconds = {f"{name}_sec": round(value, 3) for name, value in best.items()}
    speedup = {f"{name}_speedup": round(best["float32"] / best[name], 2) for name in ("auto", "compiled")}
    return {"what": f"{model} forward, auto = {auto.precision}", **seconds, **speedup, "bar": 2}


@torch.inference_mode()
def forward_seconds(forward: Forward, batch: torch.Tensor) -> float:
    """Seconds from one batch of bytes in memory to logits on the host."""
    start = time.perf_counter()
    forward(batch).float().cpu()
    return time.perf_counter() - start


def verdict_rows(path: Path, images: Path, device: str, batch_size: int) -> list[dict[str, object]]:
    """Decisions on real images, compared with float32 on fully decoded images."""
    where = pick_device(device)
    exact = verdicts(load_model(path, where, torch.float32), images, batch_size, reduced=False)
    auto = pick_precision("auto", where)
    ways = {
        f"precision auto ({auto})": verdicts(load_model(path, where, auto), images, batch_size, reduced=False),
        "reduced JPEG decode": verdicts(load_model(path, where, torch.float32), images, batch_size, reduced=True),
    }
    return [
        {
            "what": f"verdicts, {name}",
            "images": len(exact),
            "same": round(sum(got[key] == verdict for key, verdict in exact.items()) / len(exact), 4),
            "bar": 0.995,
        }
        for name, got in ways.items()
    ]


def verdicts(teacher: LoadedModel, images: Path, batch_size: int, *, reduced: bool) -> dict[str, Verdict]:
    """By id: kept or not, and the label of a kept image."""
    open_media = media_source.open_media
    records = read_records([str(images)], on_drop=lambda record, reason: None)
    score = partial(score_records, models=[teacher], views=ViewOptions(), batch_size=batch_size)
    made: dict[str, Verdict] = {}
    scoring: Any = importlib.import_module("omnicli.inference.scorer")

    scoring.open_media = open_media if reduced else partial(_open_whole, open_media)
    try:
        for record, scores in score(records, on_drop=lambda record, reason: None):
            label = int(scores.argmax())
            is_kept = bool(scores[label] >= THRESHOLD)
            made[record["id"]] = (is_kept, label if is_kept else -1)
    finally:
        scoring.open_media = open_media
    return made


class _Whole:
    """A source that always decodes at full scale."""

    def __init__(self, source: media_source.MediaSource) -> None:
        self._source = source

    def __enter__(self) -> "_Whole":
        return self

    def __exit__(self, *error: object) -> None:
        self._source.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def read(self, frame_indices: list[int], *, short_side: int | None = None) -> object:
        """The frames, read without the hint that allows reduced-scale decoding."""
        return self._source.read(frame_indices)


def _open_whole(open_media: object, record: object, *, root: str | None = None) -> _Whole:
    return _Whole(open_media(record, root=root))


if __name__ == "__main__":
    main()
