#!/usr/bin/env python3
"""What the studies found: means and 95 % intervals as tables, plots and one line a run.

    python summarise.py out/eval -o out [--readme ../../README.md]

Reads eval/STUDY/SETTING/kCLIPS-sSEED.jsonl, as omni eval writes them. Writes results.jsonl (a line a run), RESULTS.md
and STUDY.svg. An interval is a bootstrap over draws of the labelled clips and over the UCF groups of the test clips
(clips of a group show the same person in the same place: they are no independent evidence). A difference is paired: the
same draw, the same clips. Where its interval holds 0 it is unresolved. Where nearly every test clip is recognised top-1
tells little; there log loss is compared too, as it is and with confidence set aside.
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
BEGIN, END = "<!-- actions6:begin -->", "<!-- actions6:end -->"

# study → (title, where the paper has it, the setting that others are compared with, settings in order)
STUDIES = {
    "few": ("Few labelled clips, 2D", "Fig. 7, Sec. 5.2", "target", "target unfiltered paper query second best"),
    "sources": ("Every source contributes, 2D", "Table 2", "none", "none image video long all"),
    "filtering": (
        "Teacher filtering of images, 2D", "Sec. 5.2, Fig. 6", "unfiltered",
        "none unfiltered threshold agree query1 query2 query4 query9",
    ),
    "budget": ("One source or two at the same budget, 2D", "Fig. 4", "image", "image both video"),
    "ratio": ("Target to images in a step, 2D", "Fig. 8", "1:1", "4:1 2:1 1:1 1:2 1:4"),
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
        "Features carry over to three other actions, 3D", "Table 4", "target",
        ["none", "target", "web", "target fc", "web fc"],
    ),
}  # fmt: skip
ALSO = {  # further comparisons: study → (setting, with)
    "few": [("best", "unfiltered"), ("best", "second")],
    "sources": [("all", "video")],
    "filtering": [("query9", "query1")],
    "budget": [("both", "video")],
    "inflation": [("perspective-agnostic", "still"), ("perspective-agnostic", "perspective-specific")],
    "mixup": [("web cross", "web")],
    "mixup-scratch": [("web cross", "web")],
    "scratch": [("all", "both"), ("all", "video")],
    "transfer": [("web fc", "target fc")],
}


class Claim(NamedTuple):
    """What the paper says, as a comparison made here.

    Attributes:
        says: in a few words, with its place.
        study: where it is looked at.
        setting: that is said to be better.
        other: than this.
    """

    says: str
    study: str
    setting: str
    other: str


CLAIMS = [
    Claim("web data help where labels are few (Fig. 7): our recipe", "few", "best", "target"),
    Claim("... the most confident, as the paper filters", "few", "paper", "target"),
    Claim("... without any filter", "few", "unfiltered", "target"),
    Claim("filtered web data help more than unfiltered ones (Sec. 5.2): our recipe", "few", "best", "unfiltered"),
    Claim("... by query, one round, no mixup", "few", "query", "unfiltered"),
    Claim("... the most confident, as the paper filters", "few", "paper", "unfiltered"),
    Claim("... images alone, by a threshold, as the paper filters", "filtering", "threshold", "unfiltered"),
    Claim("... images alone, by query", "filtering", "query4", "unfiltered"),
    Claim("unfiltered web data hurt (Sec. 5.2): images alone", "filtering", "none", "unfiltered"),
    Claim("every source helps (Table 2): images", "sources", "image", "none"),
    Claim("... short videos", "sources", "video", "none"),
    Claim("... long videos", "sources", "long", "none"),
    Claim("... all of them", "sources", "all", "none"),
    Claim("... all of them more than short videos alone", "sources", "all", "video"),
    Claim("a better teacher makes a better student (Fig. 6): nine clips, not one", "filtering", "query9", "query1"),
    Claim("two sources beat one at the same budget (Fig. 4): images", "budget", "both", "image"),
    Claim("... short videos", "budget", "both", "video"),
    Claim("1:1 is a good ratio (Fig. 8): not 4:1", "ratio", "1:1", "4:1"),
    Claim("... not 1:4", "ratio", "1:1", "1:4"),
    Claim("unequal classes: N^0.2 beats N (Table 10)", "resampling", "power 0.2", "power 1"),
    Claim("... so does clipping", "resampling", "clipped 5", "power 1"),
    Claim("mixup on ImageNet's weights (Table 9: no clear effect): target alone", "mixup", "intra", "none"),
    Claim("... target and images", "mixup", "web cross", "web"),
    Claim("mixup from scratch helps (Table 9): target alone", "mixup-scratch", "intra", "none"),
    Claim("... target and images", "mixup-scratch", "web cross", "web"),
    Claim("from scratch, too, web data help (Table 2, 3D): images", "scratch", "image", "none"),
    Claim("... short videos", "scratch", "video", "none"),
    Claim("... images and short videos", "scratch", "both", "none"),
    Claim("... long videos", "scratch", "long", "none"),
    Claim("... all of them", "scratch", "all", "none"),
    Claim("... all of them more than short videos alone", "scratch", "all", "video"),
    Claim("images as still clips help (Table 8)", "inflation", "still", "none"),
    Claim("a moving camera beats still clips (Table 8)", "inflation", "perspective-agnostic", "still"),
    Claim("one motion for all classes beats one for each (Table 8)", "inflation", "perspective-agnostic",
          "perspective-specific"),
    Claim("translation is worse than perspective (Table 8): at random", "inflation", "perspective-agnostic",
          "translate-random"),
    Claim("... at one speed", "inflation", "perspective-agnostic", "translate-constant"),
    Claim("features carry over (Table 4): classifier alone", "transfer", "web fc", "target fc"),
    Claim("... fine-tuned", "transfer", "web", "target"),
]  # fmt: skip


def main() -> None:
    """Read, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--readme", type=Path, help="put the table of claims between its markers")
    options = parser.parse_args()
    found = read_runs(options.folder)
    if not found:
        parser.error(f"{options.folder}: expected files named STUDY/SETTING/kCLIPS-sSEED.jsonl")
    options.out.mkdir(parents=True, exist_ok=True)
    lines = [
        {"study": study, "setting": setting, "clips": clips, "seed": seed, "top1_acc": round(float(row.mean()), 6),
         "log_loss": round(float(loss.mean()), 6), "num_videos": len(row)}
        for (study, clips, setting), runs in sorted(found.items())
        for seed, row, loss in zip(runs.seeds, runs.right, runs.log_loss, strict=True)
    ]  # fmt: skip
    (options.out / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    parts = []
    for study in STUDIES:
        rows = table_rows(study, found)
        if rows:
            parts.append(as_markdown(study, rows))
            parts.append(log_loss_table(study, rows, found))
            (options.out / f"{study}.svg").write_text(as_svg(study, rows), encoding="utf-8")
    chosen = [study for study, _, _ in found if study.startswith("choose")]
    if chosen:
        parts.append(choice_table(found))
    noted = options.folder.parent / "nothing-kept.txt"
    if noted.exists():
        parts.append("\n".join(["**Without a web source**", "", *(f"- {line}" for line in noted_lines(noted)), ""]))
    claims = claims_table(found)
    (options.out / "RESULTS.md").write_text("\n".join([claims, *parts]), encoding="utf-8")
    if options.readme:
        page = options.readme.read_text(encoding="utf-8")
        if page.count(BEGIN) != 1 or page.count(END) != 1:
            parser.error(f"{options.readme}: expected {BEGIN} and {END} once each")
        before, after = page.partition(BEGIN)[0], page.partition(END)[2]
        options.readme.write_text(f"{before}{BEGIN}\n{claims}{END}{after}", encoding="utf-8")
    print(claims)


def noted_lines(path: Path) -> list[str]:
    """What common.sh wrote of filters that kept nothing, once each."""
    return sorted(set(path.read_text(encoding="utf-8").splitlines()))


def table_rows(study: str, found: dict[tuple[str, int, str], Runs]) -> list[dict[str, object]]:
    """One row a setting and number of clips."""
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


def claims_table(found: dict[tuple[str, int, str], Runs]) -> str:
    """Each claim, and what was found at each number of clips; what an interval cannot tell is unresolved."""
    lines = [
        "| the paper says | clips a class | here: top-1 | difference, 95 % | over draws alone | by log loss | at its "
        "best temperature |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        for clips in sorted({clips for study, clips, _ in found if study == claim.study}):
            one, other = (found.get((claim.study, clips, name)) for name in (claim.setting, claim.other))
            if one is None or other is None or not {*one.seeds} & {*other.seeds}:
                continue
            _, draws_low, draws_high = paired(one, other, over_groups=False)
            lines.append(
                f"| {claim.says} | {clips} | {other.mean:.3f} ({claim.other}) → {one.mean:.3f} ({claim.setting}) | "
                f"{found_here(one, other, 'top-1')} | {draws_low:+.3f} to {draws_high:+.3f} | "
                f"{found_here(one, other, 'log loss')} | {found_here(one, other, 'log loss at its temperature')} |"
            )
    if any(f" {OUT_OF_REACH}: " in line for line in lines):
        lines += ["", "¹ and would be of a student without an error: so few groups hold the errors that it would mend."]
    return "\n".join(lines) + "\n"


def found_here(one: Runs, other: Runs, measure: str) -> str:
    """Whether one setting is better than another, and by how much."""
    change, low, high = paired(one, other, measure=measure)
    said = WORDS[verdict(low, high, measure)]
    if said == "unresolved" and measure == "top-1" and not can_be_beaten(one, other):
        said = OUT_OF_REACH
    return f"{said}: {change:+.3f} ({low:+.3f} to {high:+.3f})"


def as_markdown(study: str, rows: list[dict[str, object]]) -> str:
    """The table of one study."""
    title, source, _, _ = STUDIES[study]
    lines = [f"**{title}** ({source})", "", "| clips a class | setting | draws | top-1 | 95 % | difference, 95 % | |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        low, high = row["interval"]
        lines.append(
            f"| {row['clips']} | {row['setting']} | {row['draws']} | {row['mean']:.3f} | {low:.3f} to {high:.3f} | "
            f"{differences(row['against'], 'top-1')} |"
        )
    return "\n".join(lines) + "\n"


def differences(against: list[tuple[str, tuple[float, float, float]]], measure: str) -> str:
    """Two cells: how far from each other setting, and what that says."""
    said = (f"{mean:+.3f} ({low:+.3f} to {high:+.3f}) to {other}" for other, (mean, low, high) in against)
    return f"{'; '.join(said)} | {'; '.join(verdict(low, high, measure) for _, (_, low, high) in against)}"


def log_loss_table(study: str, rows: list[dict[str, object]], found: dict[tuple[str, int, str], Runs]) -> str:
    """Log loss of one study, which tells settings apart where top-1 is near 1."""
    title, _, _, _ = STUDIES[study]
    lines = [
        f"**{title}: log loss** (less is better). At the temperature that suits a run's test clips best, mere "
        "confidence counts for nothing.",
        "",
        "| clips a class | setting | log loss | difference, 95 % | | at its temperature | difference, 95 % | |",
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
    """What was looked at to choose the recipe: both ways of holding a group out, together."""
    lines = ["**The recipe was chosen** on clips held out of `target/train` (one UCF group taught, one tested)", "",
             "| clips a class | setting | runs | top-1 | log loss |", "|---|---|---|---|---|"]  # fmt: skip
    keys = sorted({(clips, setting) for study, clips, setting in found if study.startswith("choose")})
    for clips, setting in keys:
        runs = [found[key] for key in found if key[0].startswith("choose") and key[1:] == (clips, setting)]
        accs = [acc for run in runs for acc in run.right.mean(axis=1)]
        loss = np.mean([run.log_loss.mean() for run in runs])
        lines.append(f"| {clips} | {setting} | {len(accs)} | {np.mean(accs):.3f} | {loss:.3f} |")
    return "\n".join(lines) + "\n"


def as_svg(study: str, rows: list[dict[str, object]]) -> str:
    """A dot and its interval for every setting, on light and dark pages."""
    title, source, _, _ = STUDIES[study]
    several = len({row["clips"] for row in rows}) > 1
    low = min(0.9, np.floor(min(row["interval"][0] for row in rows) * 10) / 10)
    left, right, step, top = 190, 690, 22, 46
    height = top + step * len(rows) + 40

    def place(value: float) -> float:
        return left + (value - low) / (1 - low) * (right - left)

    bottom = top + step * len(rows)
    parts = [f'<text x="16" y="22" class="title">{title} ({source})</text>']
    for tick in np.arange(round(low * 10), 11) / 10:
        parts.append(f'<line x1="{place(tick):.1f}" x2="{place(tick):.1f}" y1="{top - 8}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{place(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:.1f}</text>')
    for number, row in enumerate(rows):
        y = top + step * (number + 0.5)
        start, end = row["interval"]
        name = f"{row['clips']} · {row['setting']}" if several else row["setting"]
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line x1="{place(start):.1f}" x2="{place(end):.1f}" y1="{y:.1f}" y2="{y:.1f}" class="span"/>')
        parts.append(f'<circle cx="{place(row["mean"]):.1f}" cy="{y:.1f}" r="4.5" class="dot"/>')
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
