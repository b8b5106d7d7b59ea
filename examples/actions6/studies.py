"""What the studies compare: settings per study, and the questions of the OmniSource paper that they answer."""

from typing import NamedTuple

# study → (title, section of the OmniSource paper, the setting that others are compared with, settings in order)
STUDIES = {
    "few": (
        "Few labelled clips, 2D", "Fig. 7, Sec. 5.2", "target",
        ["target", "unfiltered", "paper", "query", "second", "best"],
    ),
    "paper": (
        "Why the paper's rule gains less, 2D", "Sec. 3.2, 5.2", "paper",
        ["target", "paper", "tenth", "balanced", "per class", "agree", "query all", "query each"],
    ),
    "sources": ("Every source contributes, 2D", "Table 2", "none", ["none", "image", "video", "long", "all"]),
    "filtering": (
        "Teacher filtering of images, 2D", "Sec. 5.2, Fig. 6", "unfiltered",
        ["none", "unfiltered", "threshold", "agree", "query1", "query2", "query4", "query9"],
    ),
    "budget": ("One source or two at the same budget, 2D", "Fig. 4", "image", ["image", "both", "video"]),
    "ratio": ("Ratio of target clips to images, 2D", "Fig. 8", "1:1", ["4:1", "2:1", "1:1", "1:2", "1:4"]),
    "resampling": (
        "Unequal classes, 2D", "Table 10", "power 1", ["power 1", "clipped 5", "power 0.5", "power 0.2"],
    ),
    "mixup": ("Mixup, 2D from ImageNet", "Table 9", "none", ["none", "intra", "web", "web cross"]),
    "inflation": (
        "Images as clips, 3D from scratch", "Table 8", "none",
        ["none", "still", "translate-random", "translate-constant", "perspective-specific", "perspective-agnostic"],
    ),
    "scratch": (
        "Every source contributes, 3D from scratch", "Table 2, Fig. 7", "none",
        ["none", "image", "video", "both", "long", "all"],
    ),
    "mixup-scratch": ("Mixup, 3D from scratch", "Table 9", "none", ["none", "intra", "web", "web cross"]),
    "transfer": (
        "Features transfer to three other actions, 3D", "Table 4", "target",
        ["none", "target", "web", "target fc", "web fc"],
    ),
    "flow": ("Two streams, 3D from scratch", "Tables 4 and 6", "rgb", ["rgb", "flow", "fused"]),
}  # fmt: skip
ALSO = {  # further comparisons: study → (setting, with)
    "few": [("best", "unfiltered"), ("best", "second")],
    "paper": [
        ("balanced", "target"),
        ("per class", "target"),
        ("agree", "target"),
        ("query all", "target"),
        ("query each", "target"),
        ("query each", "query all"),
    ],
    "sources": [("all", "video")],
    "filtering": [("query9", "query1")],
    "budget": [("both", "video")],
    "inflation": [("perspective-agnostic", "still"), ("perspective-agnostic", "perspective-specific")],
    "mixup": [("web cross", "web")],
    "mixup-scratch": [("web cross", "web")],
    "scratch": [("all", "both"), ("all", "video")],
    "transfer": [("web fc", "target fc")],
    "flow": [("fused", "flow")],
}


class Question(NamedTuple):
    """A question about a claim of OmniSource, and the pairs of settings that answer it here.

    Attributes:
        asks: the question.
        source: section, figure or table of the OmniSource paper.
        study: the study that tests it.
        pairs: (setting, other): yes if the first is better.
    """

    asks: str
    source: str
    study: str
    pairs: list[tuple[str, str]]


QUESTIONS = [
    Question(
        "Do web data help when labels are few?", "Fig. 7", "few",
        [("best", "target"), ("query", "target"), ("paper", "target"), ("unfiltered", "target")],
    ),
    Question(
        "Does filtering help?", "Sec. 5.2", "few",
        [("best", "unfiltered"), ("query", "unfiltered"), ("paper", "unfiltered")],
    ),
    Question(
        "Does filtering help, with images only?", "Sec. 5.2", "filtering",
        [("threshold", "unfiltered"), ("query4", "unfiltered")],
    ),
    Question("Do unfiltered images hurt?", "Sec. 5.2", "filtering", [("none", "unfiltered")]),
    Question(
        "Does another rule beat the paper's?", "Sec. 3.2", "paper",
        [("tenth", "paper"), ("balanced", "paper"), ("per class", "paper"), ("agree", "paper"), ("query all", "paper"),
         ("query each", "paper"), ("query each", "query all")],
    ),
    Question("Does a better teacher help?", "Fig. 6", "filtering", [("query9", "query1")]),
    Question(
        "Does every source help?", "Table 2", "sources",
        [("image", "none"), ("video", "none"), ("long", "none"), ("all", "none"), ("all", "video")],
    ),
    Question(
        "Does every source help in 3D from scratch?", "Table 2", "scratch",
        [("image", "none"), ("video", "none"), ("both", "none"), ("long", "none"), ("all", "none"), ("all", "video")],
    ),
    Question("Are two sources better at the same budget?", "Fig. 4", "budget", [("both", "image"), ("both", "video")]),
    Question("Is 1:1 the best ratio?", "Fig. 8", "ratio", [("1:1", "4:1"), ("1:1", "1:4")]),
    Question(
        "Does balancing unequal classes help?", "Table 10", "resampling",
        [("power 0.2", "power 1"), ("clipped 5", "power 1")],
    ),
    Question("Does mixup help from ImageNet weights?", "Table 9", "mixup", [("intra", "none"), ("web cross", "web")]),
    Question("Does mixup help from scratch?", "Table 9", "mixup-scratch", [("intra", "none"), ("web cross", "web")]),
    Question("Do images as still clips help?", "Table 8", "inflation", [("still", "none")]),
    Question(
        "Does a moving camera help more?", "Table 8", "inflation",
        [("perspective-agnostic", "still"), ("perspective-agnostic", "perspective-specific"),
         ("perspective-agnostic", "translate-random"), ("perspective-agnostic", "translate-constant")],
    ),
    Question("Do features of web data transfer?", "Table 4", "transfer", [("web fc", "target fc"), ("web", "target")]),
    Question("Do two streams beat RGB?", "Tables 4, 6", "flow", [("fused", "rgb")]),
]  # fmt: skip
