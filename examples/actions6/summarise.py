#!/usr/bin/env python3
"""Summarise the studies: means and 95 % intervals as tables and plots.

    python summarise.py out/eval -o out

Reads eval/STUDY/SETTING/kCLIPS-sSEED.jsonl, which omni eval writes. Writes results.jsonl (one line per run), RESULTS.md
and STUDY.svg. Intervals are bootstrapped over draws of the labelled clips and over the UCF groups of the test clips:
clips of one group show the same person in the same place, so they are not independent. A difference is paired: same
draw, same test clips. It is unresolved if its interval contains 0. Log loss, with and without calibration, complements
top-1 accuracy where nearly every test clip is recognised.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from runs import Runs, can_be_beaten, interval, paired, read_runs, verdict

WORDS = {"better": "holds", "worse": "does not hold", "unresolved": "unresolved"}
OUT_OF_REACH = "unresolved¹"
HEADING = """# Results on six actions

`examples/actions6/summarise.py` writes this page. Parentheses hold 95 % intervals. `holds`, `does not hold` and
`unresolved` state whether an interval lies on the side of the claim, on the other side, or contains 0.

"""

# study → (title, section of the OmniSource paper, the setting that others are compared with, settings in order)
STUDIES = {
    "few": ("Few labelled clips, 2D", "Fig. 7, Sec. 5.2", "target", "target unfiltered paper query second best"),
    "paper": (
        "Why the paper's rule gains less, 2D", "Sec. 3.2, 5.2", "paper",
        ["target", "paper", "tenth", "per class", "agree", "query all", "query each"],
    ),
    "sources": ("Every source contributes, 2D", "Table 2", "none", "none image video long all"),
    "filtering": (
        "Teacher filtering of images, 2D", "Sec. 5.2, Fig. 6", "unfiltered",
        "none unfiltered threshold agree query1 query2 query4 query9",
    ),
    "budget": ("One source or two at the same budget, 2D", "Fig. 4", "image", "image both video"),
    "ratio": ("Ratio of target clips to images, 2D", "Fig. 8", "1:1", "4:1 2:1 1:1 1:2 1:4"),
    "resampling": (
        "Unequal classes, 2D", "Table 10", "power 1", ["power 1", "clipped 5", "power 0.5", "power 0.2"],
    ),
    "mixup": ("Mixup, 2D from ImageNet", "Table 9", "none", ["none", "intra", "web", "web cross"]),
    "inflation": (
        "Images as clips, 3D from scratch", "Table 8", "none",
        "none still translate-random translate-constant perspective-specific perspective-agnostic",
    ),
    "scratch": (
        "Every source contributes, 3D from scratch", "Table 2, Fig. 7", "none", "none image video both long all",
    ),
    "mixup-scratch": ("Mixup, 3D from scratch", "Table 9", "none", ["none", "intra", "web", "web cross"]),
    "transfer": (
        "Features transfer to three other actions, 3D", "Table 4", "target",
        ["none", "target", "web", "target fc", "web fc"],
    ),
    "flow": ("Two streams, 3D from scratch", "Tables 4 and 6", "rgb", "rgb flow fused"),
}  # fmt: skip
ALSO = {  # further comparisons: study → (setting, with)
    "few": [("best", "unfiltered"), ("best", "second")],
    "paper": [("per class", "target"), ("agree", "target"), ("query all", "target"), ("query each", "target"),
              ("query each", "query all")],
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


class Claim(NamedTuple):
    """A claim of the OmniSource paper and the comparison that tests it.

    Attributes:
        says: the claim and its section in the paper.
        study: the study that tests it.
        setting: the setting that is claimed to be better.
        other: the setting that it is compared with.
    """

    says: str
    study: str
    setting: str
    other: str


CLAIMS = [
    Claim("Fig. 7: web data help when labels are few; our recipe", "few", "best", "target"),
    Claim("Fig. 7: web data help; filtered by confidence", "few", "paper", "target"),
    Claim("Fig. 7: web data help; unfiltered", "few", "unfiltered", "target"),
    Claim("Sec. 5.2: filtering helps; our recipe", "few", "best", "unfiltered"),
    Claim("Sec. 5.2: filtering helps; by query, one round, no mixup", "few", "query", "unfiltered"),
    Claim("Sec. 5.2: filtering helps; by confidence", "few", "paper", "unfiltered"),
    Claim("Sec. 5.2: filtering helps; images only, by threshold", "filtering", "threshold", "unfiltered"),
    Claim("Sec. 5.2: filtering helps; images only, by query", "filtering", "query4", "unfiltered"),
    Claim("Sec. 5.2: unfiltered web data hurt; images only", "filtering", "none", "unfiltered"),
    Claim("Table 2: images help", "sources", "image", "none"),
    Claim("Table 2: short videos help", "sources", "video", "none"),
    Claim("Table 2: long videos help", "sources", "long", "none"),
    Claim("Table 2: all sources together help", "sources", "all", "none"),
    Claim("Table 2: all sources beat short videos only", "sources", "all", "video"),
    Claim("Fig. 6: a better teacher helps; 9 clips per class, not 1", "filtering", "query9", "query1"),
    Claim("Fig. 4: two sources beat images only at the same budget", "budget", "both", "image"),
    Claim("Fig. 4: two sources beat short videos only at the same budget", "budget", "both", "video"),
    Claim("Fig. 8: ratio 1:1 beats 4:1", "ratio", "1:1", "4:1"),
    Claim("Fig. 8: ratio 1:1 beats 1:4", "ratio", "1:1", "1:4"),
    Claim("Table 10: sampling by N^0.2 beats N, unequal classes", "resampling", "power 0.2", "power 1"),
    Claim("Table 10: clipping beats N, unequal classes", "resampling", "clipped 5", "power 1"),
    Claim("Table 9: mixup from ImageNet weights, no clear effect; target only", "mixup", "intra", "none"),
    Claim("Table 9: mixup from ImageNet weights; target and images", "mixup", "web cross", "web"),
    Claim("Table 9: mixup from scratch helps; target only", "mixup-scratch", "intra", "none"),
    Claim("Table 9: mixup from scratch helps; target and images", "mixup-scratch", "web cross", "web"),
    Claim("Table 2, 3D from scratch: images help", "scratch", "image", "none"),
    Claim("Table 2, 3D from scratch: short videos help", "scratch", "video", "none"),
    Claim("Table 2, 3D from scratch: images and short videos help", "scratch", "both", "none"),
    Claim("Table 2, 3D from scratch: long videos help", "scratch", "long", "none"),
    Claim("Table 2, 3D from scratch: all sources help", "scratch", "all", "none"),
    Claim("Table 2, 3D from scratch: all sources beat short videos only", "scratch", "all", "video"),
    Claim("Table 8: still clips of images help", "inflation", "still", "none"),
    Claim("Table 8: a moving camera beats still clips", "inflation", "perspective-agnostic", "still"),
    Claim("Table 8: one motion model beats one per class", "inflation", "perspective-agnostic", "perspective-specific"),
    Claim("Table 8: perspective beats random translation", "inflation", "perspective-agnostic", "translate-random"),
    Claim("Table 8: perspective beats constant translation", "inflation", "perspective-agnostic", "translate-constant"),
    Claim("Table 4: features transfer; classifier only", "transfer", "web fc", "target fc"),
    Claim("Table 4: features transfer; fine-tuned", "transfer", "web", "target"),
    Claim("Tables 4, 6: two streams beat RGB, 3D from scratch", "flow", "fused", "rgb"),
]


def main() -> None:
    """Read the runs and write the tables and plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    found = read_runs(options.folder)
    if not found:
        parser.error(f"{options.folder}: expected files named STUDY/SETTING/kCLIPS-sSEED.jsonl")
    options.out.mkdir(parents=True, exist_ok=True)
    lines = [
        {"study": study, "setting": setting, "clips": clips, "seed": seed, "top1_acc": round(float(row.mean()), 6),
         "log_loss": round(float(loss.mean()), 6), "num_videos": len(row),
         **({"view": runs.view} if runs.view else {})}
        for (study, clips, setting), runs in sorted(found.items())
        for seed, row, loss in zip(runs.seeds, runs.right, runs.log_loss, strict=True)
    ]  # fmt: skip
    (options.out / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    parts = []
    for study in STUDIES:
        rows = table_rows(study, found)
        if rows:
            parts.append(as_markdown(study, rows))
            views = dict.fromkeys(runs.view for (name, _, _), runs in found.items() if name == study and runs.view)
            parts += [f"Views of the test clips: {'; '.join(views)}.\n"] if views else []
            parts.append(log_loss_table(study, rows, found))
            (options.out / f"{study}.svg").write_text(as_svg(study, rows), encoding="utf-8")
    chosen = [study for study, _, _ in found if study.startswith("choose")]
    if chosen:
        parts.append(choice_table(found))
    noted = options.folder.parent / "nothing-kept.txt"
    if noted.exists():
        parts.append("\n".join(["## Runs without a web source", "", *(f"- {line}" for line in noted_lines(noted)), ""]))
    claims = claims_tables(found)
    (options.out / "RESULTS.md").write_text(HEADING + "\n".join([claims, *parts]), encoding="utf-8")
    print(claims)


def noted_lines(path: Path) -> list[str]:
    """The notes of common.sh about filters that kept nothing, without repetitions."""
    return sorted(set(path.read_text(encoding="utf-8").splitlines()))


def table_rows(study: str, found: dict[tuple[str, int, str], Runs]) -> list[dict[str, object]]:
    """One row per setting and number of clips."""
    _, _, reference, order = STUDIES[study]
    settings = order.split() if isinstance(order, str) else order
    rows: list[dict[str, object]] = []
    for clips in sorted({clips for name, clips, _ in found if name == study}):
        more = sorted(setting for name, number, setting in found if (name, number) == (study, clips))
        here = {setting: found[study, clips, setting]
                for setting in dict.fromkeys([*settings, *more]) if (study, clips, setting) in found}  # fmt: skip
        for setting, runs in here.items():
            row = {"clips": clips, "setting": setting, "draws": len(runs.seeds), "mean": runs.mean,
                   "interval": interval(runs.right, runs.units), "against": []}  # fmt: skip
            others = [reference, *(other for mine, other in ALSO.get(study, []) if mine == setting)]
            row["against"] = [
                (other, paired(runs, here[other]))
                for other in others
                if other != setting and other in here and {*runs.seeds} & {*here[other].seeds}
            ]
            rows.append(row)
    return rows


def claims_tables(found: dict[tuple[str, int, str], Runs]) -> str:
    """Each claim with the difference found at each number of clips: by top-1 accuracy, then by log loss."""
    by_top1 = ["| OmniSource | clips per class | top-1 accuracy | difference | over draws only |", "|---" * 5 + "|"]
    by_loss = ["| OmniSource | clips per class | log loss | log loss at its best temperature |", "|---" * 4 + "|"]
    for claim in CLAIMS:
        for clips in sorted({clips for study, clips, _ in found if study == claim.study}):
            one, other = (found.get((claim.study, clips, name)) for name in (claim.setting, claim.other))
            if one is None or other is None or not {*one.seeds} & {*other.seeds}:
                continue
            _, low, high = paired(one, other, over_groups=False)
            by_top1.append(
                f"| {claim.says} | {clips} | {other.mean:.3f} ({claim.other}) → {one.mean:.3f} ({claim.setting}) | "
                f"{found_here(one, other, 'top-1')} | {low:+.3f} to {high:+.3f} |"
            )
            losses = (found_here(one, other, measure) for measure in ("log loss", "log loss at its temperature"))
            by_loss.append(f"| {claim.says} | {clips} | {' | '.join(losses)} |")
    if any(f" {OUT_OF_REACH}: " in line for line in by_top1):
        by_top1 += ["", "¹ Even a student without errors would be unresolved: the errors fall into too few groups."]
    return "\n".join(["## Claims by top-1 accuracy", "", *by_top1, "", "## Claims by log loss", "", *by_loss, ""])


def found_here(one: Runs, other: Runs, measure: str) -> str:
    """The verdict on one setting against another, with the difference and its interval."""
    change, low, high = paired(one, other, measure=measure)
    said = WORDS[verdict(low, high, measure)]
    if said == "unresolved" and measure == "top-1" and not can_be_beaten(one, other):
        said = OUT_OF_REACH
    return f"{said}: {change:+.3f} ({low:+.3f} to {high:+.3f})"


def as_markdown(study: str, rows: list[dict[str, object]]) -> str:
    """The table of one study."""
    title, source, _, _ = STUDIES[study]
    lines = [f"## {title} (OmniSource {source})", "",
             "| clips per class | setting | draws | top-1 | 95 % interval | difference | verdict |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        low, high = row["interval"]
        lines.append(
            f"| {row['clips']} | {row['setting']} | {row['draws']} | {row['mean']:.3f} | {low:.3f} to {high:.3f} | "
            f"{differences(row['against'], 'top-1')} |"
        )
    return "\n".join(lines) + "\n"


def differences(against: list[tuple[str, tuple[float, float, float]]], measure: str) -> str:
    """Two cells: the differences from other settings, and their verdicts."""
    said = (f"{mean:+.3f} ({low:+.3f} to {high:+.3f}) vs {other}" for other, (mean, low, high) in against)
    return f"{'; '.join(said)} | {'; '.join(verdict(low, high, measure) for _, (_, low, high) in against)}"


def log_loss_table(study: str, rows: list[dict[str, object]], found: dict[tuple[str, int, str], Runs]) -> str:
    """The log loss of one study, which separates settings where top-1 accuracy is near 1."""
    title, _, _, _ = STUDIES[study]
    lines = [
        f"### {title}: log loss",
        "",
        "Less is better. Calibrated: each run at the temperature that minimises its log loss on the test clips.",
        "",
        "| clips per class | setting | log loss | difference | verdict | calibrated | difference | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        one = found[study, row["clips"], row["setting"]]
        cells = [f"| {row['clips']} | {row['setting']} |"]
        for measure in ("log loss", "log loss at its temperature"):
            against = [
                (other, paired(one, found[study, row["clips"], other], measure=measure)) for other, _ in row["against"]
            ]
            cells.append(f" {one.by(measure).mean():.3f} | {differences(against, measure)} |")
        lines.append("".join(cells))
    return "\n".join(lines) + "\n"


def choice_table(found: dict[tuple[str, int, str], Runs]) -> str:
    """The runs by which the recipe was chosen: both held-out groups together."""
    lines = ["## Choice of the recipe", "",
             "On clips held out of `target/train`: one UCF group for training, the other for testing.", "",
             "| clips per class | setting | runs | top-1 | log loss |", "|---|---|---|---|---|"]  # fmt: skip
    keys = sorted({(clips, setting) for study, clips, setting in found if study.startswith("choose")})
    for clips, setting in keys:
        runs = [found[key] for key in found if key[0].startswith("choose") and key[1:] == (clips, setting)]
        accs = [acc for run in runs for acc in run.right.mean(axis=1)]
        loss = np.mean([run.log_loss.mean() for run in runs])
        lines.append(f"| {clips} | {setting} | {len(accs)} | {np.mean(accs):.3f} | {loss:.3f} |")
    return "\n".join(lines) + "\n"


def as_svg(study: str, rows: list[dict[str, object]]) -> str:
    """A plot with a dot and an interval per setting, for light and dark pages."""
    title, source, _, _ = STUDIES[study]
    several = len({row["clips"] for row in rows}) > 1
    low = min(0.9, np.floor(min(row["interval"][0] for row in rows) * 10) / 10)
    left, right, step, top = 190, 690, 22, 46
    height = top + step * len(rows) + 40

    def x_of(value: float) -> float:
        return left + (value - low) / (1 - low) * (right - left)

    bottom = top + step * len(rows)
    parts = [f'<text x="16" y="22" class="title">{title} (OmniSource {source})</text>']
    for tick in np.arange(round(low * 10), 11) / 10:
        parts.append(f'<line x1="{x_of(tick):.1f}" x2="{x_of(tick):.1f}" y1="{top - 8}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x_of(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:.1f}</text>')
    for number, row in enumerate(rows):
        y = top + step * (number + 0.5)
        start, end = row["interval"]
        name = f"{row['clips']} · {row['setting']}" if several else row["setting"]
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line x1="{x_of(start):.1f}" x2="{x_of(end):.1f}" y1="{y:.1f}" y2="{y:.1f}" class="span"/>')
        parts.append(f'<circle cx="{x_of(row["mean"]):.1f}" cy="{y:.1f}" r="4.5" class="dot"/>')
        parts.append(f'<text x="{right + 14}" y="{y + 4:.1f}">{row["mean"]:.3f}</text>')
    parts.append(
        f'<text x="{(left + right) / 2}" y="{bottom + 36}" text-anchor="middle">top-1 accuracy, 95 % interval</text>'
    )
    style = (
        "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.grid{stroke:#d0d7de}"
        ".span{stroke:#0969da;stroke-width:2.5}.dot{fill:#0969da}@media(prefers-color-scheme:dark){text{fill:#e6edf3}"
        ".grid{stroke:#30363d}.span{stroke:#58a6ff}.dot{fill:#58a6ff}}"
    )
    label = f"{title}: top-1 accuracy of {len(rows)} settings"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height + 4}" role="img" aria-label="{label}">'
        f"<style>{style}</style>{''.join(parts)}</svg>\n"
    )


if __name__ == "__main__":
    main()
