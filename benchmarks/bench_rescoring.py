"""Measure how far bfloat16 is off on real images and clips, against the bound, and what rescoring costs; prints JSON.

    python benchmarks/bench_rescoring.py [--models tsn-resnet50 slowonly-r50] [--weights FILE] [--images N] [--clips N]

The bound is twice the largest error on random textures (``omnicli.inference.rescoring``); ``largest`` and
``median`` are errors of real views relative to it, so 1 or less is within. ``cost`` is CPU seconds of ``filter`` at a
threshold that 8 % of the records come near, with and without rescoring in turn, the measurement of the error included.
Classifiers are random; ``--weights`` are of the backbone of the first model. Images and clips are those of actions6.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the omni command sets it; torch reads it when it loads
import numpy as np
import torch
from bench_compile import in_turn
from bench_filter import ACTIONS6

from omnicli.inference.device import prepare_cpu
from omnicli.inference.predictor import forward_of
from omnicli.inference.rescoring import ErrorBound
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions, read_views
from omnicli.models.exact import with_exact
from omnicli.models.factory import create_model, model_spec
from omnicli.models.loading import LoadedModel
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record

CLIPS = ACTIONS6.parents[1] / "target" / "test"
NEAR = 0.08  # share of records that are scored again


def main() -> None:
    """The error of each model; the cost for the first one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["tsn-resnet50", "slowonly-r50"])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--clips", type=int, default=16)
    chosen = parser.parse_args()
    prepare_cpu()
    weights = [chosen.weights, *[None] * (len(chosen.models) - 1)]
    made = [both(name, init) for name, init in zip(chosen.models, weights, strict=True)]
    rows = [error_row(model, chosen.images, chosen.clips) for model in made]
    print(json.dumps({"bench": "rescoring", "error": rows, "cost": cost_row(made[0], 4 * chosen.images)}, indent=2))


def both(name: str, weights: Path | None) -> LoadedModel:
    """A model in bfloat16, and beside it in float32."""
    torch.manual_seed(0)
    network = create_model(name, num_classes=400, init=str(weights) if weights else "scratch").eval()
    spec = model_spec(name, classes=[str(k) for k in range(400)])
    exact = LoadedModel(network, spec, 1.0, "", name, torch.device("cpu"), torch.float32)
    return with_exact(exact, torch.bfloat16)


def some(folder: Path, count: int) -> list[Record]:
    """Records spread over a folder."""
    records = list(read_records([str(folder)], on_drop=lambda record, reason: None))
    return records[:: max(1, len(records) // count)][:count]


def error_row(model: LoadedModel, num_images: int, num_clips: int) -> dict[str, object]:
    """Errors of the log-odds of real views, relative to their bound."""
    exact = model.exact or model
    forwards = [forward_of(one.network, one) for one in (model, exact)]
    bound = ErrorBound([model], forwards[:1], forwards[1:])
    is_2d = model.network.is_2d
    ratios: list[float] = []
    for record in some(ACTIONS6, num_images) if is_2d else some(CLIPS, num_clips):
        try:
            [views] = read_views(record, models=[model], views=ViewOptions(num_clips=1))
        except Exception:  # an unreadable file of the crawl
            continue
        with torch.inference_mode():
            coarse, fine = (run(torch.from_numpy(views)).float().numpy() for run in forwards)
        [limit] = bound.of([coarse], [views])
        ratios += (np.ptp(coarse - fine, axis=1) / limit).tolist()
    row = {"model": model.spec.name, "views": len(ratios), "largest": round(max(ratios), 2)}
    return row | {"median": round(float(np.median(ratios)), 2)}


def cost_row(model: LoadedModel, num_images: int) -> dict[str, object]:
    """CPU seconds of scoring with and without a second pass over what is near."""
    records = some(ACTIONS6, num_images)
    ways = {"plain": replace(model, exact=None), "rescored": model}
    _, best, _ = in_turn({name: partial(score, one, records) for name, one in ways.items()}, rounds=2)
    seconds = {f"{name}_cpu_sec": round(value, 2) for name, value in best.items()}
    return {"model": model.spec.name, "near": NEAR, **seconds, "ratio": round(best["rescored"] / best["plain"], 3)}


def score(model: LoadedModel, records: Sequence[Record]) -> None:
    """Score all records, and measure the error."""
    is_near = {record.position for record in records[:: round(1 / NEAR)]}
    for _ in score_records(
        iter(records), models=[model], views=ViewOptions(), batch_size=32, on_drop=lambda *drop: None,
        undecided=lambda record, scores, error: record.position in is_near,
    ):  # fmt: skip
        pass


if __name__ == "__main__":
    main()
