"""Estimate the time of each step from measured rates: decoding or computing, whichever is slower.

    python3 hours.py --gpus 8 --cores 64      MiniKinetics-200 on one machine
    python3 hours.py --crawl                  the crawl of the paper on 1, 8 and 64 such machines

Nothing here was run on the whole data. Measured: decoding per core of a server CPU (H.264 of 340x256, JPEG of
640x480), ResNet-50 in bfloat16 on an H100, and what a training step takes longer on media than on ready tensors.
Assumed: a step costs three forward passes, other networks cost what their multiply-adds say, all cores and GPUs are
busy.
"""

import argparse
from dataclasses import dataclass

# Per core and second
IMAGES = 380.0  # of 640x480 and 100 kB, about the mean of the released ones
SPARSE_FRAMES = 25.0  # videos of 10 s, 8 or 25 frames spread over each
CLIPS = 40.0  # one clip of 64 frames out of 10 s
WHOLE_VIDEOS = 20.0  # all clips of 10 s

RESNET50 = 11_400.0  # images of 224 pixels per GPU and second, forward
SLOW_ONLY = 54.5 / 4.1  # multiply-adds of a clip of 8x8 in images of ResNet-50
STEP_2D = 3 * 2.1  # a training step in forward passes; with the measured time over a step on ready tensors
STEP_3D = 3 * 1.4

# MiniKinetics-200 as released: all records, and those that the authors' teachers kept
TRAIN, VAL = 76_030, 4_838
GOOGLE, INSTAGRAM, VIDEOS = 3_050_880, 3_654_650, 732_855
RAW_PIECES = 76_027 * 24  # of ten seconds, 4 minutes per raw video (assumed)

# The crawl for Kinetics-400 (OmniSource Table 1): 13 M images, 1.4 M videos, and the raw videos of K400-tr
CRAWLED_IMAGES, CRAWLED_VIDEOS, RAW_400_PIECES = 13e6, 1.4e6, 240_000 * 24


@dataclass(frozen=True)
class Step:
    """One step: ``reads`` are (number, per core and second), ``forward`` counts images of ResNet-50."""

    name: str
    reads: tuple[tuple[float, float], ...]
    forward: float

    def hours(self, cores: int, gpus: int) -> float:
        """Hours with so many cores and GPUs."""
        decoding = sum(number / rate for number, rate in self.reads) / cores
        return max(decoding, self.forward / RESNET50 / gpus) / 3600


def training(name: str, epochs: int, videos: float, images: float, *, is_2d: bool) -> Step:
    """Training on so many videos and images per epoch; a TSN sees 8 frames of a video."""
    rate, step, of_video, of_image = (
        (SPARSE_FRAMES, STEP_2D, 8.0, 1.0) if is_2d else (CLIPS, STEP_3D, SLOW_ONLY, SLOW_ONLY)
    )
    forward = step * epochs * (videos * of_video + images * of_image)
    return Step(name, ((epochs * videos, rate), (epochs * images, IMAGES)), forward)


# Sources alternate 2:1:1:1 in batches: per target video half an Instagram video, half a clip of a raw video, and
# 64 / 12 / 2 images for the TSN, half an image for SlowOnly.
STEPS = (
    training("baseline TSN, which is the 2D teacher", 100, TRAIN, 0, is_2d=True),
    training("baseline SlowOnly, which is the 3D teacher", 256, TRAIN, 0, is_2d=False),
    Step("LISTS=ours: dedup and filter images", ((2 * (GOOGLE + INSTAGRAM), IMAGES),), 2.0 * (GOOGLE + INSTAGRAM)),
    Step("LISTS=ours: dedup and filter videos", ((2 * VIDEOS, WHOLE_VIDEOS),), VIDEOS * (10 * SLOW_ONLY + 10)),
    Step("LISTS=ours: segment", ((RAW_PIECES, WHOLE_VIDEOS),), RAW_PIECES * 10 * SLOW_ONLY),
    training("student TSN, all sources", 100, 2 * TRAIN, TRAIN * 64 / 12 / 2, is_2d=True),
    training("student SlowOnly, all sources", 256, 2 * TRAIN, TRAIN / 2, is_2d=False),
    Step("test of a TSN, 25 x 3 views", ((VAL, SPARSE_FRAMES),), VAL * 75 * (256 / 224) ** 2),
    Step("test of a SlowOnly, 10 x 3 views", ((VAL, WHOLE_VIDEOS),), VAL * 30 * SLOW_ONLY * (256 / 224) ** 2),
)

CRAWL = (
    Step("dedup of images", ((CRAWLED_IMAGES, IMAGES),), CRAWLED_IMAGES),
    Step("filter of images", ((CRAWLED_IMAGES, IMAGES),), CRAWLED_IMAGES),
    Step("dedup of videos, 10 frames each", ((CRAWLED_VIDEOS, WHOLE_VIDEOS),), CRAWLED_VIDEOS * 10),
    Step("filter of videos, 10 clips each", ((CRAWLED_VIDEOS, WHOLE_VIDEOS),), CRAWLED_VIDEOS * 10 * SLOW_ONLY),
    Step("segment of raw videos", ((RAW_400_PIECES, WHOLE_VIDEOS),), RAW_400_PIECES * 10 * SLOW_ONLY),
)


def shown(hours: float) -> str:
    """Hours, or minutes below one hour.

    >>> shown(2.34), shown(0.31)
    ('2.3 h', '19 min')
    """
    return f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Estimate the time of each step.")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--crawl", action="store_true", help="the crawl of the paper on 1, 8 and 64 such machines")
    given = parser.parse_args()
    if given.crawl:
        print("| stage | 1 node | 8 nodes | 64 nodes |\n|---|---|---|---|")
        for step in CRAWL:
            times = [shown(step.hours(nodes * given.cores, nodes * given.gpus)) for nodes in (1, 8, 64)]
            print(f"| {step.name} | {' | '.join(times)} |")
        return
    print(f"| step | estimate for {given.gpus} GPUs, {given.cores} cores |\n|---|---|")
    for step in STEPS:
        print(f"| {step.name} | {shown(step.hours(given.cores, given.gpus))} |")


if __name__ == "__main__":
    main()
