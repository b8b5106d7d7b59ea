"""Numbers in help texts are those of the code, where the code has them as constants."""

import pytest

from omnicli.commands.engine.ray_pool import MAX_CPUS
from omnicli.commands.invocation import load_command
from omnicli.commands.options.inflate import PixelOptions
from omnicli.commands.run.dedup_methods import DEFAULT_DIM
from omnicli.inference.compiled import FIRST_RECORDS
from omnicli.inference.metrics import NUM_TOP_SCORES
from omnicli.inference.video_sampling import VideoSampling
from omnicli.media.flow_pixels import BOUND
from omnicli.models.architectures import default_dropout
from omnicli.motion.camera import MIN_CROP
from omnicli.stages.dedup.census import FPS
from omnicli.stages.dedup.target_rate import LOWEST, MAX_FRAMES, RATES
from omnicli.stages.pack import MAX_UPSCALE
from omnicli.stages.zero_shot import PROMPTS
from omnicli.training.optim import MOMENTUM

HIGH, MIDDLE, LOW = RATES
SHAPE = PixelOptions()
STEPS = (SHAPE.num_frames - 1) * SHAPE.frame_interval
NUMBERS = {4: "four", 5: "five", 6: "six"}


def texts_of(name: str) -> str:
    """The help of a command and of its options, with the defaults that are texts, on one line."""
    command = load_command(name)
    texts = [command.help or ""]
    for parameter in command.params:
        shown = getattr(parameter, "show_default", None)
        texts += [getattr(parameter, "help", None) or "", f"[{parameter.name}: {shown}]"]
    return " ".join(" ".join(texts).split())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "dedup",
            f"read at {LOWEST:g} frame per second, and those of a small target at {HIGH:g}, {MIDDLE:g} or {LOW:g}: ",
        ),
        ("dedup", f"the whole target has at most {MAX_FRAMES:,} frames"),
        ("dedup", f"[fps: {LOWEST:g}; of a small target up to {HIGH:g}]"),
        ("dedup", f"[whiten_dim: {DEFAULT_DIM}]"),
        ("dedup", f"target frame at {DEFAULT_DIM} dimensions"),
        ("dedup", f"64-bit signatures of {FPS} frames per second"),
        ("flow", f"clipped to {BOUND:g} pixels"),
        ("inflate", f"less than {MIN_CROP:.0%} of the image's".replace("%", " %")),
        (
            "inflate",
            f"A clip of {SHAPE.num_frames} frames with an interval of {SHAPE.frame_interval} takes {STEPS} camera",
        ),
        ("pack", f"stored at {1 / (MIN_CROP * MAX_UPSCALE):.2f} times the short side"),
        ("pack", f"enlarged by {MAX_UPSCALE} at most"),
        ("segment", f"[fps: {VideoSampling.fps:g}]"),
        ("segment", f"[clip_sec: {VideoSampling.clip_sec:g}]"),
        ("segment", f"[num_clips: {VideoSampling.num_clips}]"),
        ("segment", f"[frames: {VideoSampling.frames}]"),
        (
            "filter",
            f"not before record {FIRST_RECORDS['2D']:,} (3D: {FIRST_RECORDS['3D']}; segment: {FIRST_RECORDS['long']})",
        ),
        ("filter", f"else up to {MAX_CPUS}]"),
        ("train", f"the teacher's {NUMBERS[NUM_TOP_SCORES]} best scores"),
        ("train", f"sgd has momentum {MOMENTUM}"),
        ("train", f"else TSN {default_dropout('tsn-resnet50')}, most {default_dropout('slowonly-r50')}]"),
        ("zero-shot", f"[prompts: {len(PROMPTS)} about actions"),
    ],
)
def test_a_number_in_the_help_is_that_of_the_code(command, said):
    assert said in texts_of(command)
