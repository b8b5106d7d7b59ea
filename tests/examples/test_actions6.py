"""The studies on six actions: valid commands, a correct summary, and one complete run on a part of the data."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from load_script import load_script
from typer.testing import CliRunner

from omnicli.app import app

ACTIONS6 = Path(__file__).resolve().parents[2] / "examples" / "actions6"
SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA = SHARED / "data" / "actions6"
WEIGHTS = SHARED / "weights" / "tf_efficientnet_lite0-imagenet.safetensors"
ACTIONS = {
    "CLASS_NAMES": "Archery BasketballDunk HorseRace PlayingPiano PlayingViolin Surfing",
    "CLIP_NAMES": " ".join(f"g{group}_c0{clip}" for group in ("08", "09") for clip in range(1, 6)),
}
GOALS = ("few", "paper", "rules", "clips", "camera", "transfer", "flow", "choose")
CHOICES = ("choose-08", "choose-09", "choose-flow-08", "choose-flow-09")
ONE_DRAW = ("SEEDS=0", "FEW_SEEDS=0", "CHOOSE_SEEDS=0", "CLIPS=4", f"PYTHON={sys.executable}")

# Logs its arguments and copies its input to its output. Its inputs must exist.
FAKE_OMNI = r"""#!/usr/bin/env bash
set -euo pipefail
shopt -s extglob
printf 'omni%s\n' "$(printf ' %q' "$@")" >> "$LOG"
out=/dev/stdout input=/dev/null written=
for word; do
    case $written in
        -o) out=$word ;;
        --rejects) mkdir -p "$(dirname "$word")" ;;
        --shards) mkdir -p "$word" && echo > "$word/00000.h5" ;;
        *)
            case $word in
                "$OUT"/*)
                    [ -s "$word" ] || [ "$written" = --auxiliary ] || { echo "omni $*: nothing in $word" >&2; exit 65; }
                    ;;&
                "$OUT"/*.jsonl) [ -s "$word" ] && input=$word ;;
            esac
            ;;
    esac
    written=$word
done
case $* in
    index*)
        for name in $CLASS_NAMES; do
            for clip in $CLIP_NAMES; do
                printf '{"id":"%s","path":"a","class_name":"%s","query":"%s","pseudo_class":"%s"}\n' \
                    "$name/v_${name}_$clip" "$name" "$name" "$name"
            done
        done > "$out"
        ;;
    *--agree* | segment*) [ -n "${KEEPS_NOTHING:-}" ] && : > "$out" || cat "$input" > "$out" ;;
    *) cat "$input" > "$out" ;;
esac
"""


sys.path.insert(0, str(ACTIONS6))
runs, studies, tables, plots, kept, summarise = (
    load_script(ACTIONS6 / f"{name}.py") for name in ("runs", "studies", "tables", "plots", "kept", "summarise")
)
sys.path.remove(str(ACTIONS6))
STUDIES = {study: order for study, (_, _, _, order) in studies.STUDIES.items()}


def make(*arguments, environment=None, timeout=300):
    command = ["make", "--no-print-directory", "-C", str(ACTIONS6), *arguments]
    return subprocess.run(
        command, text=True, capture_output=True, timeout=timeout, env=dict(os.environ) | (environment or {})
    )


# The commands of the scripts and the Makefile


@pytest.fixture(scope="module")
def rehearse(tmp_path_factory):
    """``rehearse(goals, **environment)``: run make with a fake omni; returns folder, result, commands and a rerun."""

    def run(*goals, **environment):
        folder = tmp_path_factory.mktemp("rehearsal")
        fakes, out, log = folder / "bin", folder / "out", folder / "log"
        fakes.mkdir()
        for name, text in {"omni": FAKE_OMNI, "rm": "#!/bin/sh\n"}.items():  # keep files that are read again
            (fakes / name).write_text(text)
            (fakes / name).chmod(0o755)
        environment = ACTIONS | environment
        for name in environment["CLASS_NAMES"].split():
            (folder / "data" / "target" / "train" / name).mkdir(parents=True)
        (folder / "data" / "target" / "test").mkdir()
        (folder / "data" / "web" / "untrimmed").mkdir(parents=True)
        (folder / "data" / "web" / "video").mkdir()
        for name in ("data/web/image_hard.jsonl", "weights.safetensors"):
            (folder / name).write_text("{}\n")
        arguments = [f"DATA={folder}/data", f"WEIGHTS={folder}/weights.safetensors", f"OUT={out}", *ONE_DRAW]
        surroundings = {"PATH": f"{fakes}:{os.environ['PATH']}", "LOG": str(log), "OMNI_WARM": "0"} | environment

        def go():
            log.write_text("")
            result = make(*arguments, *goals, environment=surroundings)
            return result, [shlex.split(line) for line in log.read_text().splitlines()]

        return out, *go(), go

    if shutil.which("make") is None:
        pytest.skip("needs make")
    return run


@pytest.fixture(scope="module")
def rehearsed(rehearse):
    return rehearse(*GOALS)


def test_every_command_is_valid(rehearsed):
    """Each command with the values of a real run; commands that differ only in paths or numbers are checked once."""
    out, result, lines, _ = rehearsed
    assert result.returncode == 0, result.stderr
    different = {
        tuple(word for word in words if not word.startswith(str(out)) and not word.isdigit()): words for words in lines
    }
    assert {words[1] for words in lines} == {
        "index", "features", "pack", "flow", "inflate", "balance", "teacher-train", "filter", "segment", "train",
        "eval",
    }  # fmt: skip
    for words in different.values():
        run = CliRunner().invoke(app, [*words[1:], "--dry-run"])
        assert run.exit_code == 0, f"{shlex.join(words)}\n{run.stderr}"


def test_scripts_evaluate_the_studies_and_settings_of_the_summary(rehearsed):
    out, _, _, _ = rehearsed
    evaluated = {study.name: {setting.name for setting in study.iterdir()} for study in (out / "eval").iterdir()}
    assert {study: evaluated[study] for study in STUDIES} == {study: set(order) for study, order in STUDIES.items()}
    assert set(evaluated) - set(STUDIES) == {"web", *CHOICES}


def test_a_second_run_does_nothing(rehearsed):
    out, result, lines, go = rehearsed
    assert (result.returncode, bool(lines)) == (0, True)
    result, lines = go()
    assert (result.returncode, lines) == (0, [])
    (out / "done" / "transfer-0").unlink()
    result, lines = go()
    assert (result.returncode, {words[1] for words in lines}) == (0, {"balance", "inflate", "train", "eval"})


def test_other_numbers_of_clips_can_be_set(rehearse):
    out, result, lines, _ = rehearse("few", "rules", "MOST=6", "CLIPS=6")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (out / "done").iterdir()) == ["few-6-0", "rules-0"]
    assert "warning" not in result.stderr
    teachers = {path.name for path in (out / "eval" / "filtering").glob("query*")}
    assert teachers == {"query1", "query2", "query4", "query6"}
    assert [words for words in lines if words[1] == "balance" and "36" in words]


def test_students_without_kept_data_are_trained_on_the_rest_and_listed(rehearse):
    """No frame of a long video is positive, and teacher and query never agree."""
    out, result, lines, _ = rehearse("few", "rules", KEEPS_NOTHING="1")
    assert result.returncode == 0, result.stderr
    trained = [words for words in lines if words[1] == "train"]
    assert [words for words in trained if str(out / "runs" / "rules" / "s0" / "web" / "long.jsonl") in words]
    notes = (out / "nothing-kept.txt").read_text().splitlines()
    assert "runs/rules/s0/student.pth learns without runs/rules/s0/agree.jsonl, where nothing was kept" in notes
    assert "runs/few/k4-s0/best.pth learns without runs/few/k4-s0/best/long.jsonl, where nothing was kept" in notes
    assert all(note in result.stderr for note in notes)


OTHERS = {"CLASS_NAMES": "diving juggling skiing surfing", "CLIP_NAMES": "a b c d e f"}


def test_other_classes_are_split_in_halves_and_choose_is_skipped_without_groups(rehearse):
    out, result, _, _ = rehearse("transfer", "choose", **OTHERS)
    assert result.returncode == 0, result.stderr
    first = (out / "runs" / "transfer" / "s0" / "first.txt").read_text().split()
    others = (out / "runs" / "transfer" / "s0" / "others.txt").read_text().split()
    assert (first, others) == (["diving", "skiing"], ["juggling", "surfing"])
    assert "no file of target/train has _g08_ in its name, so no group can be held out; give HALVES" in result.stderr
    assert not list((out / "eval").glob("choose*"))
    assert (out / "done" / "choose-4-0").exists()


def test_first_classes_of_transfer_must_exist(rehearse):
    out, result, _, _ = rehearse("transfer", FIRST="archery|surf", **OTHERS)
    assert result.returncode == 2
    assert f"FIRST=archery|surf: no class of {out}/data/classes.txt" in result.stderr
    assert not (out / "done" / "transfer-0").exists()


# The summary


def write_eval(folder, setting, seed, right, *, study="few", clips=4):
    """An eval file of clips {id: recognised?}, and the summary that follows them."""
    path = folder / "eval" / study / setting / f"k{clips}-s{seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [
        {"id": name, "label": 0, "pseudo_label": 0 if is_right else 1,
         "top_scores": [[0, 0.9], [1, 0.1]] if is_right else [[1, 0.9], [0, 0.1]]}
        for name, is_right in right.items()
    ]  # fmt: skip
    path.write_text("".join(json.dumps(record) + "\n" for record in [*records, {"top1_acc": 0.5}]))


def clips_of(verdicts):
    """{id: recognised?} of as many clips, each its own group of one of two classes."""
    return {
        f"val/{'ab'[number % 2]}/v_a_g{number // 2:02}_c01.avi": is_right for number, is_right in enumerate(verdicts)
    }


def no_long_cells(made):
    """Tables fit on a screen: no cell of more than 30 characters."""
    pages = [text.decode() for name, text in made.items() if name.endswith(".md")]
    return pages and all(len(cell) <= 30 for text in pages for row in table_rows(text) for cell in row)


ALL_RIGHT, ALL_WRONG = clips_of([True] * 8), clips_of([False] * 8)
MIXED = [clips_of([True, False, True, True, False, False, True, True]), clips_of([False, False, True] * 2 + [True] * 2)]


@pytest.fixture
def summary(tmp_path, monkeypatch, capsys):
    """``summary(*arguments)`` of what write_eval put into the folder: file name → bytes."""

    def run(*arguments, out="made"):
        command = ["summarise.py", str(tmp_path / "eval"), "-o", str(tmp_path / out), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        summarise.main()
        capsys.readouterr()
        return {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()}

    return run


def table_rows(text, *cells):
    """The rows of all tables that begin with these cells, as lists of cells."""
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[: len(cells)] == [*cells]]


def test_the_difference_of_identical_runs_is_zero_and_unresolved(tmp_path, summary):
    for seed, right in enumerate(MIXED):
        write_eval(tmp_path, "target", seed, right)
        write_eval(tmp_path, "best", seed, right)
    found = runs.read_runs(tmp_path / "eval")
    assert runs.paired(found["few", 4, "best"], found["few", 4, "target"]) == (0, 0, 0)
    made = summary()
    for name in ("RESULTS.md", "LOG_LOSS.md"):
        same = [["4", "best", "target", "+0.000", "+0.000 to +0.000", "unresolved"]]
        assert table_rows(made[name].decode(), "4", "best", "target") == same * (1 if name == "RESULTS.md" else 2)


def test_right_on_everything_is_better_than_wrong_on_everything(tmp_path, summary):
    for seed in range(3):
        write_eval(tmp_path, "target", seed, ALL_WRONG)
        write_eval(tmp_path, "best", seed, ALL_RIGHT)
        write_eval(tmp_path, "paper", seed, ALL_RIGHT)
        write_eval(tmp_path, "query", seed, MIXED[0])
    found = runs.read_runs(tmp_path / "eval")
    best, target = found["few", 4, "best"], found["few", 4, "target"]
    assert runs.interval(best.right, best.units) == (1, 1)
    assert runs.paired(best, target) == (1, 1, 1)
    assert runs.paired(target, best) == (-1, -1, -1)
    text = summary()["RESULTS.md"].decode()
    assert table_rows(text, "4", "paper") == [
        ["4", "paper", "3", "1.000", "1.000 to 1.000"],
        ["4", "paper", "target", "+1.000", "+1.000 to +1.000", "better"],
    ]
    assert ["4", "target 0.000", "paper 1.000", "+1.000", "+1.000 to +1.000", "yes"] in table_rows(text)
    assert runs.verdict(*runs.paired(target, best)[1:]) == "worse"
    mean, low, high = runs.paired(found["few", 4, "query"], target)
    assert low < mean == 5 / 8 < high


def as_scored(scores, label):
    """A record as omni eval writes it: the best five of the scores, best first, six decimals."""
    ranked = sorted(enumerate(scores), key=lambda pair: -pair[1])[:5]
    return {"label": label, "top_scores": [[number, round(score, 6)] for number, score in ranked]}


def test_log_loss_equals_cross_entropy_at_every_temperature():
    """Six classes: the remainder of the best five scores is the sixth."""
    rng = np.random.default_rng(2)
    logits = torch.from_numpy(rng.normal(size=(20, 6)))
    labels = torch.from_numpy(rng.integers(0, 6, 20))
    records = [
        as_scored(row, label) for row, label in zip(logits.softmax(dim=1).tolist(), labels.tolist(), strict=True)
    ]
    assert any(record["label"] not in dict(record["top_scores"]) for record in records)
    losses = runs.log_losses(records)
    assert runs.TEMPERATURES[0] == 1
    for temperature, mine in zip(runs.TEMPERATURES, losses, strict=True):
        expected = torch.nn.functional.cross_entropy(logits / temperature, labels, reduction="none")
        assert np.allclose(mine, expected, rtol=0.02, atol=0.01 / temperature)


def write_confident(folder, setting, seed, confidence):
    """Two classes, eight clips of a group each, seven recognised, all with the same confidence."""
    path = folder / "eval" / "few" / setting / f"k4-s{seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    right = clips_of([True] * 7 + [False])
    records = [
        {"id": name, "pseudo_label": int(not is_right)}
        | as_scored([confidence, 1 - confidence] if is_right else [1 - confidence, confidence], 0)
        for name, is_right in right.items()
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_higher_confidence_alone_gains_log_loss_but_no_calibrated_log_loss(tmp_path, summary):
    for seed in range(3):
        write_confident(tmp_path, "target", seed, 0.6)
        write_confident(tmp_path, "best", seed, 0.8)
    found = runs.read_runs(tmp_path / "eval")
    best, target = found["few", 4, "best"], found["few", 4, "target"]
    assert runs.paired(best, target) == (0, 0, 0)
    mean, low, high = runs.paired(best, target, measure="log loss")
    assert np.isclose(mean, -(7 * np.log(0.8 / 0.6) + np.log(0.2 / 0.4)) / 8)
    assert low < mean < high
    by_log_loss = [f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}", runs.verdict(low, high, "log loss")]
    mean, low, high = runs.paired(best, target, measure="log loss at its temperature")
    assert np.isclose(mean, 0, atol=1e-3)
    assert low < 0 < high
    assert runs.verdict(-2, -1, "log loss") == runs.verdict(1, 2) == "better"
    assert runs.verdict(1, 2, "log loss") == runs.verdict(-2, -1) == "worse"
    made = summary()
    assert table_rows(made["RESULTS.md"].decode(), "4", "target 0.875", "best 0.875")[0][3:] == [
        "+0.000", "+0.000 to +0.000", "unresolved¹",
    ]  # fmt: skip
    plain, calibrated = table_rows(made["LOG_LOSS.md"].decode(), "4", "best", "target")
    assert plain[3:] == by_log_loss and (calibrated[3], calibrated[5]) == (f"{mean:+.3f}", "unresolved")


def test_clips_of_fewer_groups_are_less_evidence():
    """Sixteen clips of one class, half of them recognised: each for itself, two and two, eight and eight."""
    right = np.array([[1.0] * 8 + [0.0] * 8])

    def width(clips_a_group):
        low, high = runs.interval(right, tuple(("a", str(clip // clips_a_group)) for clip in range(16)))
        assert low <= 0.5 <= high
        return high - low

    assert width(1) < width(2) < width(8) == 1


def test_an_interval_is_the_bootstrap_written_out():
    """Draws and groups are drawn anew one at a time, one fewer than there are."""
    rng = np.random.default_rng(1)
    right = rng.random((4, 12))
    units = tuple(("ab"[clip % 2], str(clip // 4)) for clip in range(12))  # six groups of two clips
    groups = sorted(set(units))
    means = []
    for _ in range(4000):
        draws = rng.integers(0, 4, 3)
        clips = [clip for group in rng.integers(0, 6, 5) for clip in range(12) if units[clip] == groups[group]]
        means.append(right[np.ix_(draws, clips)].mean())
    assert np.allclose(runs.interval(right, units), np.quantile(means, [0.025, 0.975]), atol=0.015)


def test_a_difference_that_no_student_could_show_is_marked(tmp_path, summary):
    """Errors in one group of eight are left out by many a resample; those in six by none of them."""
    for seed in range(3):
        write_eval(tmp_path, "best", seed, clips_of([True] * 7 + [seed > 0]))
        write_eval(tmp_path, "target", seed, clips_of([True] * 7 + [False]))
        write_eval(tmp_path, "unfiltered", seed, clips_of([False] * 6 + [True, seed > 0]))
    found = runs.read_runs(tmp_path / "eval")
    best = found["few", 4, "best"]
    assert not runs.can_be_beaten(best, found["few", 4, "target"])
    assert runs.can_be_beaten(best, found["few", 4, "unfiltered"])
    text = summary()["RESULTS.md"].decode()
    [few] = table_rows(text, "4", "target 0.875", "best 0.958")
    [filtered] = table_rows(text, "4", "unfiltered 0.208", "best 0.958")
    assert (few[3], few[5], filtered[3], filtered[5]) == ("+0.083", "unresolved¹", "+0.750", "yes")
    assert text.count("¹ Even a student without errors") == 1


def test_a_difference_uses_shared_draws(tmp_path, summary):
    for seed, right in {0: ALL_WRONG, 1: ALL_RIGHT, 2: ALL_RIGHT}.items():
        write_eval(tmp_path, "target", seed, right)
    for seed, right in {1: ALL_RIGHT, 2: ALL_WRONG, 3: ALL_WRONG}.items():
        write_eval(tmp_path, "best", seed, right)
    write_eval(tmp_path, "paper", 9, ALL_RIGHT)  # no draw in common
    found = runs.read_runs(tmp_path / "eval")
    assert runs.paired(found["few", 4, "best"], found["few", 4, "target"])[0] == -0.5
    text = summary()["RESULTS.md"].decode()
    assert table_rows(text, "4", "target", "3", "0.667")
    assert table_rows(text, "4", "best", "target", "-0.500")
    assert len(table_rows(text, "4", "paper")) == 1  # its accuracy; no difference


def test_runs_on_other_test_clips_are_refused(tmp_path):
    write_eval(tmp_path, "target", 0, ALL_RIGHT)
    write_eval(tmp_path, "best", 0, clips_of([True] * 7))
    with pytest.raises(SystemExit, match="expected the same test clips"):
        runs.read_runs(tmp_path / "eval")


def test_the_summary_is_the_same_each_time_and_lists_every_run(tmp_path, summary):
    for seed, right in enumerate(MIXED):
        for setting in ("target", "best", "a setting of one's own & more"):
            write_eval(tmp_path, setting, seed, right)
    (tmp_path / "nothing-kept.txt").write_text("a learns without b\na learns without b\n")
    made = summary()
    assert made == summary(out="once-more")
    lines = [json.loads(line) for line in made["results.jsonl"].splitlines()]
    assert [(line["setting"], line["seed"], line["top1_acc"]) for line in lines if line["setting"] == "best"] == [
        ("best", 0, 0.625), ("best", 1, 0.5),
    ]  # fmt: skip
    assert len(lines) == 6
    assert made["RESULTS.md"].decode().count("- a learns without b") == 1
    assert no_long_cells(made)
    assert "own & more | 2 |" in made["RESULTS.md"].decode()
    assert "own & more" in "".join(ElementTree.fromstring(made["few.svg"]).itertext())


def test_the_views_of_the_test_clips_stand_beside_the_accuracies(tmp_path, summary):
    for setting in ("target", "best"):
        write_eval(tmp_path, setting, 0, ALL_RIGHT)
    assert "Views" not in summary()["RESULTS.md"].decode()
    for path in (tmp_path / "eval").rglob("*.jsonl"):
        with path.open("a") as file:
            file.write(json.dumps({"top1_acc": 1.0, "view": "features at 1 fps"}) + "\n")
    made = summary(out="again")
    assert "Views of the test clips: features at 1 fps.\n" in made["RESULTS.md"].decode()
    assert json.loads(made["results.jsonl"].splitlines()[0])["view"] == "features at 1 fps"


def test_the_table_of_kept_images_counts_what_the_true_labels_say(tmp_path):
    """Two classes; the teacher takes every image for class a, half of the images are noise."""
    shows = {f"{number}.jpg": ("a", "b", "noise", "noise")[number % 4] for number in range(40)}
    scored = [
        {"id": path, "query": true if true != "noise" else "ab"[number // 4 % 2], "pseudo_class": "a",
         "confidence": number / 40}
        for number, (path, true) in enumerate(shows.items())
    ]  # fmt: skip
    few, paper = (tmp_path / "runs" / study / "k1-s0" for study in ("few", "paper"))
    lists = {few / "first" / "image.scored.jsonl": scored, few / "paper" / "image.jsonl": scored[-12:]}
    lists |= {paper / rule / "image.jsonl": [] for rule in kept.RULES if rule != "paper"}
    lists[tmp_path / "eval" / "paper" / "query each" / "k1-s0.jsonl"] = []
    for path, records in lists.items():
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = table_rows(kept.kept_tables(tmp_path, shows))
    assert ["1", "paper", "12", "25%", "100%", "2.0"] in rows  # 3 of 12 are right, all of one class
    assert ["1", "agree", "0", "0%", "0%", "2.0"] in rows
    assert ["1", "50%", "50%", "50%"] in rows


# One process for many commands

WARM = r"""
. "$ACTIONS6/warm.sh"
try() { local code=0; omni "$@" || code=$?; echo "$code"; }
try balance --power 0.2 -q records.jsonl -o "$TO/balanced.jsonl"
try balance --no-such records.jsonl
try balance -q broken.jsonl -o "$TO/broken.jsonl"
try balance -q records.jsonl # to stdout: lost
try filter --threshold 0.5 -q 'a name, é and "so on".jsonl' -o "$TO/kept.jsonl" --rejects "$TO/left.jsonl"
try filter --threshold 2 -q records.jsonl -o "$TO/nothing.jsonl"
try balance -q records.jsonl -o "$TO/no/such/folder/x.jsonl"
if [ "${OMNI_WARM:-1}" = 1 ]; then kill -0 "$OMNI_SERVER_PID"; fi # still the first one
"""


def test_a_warm_process_equals_the_plain_command(tmp_path, shell_environment):
    records = [
        {"id": str(number), "path": f"{number}.jpg", "pseudo_label": number % 3, "pseudo_class": "abc"[number % 3],
         "confidence": number / 10, "top_scores": [[number % 3, number / 10]]}
        for number in range(10)
    ]  # fmt: skip
    for name in ("records.jsonl", 'a name, é and "so on".jsonl'):
        (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "broken.jsonl").write_text("no record\n")
    answers = {}
    for warm in ("1", "0"):
        (tmp_path / warm).mkdir()
        environment = {"OMNI_WARM": warm, "TO": warm, "ACTIONS6": str(ACTIONS6), "PYTHON": sys.executable}
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", WARM],
            stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=300, cwd=tmp_path,
            env=shell_environment | environment,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        # what a run that stopped keeps to go on with begins with a dot, and is there only if it took its time
        files = {path.name: path.read_bytes() for path in (tmp_path / warm).glob("[!.]*")}
        answers[warm] = (result.stdout, result.stderr.replace(f"{warm}/", ""), files)
    assert answers["1"] == answers["0"]
    codes, said, files = answers["1"]
    assert codes.split() == ["0", "2", "65", "0", "0", "2", "73"]
    assert "broken.jsonl:1" in said
    assert sorted(files) == ["balanced.jsonl", "kept.jsonl", "left.jsonl"]
    assert files["kept.jsonl"].count(b"\n") == 5


# A complete run on a small part of the real data


def small_part(folder):
    """Four labelled clips a class, two test clips of two groups; ten images, two short videos, a long one a query."""
    for name in ACTIONS["CLASS_NAMES"].split():
        for split, clips in {
            "train": ("g08_c01", "g08_c02", "g09_c01", "g09_c02"),
            "test": ("g04_c01", "g05_c01"),
        }.items():
            for clip in clips:
                link(folder, f"target/{split}/{name}/v_{name}_{clip}.avi")
        for kind, num in {"video": 2, "untrimmed": 1}.items():
            for path in sorted((DATA / "web" / kind / name).iterdir())[:num]:
                link(folder, path.relative_to(DATA))
    link(folder, "web/untrimmed/truth.jsonl")
    link(folder, "web/image")
    lines = (DATA / "web" / "image_hard.jsonl").read_text().splitlines()
    of_query = [
        [line for line in lines if json.loads(line)["query"] == name][:10] for name in ACTIONS["CLASS_NAMES"].split()
    ]
    (folder / "web" / "image_hard.jsonl").write_text("".join(f"{line}\n" for part in of_query for line in part))


def link(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(DATA / name)


@pytest.mark.slow
@pytest.mark.skipif(
    not (DATA.exists() and WEIGHTS.exists()), reason="needs ../shared/data/actions6 and ../shared/weights"
)
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.timeout(1800)
def test_every_study_runs_once_on_a_small_part_of_the_data(tmp_path, shell_environment):
    small_part(tmp_path / "data")
    out = tmp_path / "out"
    arguments = ["all", f"DATA={tmp_path / 'data'}", f"WEIGHTS={WEIGHTS}", f"OUT={out}", *ONE_DRAW, "MOST=4"]
    environment = shell_environment | {"EPOCHS_2D": "2", "EPOCHS_3D": "1"}
    result = make(*arguments, environment=environment, timeout=1800)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    there = {(line["study"], line["setting"]) for line in lines}
    missing = {(study, setting) for study, order in STUDIES.items() for setting in order} - there
    assert missing == {("filtering", "query9")}  # there are four clips a class
    assert {study for study, _ in there} - set(STUDIES) == {"web", *CHOICES}
    assert {line["num_videos"] for line in lines if not line["study"].startswith(("choose", "transfer"))} == {12}
    text = (out / "RESULTS.md").read_text()
    assert all(f"## {title} (OmniSource {source})" in text for title, source, _, _ in studies.STUDIES.values())
    assert all(
        f"## {question.asks} ({question.source})" in text
        for question in studies.QUESTIONS
        if question.source != "Fig. 6"
    )
    assert no_long_cells({path.name: path.read_bytes() for path in out.glob("*.md")})
    assert {path.stem for path in out.glob("*.svg")} == set(STUDIES)
    for path in out.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    for kind, num in {"train": 24, "test": 12, "image": 60, "video": 12, "long": 6}.items():
        assert (out / "data" / f"{kind}.features.jsonl").read_text().count("\n") == num
    evaluated = {path: path.stat().st_mtime_ns for path in (out / "eval").rglob("*.jsonl")}
    again = make(*arguments, environment=environment)
    assert again.returncode == 0, again.stderr
    assert not re.search(r"(^|&& )(bash|omni) ", again.stdout, re.MULTILINE)  # nothing is computed again
    assert {path: path.stat().st_mtime_ns for path in (out / "eval").rglob("*.jsonl")} == evaluated
