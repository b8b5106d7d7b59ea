"""How much of a GPU the package uses: filtering, training from packed frames, searching, compiling."""

import cProfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from gpu_media import (
    Bench,
    clips_of_images,
    image,
    ready_teacher,
    rounded,
    seasoned,
    with_precision,
    write_images,
    write_videos,
)
from torch import Tensor
from torch._C._autograd import DeviceType

from omnicli.cpus import available_cores
from omnicli.data.dataloader import Example, StepBatch
from omnicli.data.query_labels import Queries
from omnicli.data.transforms import normalise
from omnicli.inference.compiled import compile_function
from omnicli.inference.predictor import forward_of
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions, read_views
from omnicli.media.parallel import parallel_map
from omnicli.models.loading import LoadedModel
from omnicli.stages.dedup.search import FrameIndex
from omnicli.stages.dedup.whitening import on_grid
from omnicli.stages.filter.rules import FilterRule
from omnicli.stages.filter.stage import filter_records
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.read.reader import read_records
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

WALL_BAR = 1.1  # by the slower of decoding and the forward pass
SHARE_BAR = 0.8  # of the bare forward pass, where decoding keeps up
STEP_BAR = 1.05  # a step on packed frames by one on ready tensors
SEARCH_BAR = 0.6  # by an exact search in float32
COMPILE_BAR = 1.3  # compiled inference by the eager one
COMPILED_ERROR_BAR = 2.0  # of compiled logits in bfloat16, by that of bfloat16 itself
COMPILED = ("tsn-resnet50", "slowonly-r50", "tsn-tf_efficientnet_b4", "tsm-resnet50", "torchvision-mvit_v2_s")
COMPILED_SMOKE = ("tsn-resnet10t", "slowonly-r18w16")
SEARCHED = ("tsn-resnet50", "slowonly-r50", "ircsn-r152", "tsn-resnet10t")  # searching takes seconds a model
DIMS = 256
FLOOR = 0.6


# Filtering


def images(bench: Bench) -> None:
    """Filtering images against decoding alone and against the forward pass alone, for several batch sizes."""
    copies = bench.size(16, 1)
    write_images(bench.folder / "images", bench.size(512, 24), copies=copies)
    teacher = ready_teacher(bench.size("tsn-resnet50", "tsn-resnet10t"), bench.device, torch.bfloat16)
    records = list(read_records([str(bench.folder / "images")], on_drop=no_drop))
    warm = records[: bench.size(1024, 8)]
    run_filter(warm, teacher, 32)
    bench.found["records"] = len(records)
    bench.found["decode_per_sec"] = rounded(len(records) / bench.best(partial(decode, records, teacher), turns=2))
    some = records[: bench.size(300, 8)]
    bench.found["decode_by_one_thread_per_sec"] = rounded(len(some) / bench.seconds(partial(decode, some, teacher, 1)))
    rows = bench.found["batch_sizes"] = {}
    for batch_size in bench.size((32, 128, 256), (8,)):
        if bench.left > 10:
            rows[batch_size] = throughput(bench, records, teacher, batch_size)
    run = partial(run_filter, warm, teacher, bench.size(128, 8))
    bench.found["busy"] = busy_share(bench, run)
    bench.found["main_thread"] = main_thread(run)
    by_workers = bench.found["filter_per_sec_by_workers"] = {}
    for workers in bench.size((8, 12, 24), (1,)):
        if bench.left > 3:
            seconds = bench.seconds(partial(run_filter, records, teacher, bench.size(128, 8), workers))
            by_workers[workers] = rounded(len(records) / seconds)


def videos(bench: Bench) -> None:
    """The same for videos, by a 2D and by a 3D teacher."""
    write_videos(bench.folder / "videos", bench.size(64, 4), num_frames=bench.size(150, 25), copies=bench.size(6, 1))
    records = list(read_records([str(bench.folder / "videos")], on_drop=no_drop))
    bench.found["records"] = len(records)
    for name in bench.size(("tsn-resnet50", "slowonly-r50"), ("tsn-resnet10t", "slowonly-r18w16")):
        teacher = ready_teacher(name, bench.device, torch.bfloat16, crop_size=bench.size(None, 64))
        run_filter(records[:8], teacher, 32)
        decode_sec = bench.best(partial(decode, records, teacher), turns=2)
        bench.found[name] = {"decode_per_sec": rounded(len(records) / decode_sec)}
        bench.found[name] |= throughput(bench, records, teacher, bench.size(32, 8), decode_sec)
        if bench.on_gpu:
            bench.found[name]["busy"] = busy_share(bench, partial(run_filter, records[:128], teacher, 32))


def throughput(
    bench: Bench, records: Sequence[Record], teacher: LoadedModel, batch_size: int, decode_sec: float | None = None
) -> dict[str, Any]:
    """Records a second of the whole, and ratios to its parts; where they have bars, these are checked."""
    if decode_sec is None:
        decode_sec = bench.best(partial(decode, records, teacher), turns=1)
    [views] = read_views(records[0], models=[teacher], views=ViewOptions())
    num_batches = -(-len(records) * len(views) // batch_size)
    tried = min(num_batches, max(8, 4096 // batch_size))
    resident, sent = (
        bench.best(forward_alone(bench, views.shape[1:], teacher, batch_size, tried, is_sent=is_sent), turns=2)
        * (num_batches / tried)
        for is_sent in (False, True)
    )
    main_sec = time.thread_time()
    wall = bench.best(partial(run_filter, records, teacher, batch_size), turns=2)
    main_sec = (time.thread_time() - main_sec) / 2
    slower = max(decode_sec, resident)
    count = len(records)
    label = f"{teacher.spec.name}, batches of {batch_size}"
    bench.check(f"{label}: wall by the slower part", rounded(wall / slower), WALL_BAR, is_speed=True)
    if decode_sec <= resident:
        bench.check(f"{label}: of the forward pass", rounded(resident / wall), SHARE_BAR, at_least=True, is_speed=True)
    return {
        "filter_per_sec": rounded(count / wall),
        "forward_per_sec": rounded(count / resident),
        "forward_of_host_bytes_per_sec": rounded(count / sent),
        "decode_then_per_sec": rounded(count / decode_sec),
        "wall_by_slower": rounded(wall / slower),
        "of_forward": rounded(resident / wall),
        "main_thread_share": rounded(main_sec / wall),
    }


def no_drop(record: Record, reason: str) -> None:
    """Nothing is expected to leave."""
    raise RuntimeError(f"{record.get('id')}: {reason}")


def decode(records: Sequence[Record], teacher: LoadedModel, workers: int | None = None) -> None:
    """Decode, resize and crop all media, with all cores unless told otherwise."""
    workers = workers or available_cores()
    read = partial(read_views, models=[teacher], views=ViewOptions())
    for _ in parallel_map(read, records, workers=workers, ahead=4 * workers):
        pass


def forward_alone(
    bench: Bench,
    shape: Sequence[int],
    teacher: LoadedModel,
    batch_size: int,
    num_batches: int,
    *,
    is_sent: bool = False,
) -> Callable[[], None]:
    """The forward pass of ``num_batches``: of one that lies normalised on the device, or of bytes of the host."""
    views = torch.randint(0, 255, (batch_size, *shape), dtype=torch.uint8)
    views = views.pin_memory() if bench.on_gpu else views
    spec = teacher.spec
    clips = normalise(views, mean=spec.mean, std=spec.std, dtype=teacher.precision, device=teacher.device)
    run = forward_of(teacher.network, teacher)

    @torch.inference_mode()
    def forward(count: int) -> None:
        for _ in range(count):
            if is_sent:
                run(views).cpu()
            else:
                teacher.network(clips)

    forward(min(num_batches, 4))
    return partial(forward, num_batches)


def run_filter(records: Sequence[Record], teacher: LoadedModel, batch_size: int, workers: int | None = None) -> None:
    """The whole stage."""
    score = partial(score_records, models=[teacher], views=ViewOptions(), batch_size=batch_size, workers=workers)
    queries = Queries(ClassIndex(teacher.classes))
    rule = FilterRule(threshold=0.0)
    for _ in filter_records(iter(records), score=score, queries=queries, rule=rule, on_drop=no_drop):
        pass


def busy_share(bench: Bench, call: Callable[[], object]) -> dict[str, Any]:
    """The share of the wall clock in which the device computes or copies, and what takes it longest."""
    if not bench.on_gpu:
        return {}
    wall = bench.seconds(call)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call()
        bench.sync()
    spans: dict[str, float] = {}
    for event in profile.events():
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False):
            spans[event.name[:70]] = spans.get(event.name[:70], 0.0) + event.time_range.elapsed_us() / 1e6
    longest = sorted(spans.items(), key=lambda item: -item[1])[:8]
    return {
        "of_wall": rounded(sum(spans.values()) / wall),
        "wall_sec": rounded(wall),
        "longest": {name: rounded(seconds / max(sum(spans.values()), 1e-9)) for name, seconds in longest},
    }


def main_thread(call: Callable[[], object]) -> dict[str, float]:
    """Seconds that the thread which feeds the device spends in its functions themselves, the most first."""
    profile = cProfile.Profile()
    profile.runcall(call)
    entries = sorted(profile.getstats(), key=lambda entry: -entry.inlinetime)[:12]
    return {name_of(entry.code): rounded(entry.inlinetime) for entry in entries}


def name_of(code: Any) -> str:
    """Of a function that was profiled: a code object, or words where it is not Python's."""
    return code if isinstance(code, str) else f"{Path(code.co_filename).name}:{code.co_firstlineno} {code.co_name}"


# Layouts


def layouts(bench: Bench) -> None:
    """The forward pass, and a step, in bfloat16: channels last as the package has it, channels first, with benchmark.

    Milliseconds per batch. What is much faster in another layout, or with cuDNN's own search, is worth a change.
    """
    names = bench.size(
        ("tsn-resnet50", "slowonly-r50", "ircsn-r152", "r2plus1d-r34", "i3d-r50", "slowfast-r50", "ipcsn-r50",
         "tsm-resnet50", "tsn-tf_efficientnet_b4", "tsn-bninception"),
        ("tsn-resnet10t", "slowonly-r18w16"),
    )  # fmt: skip
    for name in names:
        if bench.left < 4:
            break
        row = bench.found[name] = {}
        try:
            time_layouts(bench, name, row)
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {error}"[:600]


def time_layouts(bench: Bench, name: str, row: dict[str, Any]) -> None:
    """One architecture, in turn; what is found goes into ``row`` at once."""
    teacher = ready_teacher(name, bench.device, torch.bfloat16, crop_size=bench.size(224, 64))
    spec, model = teacher.spec, teacher.network
    batch = bench.size(8, 1)
    views = clips_of_images(1, spec.num_segments * spec.num_frames, spec.crop_size).repeat(batch, 1, 1, 1, 1)
    clips = normalise(views, mean=spec.mean, std=spec.std, dtype=torch.bfloat16, device=bench.device)
    learner = seasoned(name, bench.device, crop_size=bench.size(224, 64))[0].train()
    last = torch.channels_last if model.is_2d else torch.channels_last_3d
    row["own"] = "channels last" if model.memory_format == last else "channels first"
    forward = torch.inference_mode()(partial(model, clips))
    step = partial(descend, learner, clips.float(), bench)
    row["batch"] = batch
    for is_searching in (False, True):
        torch.backends.cudnn.benchmark = is_searching
        for layout in (last, torch.contiguous_format):
            title = ("channels last" if layout is last else "channels first") + (", searched" if is_searching else "")
            for one in (model, learner):
                one.memory_format = layout
                one.backbone.to(memory_format=layout)
            if bench.left > 1 and (not is_searching or name in SEARCHED):
                row[f"forward, {title}"] = milliseconds(bench, forward)
            if bench.left > 1 and not is_searching and "r152" not in name:
                row[f"step, {title}"] = milliseconds(bench, step)
    torch.backends.cudnn.benchmark = False


def milliseconds(bench: Bench, call: Callable[[], object]) -> float:
    """Of a call that has been made before; once more only where it takes long."""
    first = min(bench.seconds(call), bench.seconds(call))
    return rounded(1e3 * (bench.best(call, repeats=3, turns=2) if first < 0.1 else first))


def descend(model: torch.nn.Module, clips: Tensor, bench: Bench) -> None:
    """Gradients of a step."""
    with torch.autocast(bench.device.type, dtype=torch.bfloat16):
        loss = model(clips).square().mean()
    loss.backward()
    model.zero_grad(set_to_none=True)


# Training


def steps(bench: Bench) -> None:
    """A training step on packed frames against the same step on tensors that are ready."""
    wanted = bench.size(
        (("tsn-resnet50", 32, 16), ("slowonly-r50", 16, 16)), (("tsn-resnet10t", 2, 3), ("slowonly-r18w16", 2, 3))
    )
    for name, batch_size, num_steps in wanted:
        study = Study(bench, name, batch_size, num_steps)
        study.seconds_per_step(study.ready)  # warm
        times: dict[str, list[float]] = {"ready": [], "packed": []}
        for epoch in range(bench.size(3, 1)):
            times["ready"].append(study.seconds_per_step(study.ready))
            times["packed"].append(study.seconds_per_step(study.inputs.batches({}, epoch, 0)))
        best = {kind: min(found) for kind, found in times.items()}
        ratio = rounded(best["packed"] / best["ready"])
        frames_per_sec = batch_size * study.ready[0].parts[0].clips.shape[1] / best["packed"]
        bench.found[name] = {"batch_size": batch_size, "step_sec": {key: rounded(sec) for key, sec in best.items()}}
        bench.found[name] |= {"ratio": ratio, "frames_per_sec": rounded(frames_per_sec)}
        bench.check(f"{name}: packed by ready", ratio, STEP_BAR, is_speed=True)
        if bench.on_gpu:
            bench.found[name]["busy"] = busy_share(bench, partial(study.seconds_per_step, study.ready[:8]))


class Study:
    """A training whose steps are timed.

    Attributes:
        inputs: reads packed frames.
        ready: the batches of an epoch, in memory where a GPU can fetch them.
        training: moved on by every step.
    """

    def __init__(self, bench: Bench, name: str, batch_size: int, num_steps: int) -> None:
        recipe = as_student(TEACHER_RECIPES["tsn-r50-3seg"])
        recipe = replace(
            recipe, model=name, init="scratch", epochs=9999, batch_size=batch_size, num_segments=None,
            crop_size=bench.size(224, 64), short_side=bench.size(256, 73),
        )  # fmt: skip
        context = TrainingContext(device=bench.device, precision=torch.bfloat16)
        folder = bench.folder / name
        examples = packed_videos(folder, batch_size * num_steps)
        sampler = JointSampler([TrainingSource("target", examples, batch_size)], [1])
        with bench.device:
            spec, model = create_learner(recipe, ["a", "b"], 0, context)
        self.bench = bench
        self.training = prepare_training(model, recipe, sampler, folder / "a.pth", {}, context)
        augmentation = make_augmentation(spec, recipe, seed=0, stage="train", root=None)
        loaded = LoadedModel(model, spec, 1.0, "", "", bench.device, torch.float32)
        self.inputs = ClipInputs(loaded, sampler, augmentation, context)
        self.ready = list(self.inputs.batches({}, 0, 0))

    def seconds_per_step(self, batches: Iterable[StepBatch]) -> float:
        """Mean over all steps but the first, which waits for the first clips."""
        begun: list[float] = []

        def timed() -> Iterator[StepBatch]:
            for batch in batches:
                if not begun:
                    self.bench.sync()
                begun.append(time.perf_counter())
                yield batch

        train_epoch(self.training, timed(), self.inputs, Objective(num_classes=2))
        self.bench.sync()
        ended = time.perf_counter()
        self.training.progress.next_epoch()
        return (ended - begun[1]) / (len(begun) - 1)


def packed_videos(folder: Path, count: int, num_frames: int = 40) -> list[Example]:
    """Videos of 340 x 256 as ``omni pack`` keeps them, with the same frames each."""
    large = image(0, 0, 340 + 200, 256 + 200)
    frames = []
    for index in range(num_frames):
        top, left = 2 * index, 3 * index
        pixels = np.ascontiguousarray(large[top : top + 256, left : left + 340])
        frames.append(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    shards = ShardWriter(folder, stage="pack", kind="frames", provenance={})
    examples = []
    for number in range(count):
        record = Record({"id": f"{number}"})
        record.arrays = {"frames": frames, "times": np.arange(num_frames) / 25, "span_sec": (0.0, num_frames / 25)}
        examples.append(Example(shards.add(record), number % 2))
    shards.close()
    return examples


# Searching


def search(bench: Bench) -> None:
    """The search of ``omni dedup`` on the device against the CPU's answers and a search in float32 on the device."""
    pool = ThreadPoolExecutor(available_cores())
    num_queries = bench.size(4096, 64)
    for count in bench.size((100_000, 1_000_000), (2_000,)):
        if bench.left < 8:
            break
        rows = np.concatenate(list(pool.map(unit_rows, range(-(-count // 50_000)))))[:count]
        queries = near_copies(rows, num_queries)
        row = bench.found[str(count)] = {"queries": num_queries, "dims": DIMS}
        row |= search_times(bench, rows, queries)
        for floor, other in differing(bench, rows, queries[: bench.size(512, 64)]).items():
            row[f"differ_from_cpu, floor {floor}"] = other
            bench.check(f"{count} rows, floor {floor}: other answers", other, 0)
    pool.shutdown()


def unit_rows(block: int) -> np.ndarray:
    """(50000, 256) float32 unit vectors."""
    return on_grid(np.random.default_rng(block).standard_normal((50_000, DIMS)))


def near_copies(rows: np.ndarray, count: int) -> np.ndarray:
    """Unit vectors, one in a hundred of which is near a row."""
    rng = np.random.default_rng(1_000_000)
    queries = rng.standard_normal((count, DIMS))
    near = np.arange(0, count, 100)
    queries[near] = rows[rng.integers(len(rows), size=len(near))] * 16 + rng.standard_normal((len(near), DIMS)) * 0.7
    return on_grid(queries)


def search_times(bench: Bench, rows: np.ndarray, queries: np.ndarray) -> dict[str, Any]:
    """Seconds of ours and of a product in float32 and its maximum, both on the device."""
    index = FrameIndex(DIMS, device=bench.device, precision=torch.bfloat16)
    append_sec = bench.seconds(partial(index.append, rows))
    index.search(queries[:8], FLOOR)
    seconds = {
        "ours": bench.best(partial(index.search, queries, FLOOR)),
        "ours, every best match": bench.best(partial(index.search, queries), turns=2),
    }
    held = torch.from_numpy(rows).to(bench.device)

    def exact() -> None:
        asked = torch.from_numpy(queries).to(bench.device)
        blocks = [(asked @ block.T).max(dim=1) for block in held.split(1 << 17)]
        torch.stack([block.values for block in blocks]).max(dim=0).values.cpu()

    exact()
    seconds["float32 product"] = bench.best(exact)
    ratio = rounded(seconds["ours"] / seconds["float32 product"])
    bench.check(f"{len(rows)} rows: by a float32 product", ratio, SEARCH_BAR, is_speed=True)
    shown = {name: rounded(found) for name, found in seconds.items()}
    return {"seconds": shown, "append_sec": rounded(append_sec), "ratio": ratio}


def differing(bench: Bench, rows: np.ndarray, queries: np.ndarray) -> dict[float, int]:
    """Answers that are not those of the CPU, for two floors."""
    answers: dict[float, list[tuple[np.ndarray, np.ndarray]]] = {FLOOR: [], -1.0: []}
    for device in (torch.device("cpu"), bench.device):
        index = FrameIndex(DIMS, device=device, precision=torch.bfloat16)
        index.append(rows)
        for floor, found in answers.items():
            found.append(index.search(queries, floor))
    return {floor: int(((cpu[0] != gpu[0]) | (cpu[1] != gpu[1])).sum()) for floor, (cpu, gpu) in answers.items()}


# Compiling


def compiling(bench: Bench) -> None:
    """Compiled inference, model by model, and ``train --compile``; seconds to compile, and how much faster then."""
    backend = bench.size("inductor", "eager")
    bench.found["backend"] = backend
    first, *others = bench.size(COMPILED, COMPILED_SMOKE)
    compile_scoring(bench, first)
    compile_steps(bench, backend)
    for name in others:
        if bench.left > 30:
            compile_scoring(bench, name)


def compile_scoring(bench: Bench, name: str) -> None:
    """The forward pass in bfloat16, as ``filter --compile on`` has it; its error against that of bfloat16 alone."""
    teacher = ready_teacher(name, bench.device, torch.bfloat16, crop_size=bench.size(None, 64))
    spec, is_2d = teacher.spec, teacher.network.is_2d
    batch_size = bench.size(128 if is_2d else 16, 2)
    num_frames = 1 if teacher.network.is_framewise else spec.num_segments * spec.num_frames
    views = clips_of_images(2, num_frames, spec.crop_size).repeat(batch_size // 2, 1, 1, 1, 1)
    clips = normalise(views, mean=spec.mean, std=spec.std, dtype=torch.bfloat16, device=bench.device)
    plain = torch.inference_mode()(partial(teacher.network, clips))
    expected = plain()
    row = bench.found[name] = {"batch": batch_size}
    start = time.perf_counter()
    with torch.inference_mode():
        program = compile_function(teacher.network, clips)
    row["compile_sec"] = rounded(time.perf_counter() - start)
    compiled = torch.inference_mode()(partial(program, clips))
    seconds = {call: min(bench.best(call, repeats=bench.size(10, 1)) for _ in range(2)) for call in (plain, compiled)}
    row["eager_per_sec"] = rounded(batch_size / seconds[plain])
    row["speedup"] = rounded(seconds[plain] / seconds[compiled])
    if name in COMPILED[:1]:
        bench.check(f"compiled scoring, {name}", row["speedup"], COMPILE_BAR, at_least=True, is_speed=True)
    found = compiled().float()
    floats = torch.inference_mode()(partial(with_precision(teacher, torch.float32).network, clips.float()))()
    row["bfloat16_logit_error"] = rounded(float((expected - floats).abs().max()))
    row["compiled_logit_error"] = rounded(float((found - floats).abs().max()))
    bench.check(
        f"compiled logits, {name}: error by that of bfloat16",
        rounded(row["compiled_logit_error"] / max(row["bfloat16_logit_error"], 1e-12)), COMPILED_ERROR_BAR,
    )  # fmt: skip


def compile_steps(bench: Bench, backend: str) -> None:
    """Steps of joint training, as ``train --compile`` has them."""
    name, batch_size = bench.size(("tsn-resnet50", 32), ("slowonly-r18w16", 2))
    study = Study(bench, name, batch_size, bench.size(8, 2))
    row = bench.found["training"] = {"model": name}
    row["eager_first_step_sec"] = rounded(bench.seconds(partial(study.seconds_per_step, study.ready[:2])))
    eager_sec = min(study.seconds_per_step(study.ready) for _ in range(2))
    study.training.model.compile(backend=backend)
    row["first_two_steps_sec"] = rounded(bench.seconds(partial(study.seconds_per_step, study.ready[:2])))
    compiled_sec = min(study.seconds_per_step(study.ready) for _ in range(2))
    row |= {"eager_step_sec": rounded(eager_sec), "compiled_step_sec": rounded(compiled_sec)}
    row["speedup"] = rounded(eager_sec / compiled_sec)
