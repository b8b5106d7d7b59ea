"""Every map stage on a small crawl with a broken and a missing file: command lines with ``{top}`` and ``{out}``."""

import json
import shutil
from pathlib import Path

import numpy as np

from omnicli.motion.homography import STILL, Gaussian
from omnicli.motion.motion_file import Fitted, Motion, write_motion

SMALL = ["--precision", "float32", "--batch-size", "4", "--device", "cpu"]
LISTS = ["{top}/lists", "--root", "{top}"]
# the name of the outputs → the command; inputs are folders, so that each can write one file per input file
STAGES = {
    "index": ["index", "--probe", *LISTS],
    "filter": ["filter", "--teacher", "{top}/tsn.pth", *SMALL, "--threshold", "0.2", "--rule", "paper", *LISTS],
    "segment": ["segment", "--teacher", "{top}/tsn.pth", *SMALL, "--threshold", "0.1", "--rule", "paper", *LISTS],
    "dedup": ["dedup", "--backbone", "resnet10t", "--weights", "{top}/r10t.pth", *SMALL[:2], "--fps", "1", "--target",
              "{top}/val", *LISTS],
    "census": ["dedup", "--method", "census", "--target", "{top}/val", *LISTS],
    "features": ["features", "--checkpoint", "{top}/tsn.pth", *SMALL, "--shards", "{out}/shards-features", *LISTS],
    "pack": ["pack", "--short-side", "32", "--shards", "{out}/shards-pack", *LISTS],
    "flow": ["flow", "--short-side", "32", "--shards", "{out}/shards-flow", *LISTS],
    "inflate": ["inflate", "--motion", "{top}/motion.json", *LISTS],
    "inflate-px": ["inflate", "--motion", "{top}/motion.json", "--num-frames", "2", "--short-side", "32",
                   "--shards", "{out}/shards-inflate", *LISTS],
    "eval": ["eval", "--checkpoint", "{top}/tsn.pth", *SMALL, "--shards", "{out}/shards-eval", "{top}/labelled",
             "--root", "{top}"],
}  # fmt: skip


def make_crawl(top: Path, world: Path, teacher: Path) -> Path:
    """Make in ``top`` a crawl and labelled records, listed in two files each, a teacher, weights and a motion file."""
    import timm
    import torch

    for number, path in enumerate(sorted((world / "web" / "image").rglob("*.jpg"))[:5]):
        (top / "web" / "q é").mkdir(exist_ok=True, parents=True)
        shutil.copy(path, top / "web" / "q é" / f"{number}.jpg")
    shutil.copy(next((world / "web" / "video").rglob("*.mp4")), top / "web" / "long.mp4")
    (top / "web" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    (top / "val").mkdir()
    val = sorted((world / "target" / "val").rglob("*.mp4"))[::2][:6]
    for path in val:
        shutil.copy(path, top / "val" / f"{path.parent.name}-{path.name}")
    shutil.copy(teacher, top / "tsn.pth")
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet10t").state_dict(), top / "r10t.pth")
    write_motion(top / "motion.json", Motion(agnostic=Fitted(Gaussian(STILL, np.diag([1e-6] * 8)), 1, 99)))
    paths = sorted(path.relative_to(top).as_posix() for path in (top / "web").rglob("*.*"))
    records = [{"id": path, "path": path, "query": "q", "pseudo_label": 0} for path in [*paths, "web/no.jpg"]]
    write_lists(top / "lists", [records[:3], records[3:]])
    names = [f"{path.parent.name}-{path.name}" for path in val]
    classes = sorted({path.parent.name for path in val})
    labels = [classes.index(path.parent.name) for path in val]
    labelled = [{"id": name, "path": f"val/{name}", "label": label} for name, label in zip(names, labels, strict=True)]
    write_lists(top / "labelled", [labelled[:4], [*labelled[4:], {"id": "no", "path": "val/no.mp4", "label": 0}]])
    return top


def write_lists(folder: Path, lists: list[list[dict[str, object]]]) -> None:
    """Files ``0.jsonl``, ``1.jsonl``, ... of records."""
    folder.mkdir()
    for number, records in enumerate(lists):
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
