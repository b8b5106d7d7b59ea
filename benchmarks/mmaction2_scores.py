"""Score media with mmaction2 each time it is asked to, and answer how long it took; ``bench_mmaction2.py`` starts it.

    /path/to/its/python benchmarks/mmaction2_scores.py JOB.json

It runs in mmaction2's interpreter, and imports nothing of omni. Its dataset, test pipeline and dataloader make batches
for ``model.test_step``, without gradients: the loop of its ``tools/test.py``, without hooks and metrics.

JOB.json has ``model`` (its config), ``checkpoint``, and ``tasks``: for each name ``list`` (annotation file), ``images``
(folder of img_00001.jpg, img_00002.jpg...; "" for videos), ``num_frames`` per video, and ``scores``, the .npy to write.
stdin has one JSON object per line: ``task``, ``workers`` and ``batch_size`` of the dataloader. stdout answers each with
one line: ``sec``, and ``cpu_sec`` with that of the dataloader's processes. These start outside the time.
"""

import json
import os
import sys
import time
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.apis import init_recognizer
from mmaction.utils import register_all_modules
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch.utils.data import DataLoader

CENTRE_CROP = [
    {"type": "Resize", "scale": (-1, 256)},
    {"type": "CenterCrop", "crop_size": 224},
    {"type": "FormatShape", "input_format": "NCHW"},
    {"type": "PackActionInputs"},
]


def main() -> None:
    """Load the model, then answer line by line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # mmengine logs to stdout
    job = json.loads(Path(sys.argv[1]).read_text())
    register_all_modules(init_default_scope=True)
    set_multi_processing()  # as its Runner does: workers are forked, and OpenCV starts no threads of its own
    config = Config({"model": job["model"], "test_pipeline": [], "default_scope": "mmaction"})
    model = init_recognizer(config, job["checkpoint"], device="cpu")
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), file=answers, flush=True)
    loaders: dict[str, DataLoader[Any]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        task = job["tasks"][asked["task"]]
        if line not in loaders:
            loaders.clear()  # ends the processes of another one
            loaders[line] = dataloader(task, workers=asked["workers"], batch_size=asked["batch_size"])
            for _ in loaders[line]:  # to the end: what is read ahead would be left to the first run
                pass
        print(json.dumps(run(model, loaders[line], task["scores"])), file=answers, flush=True)


def dataloader(task: dict[str, Any], *, workers: int, batch_size: int) -> DataLoader[Any]:
    """The one that its test config would have."""
    sample = {"type": "SampleFrames", "clip_len": 1, "frame_interval": 1, "num_clips": task["num_frames"]}
    sample["test_mode"] = True
    dataset = {"ann_file": task["list"], "test_mode": True}
    if task["images"]:
        dataset |= {"type": "RawframeDataset", "data_prefix": {"img": task["images"]}, "with_offset": True}
        dataset["pipeline"] = [sample, {"type": "RawFrameDecode"}, *CENTRE_CROP]
    else:
        dataset |= {"type": "VideoDataset"}
        dataset["pipeline"] = [{"type": "DecordInit"}, sample, {"type": "DecordDecode"}, *CENTRE_CROP]
    config = {"batch_size": batch_size, "num_workers": workers, "persistent_workers": workers > 0, "dataset": dataset}
    return Runner.build_dataloader(config | {"sampler": {"type": "DefaultSampler", "shuffle": False}})


def run(model: torch.nn.Module, loader: DataLoader[Any], scores: str) -> dict[str, float]:
    """Score everything; the scores (N, K) are written afterwards."""
    rows = []
    start, start_cpu = time.perf_counter(), cpu_seconds()
    with torch.no_grad():
        for batch in loader:
            rows += [sample.pred_score.numpy() for sample in model.test_step(batch)]
    spent = {"sec": time.perf_counter() - start, "cpu_sec": cpu_seconds() - start_cpu}
    np.save(scores, np.stack(rows))
    return spent


def cpu_seconds() -> float:
    """Processor time of this process and of those that load data."""
    spent = time.process_time()
    for process in active_children():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # in user and in kernel mode
    return spent


if __name__ == "__main__":
    main()
