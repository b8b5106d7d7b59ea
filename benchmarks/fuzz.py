"""Damage media in every way that happens and let every command that reads media read them; prints JSON.

    python benchmarks/fuzz.py [--files 10000] [--batches 20] [--seed 0] [--keep DIR]

Bars: every exit code is 0 or 3, in = kept + rejected + unreadable each time and equals the number of files, no internal
error, no batch over the limits of time and memory, and no image kept that a strict decoder refuses and that is far from
the original.
"""

import argparse
import io
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from omnicli.errors import OmniError
from omnicli.media.source import open_media
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.factory import create_model, model_spec
from omnicli.streams.record import Record

TEACHER = "tsn-resnet10t"
FAR = 25  # mean absolute difference of 8-bit pixels
NUM_FRAMES, FPS, HEIGHT, WIDTH = 40, 10, 96, 128
IMAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline.jpg": ("JPEG", {"quality": 90}),
    "progressive.jpg": ("JPEG", {"progressive": True}),
    "plain.png": ("PNG", {}),
    "lossy.webp": ("WEBP", {}),
    "lossless.webp": ("WEBP", {"lossless": True}),
    "still.gif": ("GIF", {}),
    "plain.bmp": ("BMP", {}),
    "plain.tiff": ("TIFF", {}),
    "packed.tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "plain.avif": ("AVIF", {}),
}
VIDEOS = {
    "h264.mp4": "libx264", "mpeg4.mp4": "mpeg4", "mpeg4.avi": "mpeg4", "mjpeg.avi": "mjpeg", "h264.mkv": "libx264",
    "vp8.webm": "libvpx", "mpeg2.ts": "mpeg2video", "h264.ts": "libx264",
}  # fmt: skip


def moving_image() -> np.ndarray:
    """(T, H, W, 3) uint8 frames of a moving texture."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (HEIGHT // 8 + 1, WIDTH // 4 + 1, 3), np.uint8)
    texture = np.asarray(Image.fromarray(coarse).resize((2 * WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    return np.stack([np.roll(texture, 3 * index, axis=1)[:, :WIDTH] for index in range(NUM_FRAMES)])


def write_video(path: Path, codec: str, frames: np.ndarray) -> None:
    """Encode the frames."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, FPS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 12
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def write_seeds(folder: Path) -> dict[str, bytes]:
    """Intact files of every format."""
    frames = moving_image()
    folder.mkdir()
    for name, (kind, options) in IMAGES.items():
        Image.fromarray(frames[0]).save(folder / name, kind, **options)
    for name, codec in VIDEOS.items():
        write_video(folder / name, codec, frames)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def flip_bits(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    """1 to 64 bits."""
    for _ in range(rng.choice((1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def truncate(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    """A download that broke off."""
    return data[: rng.randrange(1, len(data))]


def splice(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    """Two downloads in one file."""
    return data[: rng.randrange(1, len(data))] + other[rng.randrange(len(other)) :]


def zero(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    """A hole in a preallocated file."""
    start = rng.randrange(len(data))
    length = min(len(data) - start, rng.choice((16, 512, 4096, len(data))))
    data[start : start + length] = bytes(length)
    return data


def delete(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    """A lost block."""
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 16, 512, 4096)) :]


def swap_header(data: bytearray, rng: random.Random, other: bytes) -> bytearray:
    """The beginning of another file."""
    length = rng.choice((4, 16, 64, 512))
    return bytearray(other[:length]) + data[length:]


DAMAGES: tuple[Callable[[bytearray, random.Random, bytes], bytearray], ...] = (
    flip_bits, truncate, splice, zero, delete, swap_header,
)  # fmt: skip


def write_batch(folder: Path, seeds: Mapping[str, bytes], rng: random.Random, count: int) -> None:
    """Damaged files, named NUMBER-DAMAGE-SEED."""
    folder.mkdir()
    names = sorted(seeds)
    for number in range(count):
        name, damage = rng.choice(names), rng.choice(DAMAGES)
        data = damage(bytearray(seeds[name]), rng, seeds[rng.choice(names)])
        (folder / f"{number:05d}-{damage.__name__}-{name}").write_bytes(data)


def write_teacher(path: Path) -> None:
    """A small teacher with random weights."""
    spec = model_spec(TEACHER, classes=["a", "b", "c"])
    model = create_model(TEACHER, num_classes=3, init="scratch")
    save_checkpoint(path, meta={"model": spec.to_meta(), "temperature": None}, state_dict=model.state_dict())


def commands(folder: Path, work: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command that reads media."""
    teacher = str(work / "teacher.pth")
    yield "index", ["index", "--probe", str(folder)]
    yield "filter", ["filter", "--teacher", teacher, "--num-segments", "3", str(folder)]
    yield "pack", ["pack", "--shards", str(work / "packed"), str(folder)]
    yield "features", ["features", "--checkpoint", teacher, "--shards", str(work / "features"), str(folder)]
    yield "segment", ["segment", "--teacher", teacher, str(folder)]
    yield "dedup", ["dedup", "--method", "census", "--target", str(work / "seeds"), str(folder)]


def peak_of(process_id: int) -> int:
    """Peak memory so far in MiB. Ours: that of ``wait4`` counts the process before its program was loaded."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) >> 10 if found else 0


def run(arguments: list[str], work: Path, *, memory_gb: float, limit_sec: float) -> dict[str, Any]:
    """Run a command as a process and return its exit code, counts, seconds, and peak memory in MiB."""
    summary, output = work / "summary.json", work / "out.jsonl"
    summary.unlink(missing_ok=True)
    limit = int(memory_gb * 2**30)
    line = [sys.executable, "-m", "omnicli", *arguments, "--summary", str(summary), "-o", str(output)]
    line += ["--no-resume", "--max-bad", "100%"]
    start = time.monotonic()
    with (work / "stderr").open("w") as errors:
        process = subprocess.Popen(
            line, stderr=errors, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid))
            if time.monotonic() - start > limit_sec:
                process.kill()
            time.sleep(0.05)
    counts = json.loads(summary.read_text()) if summary.exists() else {}
    rejected = counts.get("rejected", {})
    return {
        "exit": process.returncode,
        "in": counts.get("in"),
        "kept": counts.get("kept", 0),
        "rejected": sum(rejected.values()),
        "unreadable": counts.get("unreadable", 0),
        "internal": rejected.get("internal error", 0),
        "seconds": round(time.monotonic() - start, 1),
        "peak_mib": peak,
        "said": (work / "stderr").read_text(errors="replace")[-400:],
    }


def strictly_decodes(data: bytes) -> bool:
    """True if Pillow, which refuses truncated images, decodes all frames."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            for frame in range(getattr(image, "n_frames", 1)):
                image.seek(frame)
                image.load()
    except Exception:
        return False
    return True


def kept_wrongly(lines: Path, work: Path) -> Iterator[str]:
    """Names of kept images that Pillow refuses and whose pixels are far from the original's."""
    original = moving_image()[0].astype(np.int16)
    for line in lines.read_text().splitlines():
        record = json.loads(line)
        path = Path(record["path"])
        is_image = path.name.split("-", 2)[2] in IMAGES and record["media"] == "image"  # not the header of a video
        if not is_image or strictly_decodes(path.read_bytes()):
            continue
        try:
            with open_media(Record({"id": "a", "path": str(path)})) as source:
                pixels = source.read([0])[0]
        except OmniError:
            continue
        if pixels.shape != original.shape or np.abs(pixels - original).mean() > FAR:
            yield path.name


def campaign(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All batches through all commands."""
    seeds = write_seeds(work / "seeds")
    write_teacher(work / "teacher.pth")
    rng = random.Random(arguments.seed)
    exits: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    failures: list[dict[str, Any]] = []
    peak: Counter[str] = Counter()
    slowest: dict[str, Any] = {"seconds": 0.0}
    count = arguments.files // arguments.batches
    for batch in range(arguments.batches):
        folder = work / f"batch{batch:03d}"
        write_batch(folder, seeds, rng, count)
        for name, line in commands(folder, work):
            found = run(line, work, memory_gb=arguments.memory_gb, limit_sec=arguments.limit_sec)
            exits.setdefault(name, Counter())[str(found["exit"])] += 1
            peak[name] = max(peak[name], found["peak_mib"])
            if found["seconds"] > slowest["seconds"]:
                slowest = {"seconds": found["seconds"], "command": name, "batch": batch}
            adds_up = found["in"] == count == found["kept"] + found["rejected"] + found["unreadable"]
            if found["exit"] not in (0, 3) or not adds_up or found["internal"]:
                failures.append({"command": name, "batch": batch, **found})
            if name == "index" and (work / "out.jsonl").exists():
                wrong += [f"{folder.name}/{kept}" for kept in kept_wrongly(work / "out.jsonl", work)]
        if not arguments.keep:
            shutil.rmtree(folder)
    return {
        "files": count * arguments.batches, "seed": arguments.seed, "exits": exits, "peak_mib": peak,
        "slowest": slowest, "kept_though_damaged": len(wrong), "examples": wrong[:20], "failures": failures,
    }  # fmt: skip


def main() -> None:
    """Run the campaign and print its result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-gb", type=float, default=16, help="of address space, per command")
    parser.add_argument("--limit-sec", type=float, default=900, help="per command and batch")
    parser.add_argument("--keep", type=Path, help="folder for the damaged files, which stay there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.keep or Path(temporary)
        work.mkdir(exist_ok=True)
        print(json.dumps(campaign(arguments, work.absolute()), indent=1))


if __name__ == "__main__":
    main()
