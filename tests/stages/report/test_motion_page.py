"""The page of a fitted motion: self-contained, the same every time, and honest about what it cannot show."""

import cv2
import numpy as np
import pytest

from omnicli.motion.homography import STILL, Gaussian
from omnicli.motion.motion_file import Fitted, Motion
from omnicli.stages.report.motion_page import render_motion_report
from omnicli.streams.record import Record

SPREAD = Gaussian(STILL, np.diag([2e-3] * 8) ** 2)
MOTION = Motion(
    agnostic=Fitted(SPREAD, 12, 3456),
    classes={"<Rain>": Fitted(SPREAD, 3, 200)},
    left_out={"shot cut": 7, "no texture": 5},
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    cv2.imwrite(str(root / "a.png"), np.full((60, 80, 3), 90, np.uint8))
    (root / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return [
        Record({"id": "a", "path": str(root / "a.png"), "media": "image", "query": "<rain>"}),
        Record({"id": "bad", "path": str(root / "bad.png"), "media": "image", "query": "snow"}),
        Record({"id": "animation", "path": "animation.mp4", "media": "video"}),
    ]


def test_every_image_is_shown_in_every_mode(records):
    page = render_motion_report(MOTION, records, title="Motion <1>", workers=2)
    assert page == render_motion_report(MOTION, records[::-1], title="Motion <1>")
    assert page.count("data:image/jpeg;base64,") == 5
    assert page.count("truncated PNG") == 5 and "animation" not in [
        part.split("<")[0] for part in page.split("<h3>")[1:]
    ]
    assert "<b>perspective-specific</b> · &lt;Rain&gt;" in page and "class unknown, agnostic instead" in page
    assert "<title>Motion &lt;1&gt;</title>" in page and "<script" not in page and "http" not in page
    assert "3,456 pairs of consecutive frames of 12 videos" in page and "shot cut 7, no texture 5." in page


def test_without_images_a_test_pattern_moves_in_the_modes_that_were_fitted():
    page = render_motion_report(Motion(agnostic=Fitted(SPREAD, 1, 60)), [], title="x")
    assert page.count("data:image/jpeg;base64,") == 4
    assert "perspective-specific" not in page and "test pattern" in page
