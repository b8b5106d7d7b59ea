#!/usr/bin/env python3
"""Summarise the studies: means and 95 % intervals as tables and plots.

    python summarise.py out/eval -o out

Reads eval/STUDY/SETTING/kCLIPS-sSEED.jsonl, which omni eval writes. Writes results.jsonl (one line per run), RESULTS.md
(questions of the paper, studies by top-1 accuracy), LOG_LOSS.md (the same by log loss) and STUDY.svg. Intervals are
bootstrapped over draws of the labelled clips and over the UCF groups of the test clips: clips of one group show the
same person in the same place, so they are not independent. A difference is paired: same draw, same test clips. It is
unresolved if its interval contains 0. Log loss, with and without calibration, complements top-1 accuracy where nearly
every test clip is recognised.
"""

import argparse
import json
from pathlib import Path

from kept import kept_tables, read_truth
from plots import as_svg
from runs import read_runs
from studies import STUDIES
from tables import Found, choice_table, log_loss_tables, question_tables, settings_of, study_tables

RESULTS = """# Results on six actions

`examples/actions6/summarise.py` writes this page. *clips*: labelled clips per class. *yes*: the 95 % interval of the
paired difference lies above 0; *no*: below 0; *unresolved*: it contains 0. [The same by log loss](LOG_LOSS.md).

"""
LOG_LOSS = """# Log loss on six actions

`examples/actions6/summarise.py` writes this page. Less is better; it separates settings where nearly every test clip is
recognised. *Calibrated*: each run at the temperature that minimises its log loss on the test clips, so that higher
confidence alone gains nothing. [The same by top-1 accuracy](RESULTS.md).

"""


def main() -> None:
    """Read the runs and write the tables and plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--truth", type=Path, help="manifest.csv of the web files, for the table of kept images")
    options = parser.parse_args()
    found = read_runs(options.folder)
    if not found:
        parser.error(f"{options.folder}: expected files named STUDY/SETTING/kCLIPS-sSEED.jsonl")
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "results.jsonl", "".join(json.dumps(line) + "\n" for line in run_lines(found)))
    studies = [study for study in STUDIES if any(name == study for name, _, _ in found)]
    parts = [question_tables(found, "top-1"), *(study_tables(study, found) for study in studies)]
    if any(study.startswith("choose") for study, _, _ in found):
        parts.append(choice_table(found))
    if options.truth and options.truth.exists():
        parts.append(kept_tables(options.folder.parent, read_truth(options.truth)))
    noted = options.folder.parent / "nothing-kept.txt"
    if noted.exists():
        parts.append("\n".join(["## Runs without a web source", "", *(f"- {line}" for line in noted_lines(noted)), ""]))
    write(options.out / "RESULTS.md", RESULTS + "\n".join(filter(None, parts)))
    losses = [question_tables(found, "log loss"), *(log_loss_tables(study, found) for study in studies)]
    write(options.out / "LOG_LOSS.md", LOG_LOSS + "\n".join(filter(None, losses)))
    for study in studies:
        write(options.out / f"{study}.svg", as_svg(study, list(settings_of(study, found))))
    print(parts[0])


def write(path: Path, text: str) -> None:
    """Write a file in UTF-8."""
    path.write_text(text, encoding="utf-8")


def run_lines(found: Found) -> list[dict[str, object]]:
    """One line per run: study, setting, clips per class, seed, top-1 accuracy, log loss, test clips and their view."""
    return [
        {"study": study, "setting": setting, "clips": clips, "seed": seed, "top1_acc": round(float(row.mean()), 6),
         "log_loss": round(float(loss.mean()), 6), "num_videos": len(row),
         **({"view": runs.view} if runs.view else {})}
        for (study, clips, setting), runs in sorted(found.items())
        for seed, row, loss in zip(runs.seeds, runs.right, runs.log_loss, strict=True)
    ]  # fmt: skip


def noted_lines(path: Path) -> list[str]:
    """The notes of common.sh about filters that kept nothing, without repetitions."""
    return sorted(set(path.read_text(encoding="utf-8").splitlines()))


if __name__ == "__main__":
    main()
