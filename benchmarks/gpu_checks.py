"""Does a GPU compute what a CPU computes? Every architecture, and the commands from end to end."""

import copy
import json
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from gpu_media import (
    CLASSES,
    Bench,
    clips_of_images,
    command,
    environment,
    frames_of,
    lines_of,
    omni,
    rounded,
    seasoned,
    side_of,
    together,
    write_images,
    write_teacher,
    write_videos,
)
from torch import Tensor

from omnicli.data.transforms import normalise
from omnicli.inference.device import pick_precision
from omnicli.models.checkpoint import load_any
from omnicli.models.factory import ModelSpec
from omnicli.models.loading import LoadedModel, inference_copy
from omnicli.models.recogniser import ClipModel, Recogniser
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS
from omnicli.models.slowfast import SLOWFAST_CONFIGS
from omnicli.models.video.registry import library_names

SCORE_BAR = 1e-4  # confidences of two devices, in float32
ROUNDING = 3.0  # or so many times what folding batch-norms changes, which is rounding, where a model magnifies that
FEATURE_BAR = 5e-3  # of the largest feature: they are stored as float16
THRESHOLD = 0.5
NUM_CLASSES = 40  # of the teachers that filter, so that confidences lie on both sides of the threshold
EXIT_INTERRUPTED = 75
FIELDS = {"segment-2d": "frame_scores", "segment-3d": "confidence", "eval": "confidence", "dedup": "similarity"}
# What the papers use comes first, in case time ends; the other members of the family follow.
FIRST = (
    "tsn-resnet50", "slowonly-r50", "tsm-resnet50", "tsn-tf_efficientnet_b4", "tsn-bninception", "ircsn-r152",
    "slowfast-r50", "r2plus1d-r34", "tsn-resnet50+flow", "i3d-r50+flow", "torchvision-mvit_v2_s",
    "torchvision-swin3d_t", "transformers-videomae", "r2plus1d-mm-r34", "i3d-nl-r50", "ipcsn-r50", "slowonly-nl-r50",
    "torchvision-r2plus1d_18", "r3d-r18",
    "torchvision-mc3_18", "tsn-torchvision.resnet18", "tsn-vit_tiny_patch16_224", "slowonly-r101", "ircsn-r50",
    "i3d-r50", "r2plus1d-r18", "r2d-r18",
)  # fmt: skip
SMOKE = ("tsn-resnet10t", "tsm-resnet10t", "slowonly-r18w16", "tsn-bninception", "tsn-resnet10t+flow")


# Models


def parity(bench: Bench) -> None:
    """Scores of every architecture, on both devices and in all precisions that the package knows."""
    names = bench.size([*dict.fromkeys([*FIRST, *RESNET3D_CONFIGS, *SLOWFAST_CONFIGS, *library_names()])], SMOKE)
    rows = bench.found["models"] = {}
    left_out = bench.found["left_out"] = []
    for name in names:
        if bench.left < 3:
            left_out.append(name)
            continue
        start = time.perf_counter()
        try:
            rows[name] = parity_of(name, bench)
        except Exception as error:
            rows[name] = {"error": f"{type(error).__name__}: {error}"[:600]}
        rows[name]["seconds"] = round(time.perf_counter() - start, 1)
        bar = max(SCORE_BAR, ROUNDING * rows[name].get("folding_score_diff", 0.0))
        bench.check(f"{name}: scores", rows[name].get("score_diff", float("inf")), bar)
    bench.found["worst"] = max((row.get("score_diff", 0.0) for row in rows.values()), default=None)


def parity_of(name: str, bench: Bench) -> dict[str, Any]:
    """What differs: between devices in float32, by TF32, by bfloat16."""
    allow_tf32(False)
    model, spec = seasoned(name, bench.device)
    views = clips_of_images(len(CLASSES), frames_of(spec), side_of(spec))
    whole = logits_of(model, spec, views)
    loaded = LoadedModel(model, spec, 1.0, "", name, bench.device, torch.float32)
    model = inference_copy(loaded, torch.float32).network
    expected = logits_of(copy.deepcopy(model).cpu(), spec, views)
    got = logits_of(model, spec, views)
    row: dict[str, Any] = {"logit_diff": relative(got, expected), "score_diff": apart(got, expected)}
    row["score_range"] = [rounded(float(value)) for value in scores(expected).amax(1).aminmax()]
    row["folding_score_diff"] = apart(got, whole)  # what rounding does to this model on one device
    if isinstance(model, ClipModel):
        row["window_score_diff"] = windows_apart(model, spec)
        bar = max(SCORE_BAR, ROUNDING * row["folding_score_diff"])
        bench.check(f"{spec.name}: scores of windows", row["window_score_diff"], bar)
    allow_tf32(True)
    row["tf32_score_diff"] = apart(logits_of(model, spec, views), expected)
    pick_precision("float32", bench.device)  # as every command does it
    row["own_default_score_diff"] = apart(logits_of(model, spec, views), expected)
    model.set_precision(torch.bfloat16)
    half = logits_of(model, spec, views)
    row["bfloat16_score_diff"] = apart(half, expected)
    row["bfloat16_same_label"] = bool((half.argmax(1) == expected.argmax(1)).all())
    return row


def allow_tf32(is_allowed: bool) -> None:
    """In convolutions, as PyTorch does unless told otherwise; in products of matrices it never does."""
    torch.backends.cudnn.allow_tf32 = is_allowed
    torch.backends.cuda.matmul.allow_tf32 = False


@torch.inference_mode()
def logits_of(model: Recogniser, spec: ModelSpec, views: Tensor) -> Tensor:
    """(N, K) on the host, of views (N, T, H, W, 3), as ``scoring.forward_of`` computes them."""
    weight = next(model.backbone.parameters())
    clips = normalise(views, mean=spec.mean, std=spec.std, dtype=weight.dtype, device=weight.device)
    return model(clips).float().cpu()


@torch.inference_mode()
def windows_apart(model: ClipModel, spec: ModelSpec) -> float:
    """The largest difference of a score between devices where images are larger than crops."""
    views = clips_of_images(1, spec.num_frames, 96)
    found = []
    for one in (copy.deepcopy(model).cpu(), model):
        device = next(one.parameters()).device
        clips = normalise(views, mean=spec.mean, std=spec.std, device=device)
        found.append(one.window_logits(clips, crop_size=64).flatten(0, 1).cpu())
    return apart(found[1], found[0])


def scores(logits: Tensor) -> Tensor:
    """(N, K)."""
    return torch.softmax(logits.double(), dim=-1)


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference of a score."""
    difference = float((scores(one) - scores(other)).abs().max())
    return rounded(difference) if np.isfinite(difference) else float("inf")


def relative(one: Tensor, other: Tensor) -> float:
    """The largest difference by the largest value."""
    return rounded(float((one - other).abs().max() / other.abs().max()))


# Filtering


def filtering(bench: Bench) -> None:
    """``omni filter`` on both devices: the same records, the same confidences; and what bfloat16 decides."""
    images, videos = bench.folder / "images", bench.folder / "videos"
    write_images(images, bench.size(320, 24))
    write_videos(videos, bench.size(16, 3), num_frames=bench.size(75, 20))
    kinds = {
        "2d": (bench.size("tsn-resnet50", "tsn-resnet10t"), [images, videos], []),
        "3d": (bench.size("slowonly-r50", "slowonly-r18w16"), [videos], ["--num-clips", 3]),
    }
    runs = [("cpu", "float32"), (bench.device.type, "float32"), (bench.device.type, "bfloat16")]
    calls: dict[str, Any] = {}
    for kind, (name, inputs, options) in kinds.items():
        path, many = bench.folder / f"{kind}.pth", [f"class {number}" for number in range(NUM_CLASSES)]
        teacher = write_teacher(path, name, bench.device, classes=many, crop_size=bench.size(None, 64))
        for place, (device, precision) in enumerate(runs):
            title = f"{kind}, {device}, {precision}" + (", reference" if place == 0 else "")
            out = bench.folder / f"{kind}-{place}.jsonl"
            where = ["--device", device, "--precision", precision, "--batch-size", bench.size(32, 8)]
            words = ["filter", "--teacher", teacher, "--score-only", *options, *where, "-q", "-o", out, *inputs]
            calls[title] = partial(omni, bench, *words)
    bench.found["ran"] = list(together(bench, calls))
    for kind in kinds:
        if any(title.startswith(kind) for title in bench.errors):
            continue
        expected, single, half = (lines_of(bench.folder / f"{kind}-{place}.jsonl") for place in range(len(runs)))
        row = {"float32": compared(single, expected), "bfloat16": compared(half, expected)}
        bench.found[kind] = row
        bench.check(f"{kind}: records that are missing or moved", row["float32"]["other_records"], 0)
        bench.check(f"{kind}: confidences", row["float32"]["confidence_diff"], SCORE_BAR)
        bench.check(f"{kind}: records that are missing or moved, bfloat16", row["bfloat16"]["other_records"], 0)


def compared(lines: list[dict[str, Any]], expected: list[dict[str, Any]]) -> dict[str, Any]:
    """How two runs of filter differ."""
    pairs = list(zip(lines, expected, strict=False))
    verdicts = [(verdict(line), verdict(other)) for line, other in pairs]
    return {
        "records": len(expected),
        "other_records": sum(line["id"] != other["id"] for line, other in pairs) + abs(len(lines) - len(expected)),
        "confidence_diff": rounded(max(abs(line["confidence"] - other["confidence"]) for line, other in pairs)),
        "same_verdict": rounded(sum(one == other for one, other in verdicts) / len(verdicts)),
        "kept": sum(other >= 0 for _, other in verdicts),
    }


def verdict(line: dict[str, Any]) -> int:
    """The label, or -1 for what is dropped."""
    return int(line["pseudo_label"]) if line["confidence"] >= THRESHOLD else -1


# Training


def training(bench: Bench) -> None:
    """Every way of training from end to end, and one that is interrupted."""
    target, clips, web = bench.folder / "target", bench.folder / "clips", bench.folder / "web"
    write_images(target, bench.size(96, 16), width=170, height=128)
    write_videos(clips, bench.size(32, 8), num_frames=bench.size(50, 20), width=160, height=120)
    write_images(web, bench.size(64, 16), width=170, height=128)
    small = bench.size("tsn-resnet18", "tsn-resnet10t")
    three_d = bench.size("slowonly-r50", "slowonly-r18w16")
    scratch = ["--init", "scratch", "--crop-size", bench.size(112, 32), "--device", bench.device.type, "-q"]
    labelled = bench.folder / "web.jsonl"
    labelled.write_text("".join(
        json.dumps({"path": str(path), "pseudo_label": CLASSES.index(path.parent.name)}) + "\n"
        for path in sorted(web.rglob("*.jpg"))
    ))  # fmt: skip
    backbone = write_teacher(bench.folder / "backbone.pth", small, bench.device, crop_size=bench.size(112, 32))
    tuned = ["--init", backbone, "--device", bench.device.type, "--epochs", bench.size(4, 2), "-q"]
    epochs = ["--epochs", bench.size(20, 4), "--batch-size", 8, "--precision", "float32"]
    few = ["--epochs", bench.size(8, 2), "--batch-size", 8]
    plain = ["teacher-train", target, "--model", small, *scratch, *epochs]
    joint = ["train", "--target", target, "--val", target, "--auxiliary", labelled, "--model", small, *scratch, *few]
    runs = {
        "float32": partial(trained, bench, "whole", *plain),
        "float32 again": partial(trained, bench, "again", *plain),
        "interrupted": partial(interrupted, bench, "resumed", *plain),
        "bfloat16": partial(trained, bench, "half", *plain[:-1], "bfloat16"),
        "cross mixup, averaged weights": partial(
            trained, bench, "cross", *joint, "--mixup", "cross", "--ema", 0.9, "--precision", "bfloat16"
        ),
        "several labels, accumulated": partial(
            trained, bench, "several", *joint, "--multi-label", "--mixup", "intra", "--accumulate", 2
        ),
        "3d": partial(trained, bench, "3d", "teacher-train", clips, "--model", three_d, *scratch, *few),
        "frozen backbone": partial(trained, bench, "frozen", "teacher-train", target, *tuned),
        "fine-tuned": partial(
            trained, bench, "tuned", "teacher-train", target, "--freeze", "batch-norm", "--mixup-alpha", 0.2, *tuned
        ),
    }
    if bench.is_smoke:
        del runs["float32 again"], runs["bfloat16"]
    found = bench.found["runs"] = together(bench, runs, at_once=bench.size(9, 2))
    for name, row in found.items():
        bench.check(f"{name}: least loss by first", rounded(min(row["losses"][1:]) / row["losses"][0]), 1.0)
    if "interrupted" in found:
        codes = found["interrupted"]["exit_codes"]
        bench.check("exit codes of an interrupted run are not 75, 0", float(codes != [EXIT_INTERRUPTED, 0]), 0)
    apart = bench.found["weights_apart"] = {
        name: weights_apart(bench, file)
        for name, file in (("interrupted", "resumed"), ("float32 again", "again"))
        if name in found and "float32" in found
    }
    if not bench.on_gpu:  # promised on a CPU only
        bench.check("weights of an interrupted run", apart.get("interrupted", float("inf")), 0)


def trained(bench: Bench, name: str, *words: object) -> dict[str, Any]:
    """Run a training to its end."""
    start = time.perf_counter()
    done = omni(bench, *words, "-o", bench.folder / f"{name}.pth")
    return told(done.stdout, time.perf_counter() - start)


def interrupted(bench: Bench, name: str, *words: object) -> dict[str, Any]:
    """Run a training, stop it after two epochs, and take it up again."""
    start = time.perf_counter()
    call = command(*words, "-o", bench.folder / f"{name}.pth")
    with subprocess.Popen(
        call, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        for _ in range(2):
            process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=max(bench.left, 1))
        finally:
            process.kill()
    done = omni(bench, *words, "-o", bench.folder / f"{name}.pth")
    return told(done.stdout, time.perf_counter() - start) | {"exit_codes": [process.returncode, done.returncode]}


def told(stdout: str, seconds: float) -> dict[str, Any]:
    """What the metric records of a training say."""
    lines = [json.loads(line) for line in stdout.splitlines()]
    target = [line for line in lines if line.get("source", "target") == "target"]
    last = {key: value for key, value in target[-1].items() if key.startswith(("train_top1", "val_"))}
    epoch_sec = float(np.median([line["seconds"] for line in target]))
    losses = [rounded(line["train_loss"]) for line in target]
    return {"losses": losses, "last": last, "epoch_sec": epoch_sec, "seconds": round(seconds, 1)}


def weights_apart(bench: Bench, name: str) -> float:
    """The largest difference of a weight to those of the run that was left alone."""
    one, other = (load_any(bench.folder / f"{which}.pth").state_dict for which in (name, "whole"))
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


# Other commands


def commands(bench: Bench) -> None:
    """``features``, ``segment``, ``eval`` and ``dedup`` on both devices."""
    images, videos = bench.folder / "images", bench.folder / "videos"
    write_images(images, bench.size(160, 40))
    write_videos(videos, bench.size(8, 2), num_frames=bench.size(300, 50))
    crop, target = bench.size(None, 64), images / CLASSES[0]
    names = bench.size(("tsn-resnet50", "slowonly-r50"), ("tsn-resnet10t", "slowonly-r18w16"))
    flat, deep = (write_teacher(bench.folder / f"{name}.pth", name, bench.device, crop_size=crop) for name in names)
    calls: dict[str, Any] = {}
    for place, device in enumerate(("cpu", bench.device.type)):
        where = ["--device", device, "--precision", "float32", "--batch-size", bench.size(32, 8), "-q"]
        made = bench.folder / str(place)
        made.mkdir()
        segment = ["segment", "--score-only", *where, videos]
        words = {
            "features": ["features", "--checkpoint", flat, "--shards", made / "features", *where, images],
            "segment-2d": [*segment, "--teacher", flat],
            "segment-3d": [*segment, "--teacher", deep, "--clip-sec", 1, "--num-clips", 2],
            "eval": ["eval", "--checkpoint", flat, "--crops", "three", *where, images],
            "dedup": ["dedup", "--checkpoint", flat, "--target", target, "--score-only", *where, images],
        }
        for name, some in words.items():
            calls[f"{name}, {place}"] = partial(omni, bench, *some, "-o", made / f"{name}.jsonl")
    ran = together(bench, calls)
    expected, got = (bench.folder / "0", bench.folder / "1")
    if {"features, 0", "features, 1"} <= set(ran):
        found = [features_of(folder) for folder in (got, expected)]
        bench.found["features"] = rounded(float(np.abs(found[0] - found[1]).max() / np.abs(found[1]).max()))
        bench.check("features", bench.found["features"], FEATURE_BAR)
    for name, field in FIELDS.items():
        if not {f"{name}, 0", f"{name}, 1"} <= set(ran):
            continue
        lines = [lines_of(folder / f"{name}.jsonl") for folder in (got, expected)]
        difference, count = fields_apart(lines[0], lines[1], field)
        bench.found[name] = {"field": field, "values": count, "diff": difference}
        # Similarities are of features that were rounded to float16.
        bar = FEATURE_BAR if name == "dedup" else SCORE_BAR
        bench.check(f"{name}: {field}", difference if count else float("inf"), bar)


def features_of(folder: Path) -> np.ndarray:
    """All that ``omni features`` stored."""
    parts = []
    for path in sorted((folder / "features").glob("*.h5")):
        with h5py.File(path) as file:
            parts.append(file["features"][:].astype(np.float32))
    return np.concatenate(parts)


def fields_apart(lines: list[dict[str, Any]], expected: list[dict[str, Any]], field: str) -> tuple[float, int]:
    """The largest difference of a field, and of how many values; infinite where ids differ."""
    if [line.get("id") for line in lines] != [line.get("id") for line in expected]:
        return float("inf"), len(expected)
    pairs = [(np.ravel(line[field]), np.ravel(other[field])) for line, other in zip(lines, expected, strict=True)
             if other.get(field) is not None]  # fmt: skip
    if not all(len(one) == len(other) for one, other in pairs):
        return float("inf"), len(expected)
    count = sum(len(one) for one, _ in pairs)
    return rounded(float(max((np.abs(one - other).max(initial=0.0) for one, other in pairs), default=0.0))), count
