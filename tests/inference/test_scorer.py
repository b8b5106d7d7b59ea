"""Scores are the mean of the models' softmax, each at its temperature; unreadable records are dropped in order."""

import dataclasses
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch

from omnicli.data.transforms import five_crops, normalise
from omnicli.errors import ModelError, UsageError
from omnicli.inference.scorer import extract_features, score_records
from omnicli.inference.views import ViewOptions, read_views
from omnicli.models.loading import load_model
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record


@pytest.fixture(scope="module")
def model(teacher):
    return load_model(teacher)


def scored(records, teachers, **options):
    dropped = []
    got = score_records(
        records, models=teachers, views=ViewOptions(), batch_size=4, workers=2,
        on_drop=lambda *leaving: dropped.append(leaving), **options,
    )  # fmt: skip
    return list(got), dropped


def images(world, limit):
    return list(read_records([str(world / "web" / "image")], limit=limit, on_drop=lambda record, reason: None))


def test_scores_equal_the_model_run_by_hand(model, world):
    from omnicli.data.transforms import centre_crop, normalise, resize_short_side
    from omnicli.media.source import open_media

    records = images(world, 5)
    got, _ = scored(records, [model])
    for record, scores in got:
        with open_media(record) as source:
            frames = source.read([0], short_side=model.spec.short_side)
        clip = centre_crop(resize_short_side(frames, model.spec.short_side), model.spec.crop_size)
        x = normalise(torch.from_numpy(np.ascontiguousarray(clip))[None], mean=model.spec.mean, std=model.spec.std)
        with torch.inference_mode():
            expected = torch.softmax(model.network(x)[0].double() / model.temperature, -1).numpy()
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_an_ensemble_has_the_mean_of_its_models_scores(model, world):
    cool = dataclasses.replace(model, temperature=0.5)
    records = images(world, 4)
    [one, other, both] = [scored(records, teachers)[0] for teachers in ([model], [cool], [model, cool])]
    for (_, a), (_, b), (_, mean) in zip(one, other, both, strict=True):
        np.testing.assert_allclose(mean, (a + b) / 2, atol=1e-9)


def test_skipped_and_unreadable_records_keep_the_order(model, world, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0cut")
    good = images(world, 6)
    records = []
    for i, record in enumerate(good):
        records += [record.derive(kind="good"), Record({"id": f"bad{i}", "path": str(tmp_path / "cut.jpg")})]
        records += [Record({"id": f"pass{i}", "path": "never opened"})]
    for position, record in enumerate(records):
        record.position = position
    got, dropped = scored(records, [model], skip=lambda record: record["id"].startswith("pass"))
    assert [r.position for r, _ in got] == [r.position for r in records if not r["id"].startswith("bad")]
    assert [scores is None for _, scores in got] == [r["id"].startswith("pass") for r, _ in got]
    assert [r["id"] for r, _ in dropped] == [f"bad{i}" for i in range(len(good))]
    assert all(reason.startswith("unreadable: ") for _, reason in dropped)


def test_scores_that_are_not_finite_stop_the_run(model, world):
    class Broken(torch.nn.Module):
        average_views = "logits"
        is_2d = is_framewise = True

        def forward(self, clips):
            return torch.full((len(clips), len(model.classes)), float("nan"))

    with pytest.raises(ModelError, match=r"the scores of .* are not finite"):
        scored(images(world, 5), [dataclasses.replace(model, network=Broken())])


def made_model(name, **spec):
    torch.manual_seed(0)  # whatever ran before
    from omnicli.models.architectures import new_model
    from omnicli.models.factory import model_spec
    from omnicli.models.loading import LoadedModel

    whole = model_spec(name, classes=["a", "b"], short_side=36, crop_size=32, **spec)
    model = new_model(name, 2).eval()
    torch.nn.init.normal_(model.fc.weight)
    return LoadedModel(model, whole, 1.0, "", f"{name}.pth", torch.device("cpu"), torch.float32)


def test_an_image_for_a_3d_model_is_an_error_that_says_why(world):
    with pytest.raises(ModelError, match=r"3D model r2d-r18\.pth.*deflating.*2D model"):
        scored(images(world, 6), [made_model("r2d-r18", num_frames=2, frame_interval=1)])


def test_a_3d_model_scores_ten_clips_and_averages_their_softmax(world):
    from omnicli.inference.predictor import forward_of

    teacher = made_model("r2d-r18", num_frames=2, frame_interval=3)
    records = list(read_records([str(world / "target" / "val")], limit=1, on_drop=lambda record, reason: None))
    got, _ = scored(records, [teacher])
    [views] = read_views(records[0], models=[teacher], views=ViewOptions())
    assert views.shape == (10, 2, 32, 32, 3)
    with torch.inference_mode():
        logits = forward_of(teacher.network, teacher)(torch.from_numpy(np.ascontiguousarray(views)))
    np.testing.assert_allclose(got[0][1], torch.softmax(logits.double(), -1).mean(0).numpy(), atol=1e-5)


def test_a_tsm_sees_all_segments_together_and_an_image_as_a_still_clip(world):
    teacher = made_model("tsm-resnet18", num_segments=4)
    seen = []
    teacher.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    scored(images(world, 6), [teacher])
    videos = list(read_records([str(world / "target" / "val")], limit=1, on_drop=lambda record, reason: None))
    scored(videos, [teacher])
    assert len(seen) >= 2
    assert {tuple(shape[1:3]) for shape in seen} == {(3, 4)}


def read_all(path, short_side):
    """Every frame, decoded and resized without omni."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    height, width = frames[0].shape[:2]
    scale = short_side / min(height, width)
    size = (int(width * scale + 0.5), int(height * scale + 0.5))
    return [cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in frames]


def squares(frame, side, crops):
    """Cut by hand: left, right, middle; or corners and centre, each with its mirror."""
    height, width = frame.shape[:2]
    far_y, far_x = height - side, width - side
    if crops == "full":
        return [frame]
    if crops == "centre":
        positions = [(far_y // 2, far_x // 2)]
    elif crops == "three":
        positions = [(far_y // 2, 0), (far_y // 2, far_x // 2 * 2), (far_y // 2, far_x // 2)]
    else:
        q_y, q_x = far_y // 4, far_x // 4
        positions = [(0, 0), (0, 4 * q_x), (4 * q_y, 0), (4 * q_y, 4 * q_x), (2 * q_y, 2 * q_x)]
    cut = [frame[y : y + side, x : x + side] for y, x in positions]
    return [view for square in cut for view in (square, square[:, ::-1])] if crops == "ten" else cut


def frames_wanted(num_frames, spec, num_segments, num_clips, generation):
    """Frame numbers (views, frames) as mmaction2 (1.x) and old mmaction (0.x) choose them."""
    if num_segments:
        return [[int(i * num_frames / num_segments + num_frames / (2 * num_segments))] for i in range(num_segments)]
    span = spec.num_frames * spec.frame_interval
    if generation == "0.x":
        average = (num_frames - span + 1) / num_clips
        starts = [int(i * average + average / 2) if average > 0 else 0 for i in range(num_clips)]
    else:
        last = num_frames - ((spec.num_frames - 1) * spec.frame_interval + 1)
        starts = [round(i * max(last, 0) / (num_clips - 1)) for i in range(num_clips)]
    return [[(start + k * spec.frame_interval) % num_frames for k in range(spec.num_frames)] for start in starts]


PROTOCOLS = [  # the published test protocols, at 32 pixels
    ("tsn-resnet10t", {}, {"num_segments": 25, "crops": "ten", "crop_size": 28}),
    ("tsn-resnet10t", {}, {"num_segments": 25, "crops": "three", "crop_size": 32}),
    ("r3d-r18", {"num_frames": 4, "frame_interval": 2}, {"num_clips": 10, "crops": "three", "crop_size": 36}),
    ("tsm-resnet18", {"num_segments": 8}, {"num_segments": 8}),
    ("r2plus1d-r18", {"num_frames": 4, "frame_interval": 9}, {"num_clips": 10}),
    ("r3d-r18", {"num_frames": 4, "frame_interval": 2}, {"crops": "full"}),
]


@pytest.mark.parametrize("generation", ["1.x", "0.x"])
@pytest.mark.parametrize(("name", "spec", "options"), PROTOCOLS)
def test_the_published_protocols_equal_a_hand_written_loop(world, name, spec, options, generation):
    """Views, crops, frames of both generations, and what is averaged before the softmax."""
    teacher = made_model(name, **spec)
    path = sorted((world / "target" / "val").rglob("*.mp4"))[0]
    frames = read_all(path, 36)
    wanted = frames_wanted(
        len(frames), teacher.spec, options.get("num_segments"), options.get("num_clips", 10), generation
    )
    crops, side = options.get("crops", "centre"), options.get("crop_size", 32)
    mean, std = (np.array(values, np.float32) for values in (teacher.spec.mean, teacher.spec.std))
    cut = [[[(view - mean) / std for view in squares(frames[i], side, crops)] for i in numbers] for numbers in wanted]
    clips = torch.tensor(np.array(cut, np.float32)).permute(0, 2, 5, 1, 3, 4)  # (views, crops, C, T, H, W)
    with torch.inference_mode():
        if name.startswith("tsm-"):
            logits = teacher.network(clips.squeeze(3).permute(1, 2, 0, 3, 4))  # (crops, C, S, H, W)
        else:
            logits = teacher.network(clips.flatten(0, 1))
    is_2d = name.startswith("ts")
    expected = logits.mean(0).softmax(-1) if is_2d else logits.softmax(-1).mean(0)
    record = Record({"id": "a", "path": str(path)}, position=0)
    got = score_records(
        [record], models=[teacher], views=ViewOptions(generation=generation, **options), batch_size=16,
        on_drop=lambda *drop: None,
    )  # fmt: skip
    np.testing.assert_allclose(next(iter(got))[1], expected.numpy(), atol=1e-4)


def fully_convolutional(teacher, record, **options):
    views = ViewOptions(num_clips=2, fully_convolutional=True, **options)
    scored = score_records([record], models=[teacher], views=views, batch_size=2, on_drop=lambda *drop: None)
    return next(iter(scored))[1]


@pytest.mark.parametrize(("multi_label", "score"), [(False, lambda x: x.softmax(-1)), (True, torch.sigmoid)])
def test_fully_convolutional_is_the_mean_score_of_every_window_of_the_training_crops_size(world, multi_label, score):
    teacher = dataclasses.replace(made_model("r3d-r18", num_frames=2, frame_interval=1), temperature=1.7)
    teacher = dataclasses.replace(teacher, spec=dataclasses.replace(teacher.spec, multi_label=multi_label))
    path = sorted((world / "target" / "val").rglob("*.mp4"))[0]
    record = Record({"id": "a", "path": str(path)}, position=0)
    short_side = 96
    views = ViewOptions(num_clips=2, crops="full", short_side=short_side)
    clips = torch.from_numpy(np.ascontiguousarray(read_views(record, models=[teacher], views=views)[0]))
    with torch.inference_mode():
        x = normalise(clips, mean=teacher.spec.mean, std=teacher.spec.std)
        positions = teacher.network.backbone.feature_map(x)  # stride 16: windows of 2x2 for crops of 32
        expected = [
            teacher.network.fc(positions[:, :, top : top + 2, left : left + 2].mean((2, 3))) / 1.7
            for top in range(positions.shape[2] - 1)
            for left in range(positions.shape[3] - 1)
        ]
    assert len(expected) >= 25
    expected = [score(logits).mean(dim=0) for logits in expected]
    got = fully_convolutional(teacher, record, crops="full", short_side=short_side)
    np.testing.assert_allclose(got, torch.stack(expected).mean(dim=0).numpy(), atol=1e-5)
    assert np.abs(got - fully_convolutional(teacher, record, crop_size=64, short_side=short_side)).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("tsn-resnet10t", {"crops": "full"}, "is a 2D model"),
        ("r3d-r18", {}, "trained on 32 pixels"),
        ("r3d-r18", {"crops": "three", "crop_size": 32}, "trained on 32 pixels"),
    ],
)
def test_fully_convolutional_without_effect_is_refused(world, name, options, says):
    path = sorted((world / "target" / "val").rglob("*.mp4"))[0]
    with pytest.raises(UsageError, match=says):
        fully_convolutional(made_model(name), Record({"id": "a", "path": str(path)}, position=0), **options)


def test_a_video_of_one_frame_is_not_an_image(world, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for packet in [*stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")), *stream.encode()]:
            container.mux(packet)
    got, left = scored([Record({"id": "a", "path": str(tmp_path / "a.mp4")}, position=0)], [made_model("r3d-r18")])
    assert not left
    assert got[0][1].sum() == pytest.approx(1)


def test_features_of_the_frames_at_given_times_are_those_frames(model, world):
    video = next(read_records([str(world / "target" / "val")], on_drop=lambda record, reason: None))
    options = {"model": model, "fps": 4.0, "root": None, "batch_size": 4, "workers": 1, "on_drop": None}
    [(_, features, times)] = extract_features([video], **options)
    [(_, chosen, chosen_times)] = extract_features([video], at_sec=lambda record: [times[3], times[1]], **options)
    np.testing.assert_array_equal(chosen_times, times[[3, 1]])
    np.testing.assert_array_equal(chosen, features[[3, 1]])
    [(_, crops, _)] = extract_features([video], at_sec=lambda record: [times[1]], crop=five_crops, **options)
    assert crops.shape == (5, features.shape[1])
    assert np.abs(crops[:, None] - crops).max() > 0


def test_a_frame_that_stays_on_screen_is_computed_once_and_counted_as_long_as_it_stays(model, world):
    video = next(read_records([str(world / "target" / "val")], on_drop=lambda record, reason: None))
    options = {"model": model, "fps": 4.0, "root": None, "batch_size": 4, "workers": 1, "on_drop": None}
    [(_, features, times)] = extract_features([video], **options)
    [(_, repeated, repeated_times)] = extract_features(
        [video], at_sec=lambda record: times[[0, 0, 2, 2, 2]].tolist(), **options
    )
    np.testing.assert_array_equal(repeated_times, times[[0, 0, 2, 2, 2]])
    np.testing.assert_array_equal(repeated, features[[0, 0, 2, 2, 2]])
    [(_, crops, _)] = extract_features([video], at_sec=lambda record: [times[1]] * 2, crop=five_crops, **options)
    np.testing.assert_array_equal(crops[:5], crops[5:])


def test_frames_that_claim_to_stay_for_hours_take_no_more_memory(model, tmp_path):
    path = tmp_path / "slow.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        packets = [*stream.encode(av.VideoFrame(64, 48, "yuv420p")), *stream.encode()]
        for index in range(4):
            packet = av.Packet(bytes(packets[0]))
            packet.pts = packet.dts = index * 10_000_000
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, 1000), True, stream
            container.mux(packet)
    options = {"model": model, "fps": 1.0, "root": None, "batch_size": 4, "workers": 1, "on_drop": None}
    [(_, features, times)] = extract_features([Record({"id": "a", "path": str(path)}, position=0)], **options)
    assert len(features) == 31  # the last one says how long it stays
    assert np.unique(times).tolist() == [0.0, 10_000.0, 20_000.0, 30_000.0]
