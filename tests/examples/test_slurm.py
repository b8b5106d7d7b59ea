"""The Slurm jobs: valid commands, whole parts, and a requeue when the time runs out."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.models.checkpoint import save_checkpoint

SLURM = Path(__file__).resolve().parents[2] / "examples" / "slurm"
ARRAYS = ("dedup", "filter", "segment")
RECORD = 'printf "%s\\n" "$(basename "$0")$(printf " %q" "$@")" >> "$LOG"\n'
FAKES = {
    "omni": RECORD + 'case "$*" in *--missing*) printf %s "${MISSING-}";; *) eval "${OMNI_DOES-}";; esac\n',
    "sbatch": RECORD + 'printf "%s\\n" "$(grep -c ^sbatch "$LOG")"\n',
    "scontrol": (
        '[ "$*" = "show config" ] && { echo "MaxArraySize            = ${MAX_ARRAY-1001}"; exit; }\n'
        '[ "$1" = show ] && { echo node1; echo node2; exit; }\n' + RECORD
    ),
    "squeue": 'printf %s "${QUEUED-}"\n',
    "srun": '"$@" & job=$!\ntrap "kill -USR1 $job" USR1\neval "${SRUN_DOES-}"\nwait $job || wait $job\n',
    "torchrun": RECORD + 'eval "${TORCHRUN_DOES-}"\n',
}
BEING_STOPPED = "trap 'exit 75' TERM; kill -USR1 $PPID; while :; do sleep 0.05; done"


@pytest.fixture
def slurm(tmp_path):
    """``slurm(script, *arguments, **environment)`` runs a script among fake commands; ``.log`` is theirs."""
    fakes, out = tmp_path / "bin", tmp_path / "out"
    for folder in (fakes, out / "crawl", out / "long", out / "unique", out / "kept", out / "segments"):
        folder.mkdir(parents=True)
    for name, text in FAKES.items():
        # read stdin as omni does: else its writer may die of the closed pipe
        (fakes / name).write_text("#!/usr/bin/env bash\nif [ -p /dev/stdin ]; then cat > /dev/null; fi\n" + text)
        (fakes / name).chmod(0o755)
    for name in ("crawl/a.jsonl", "long/a.jsonl", "unique/a.jsonl", "kept/a.jsonl", "segments/a.jsonl", "val.jsonl",
                 "train.jsonl", "teacher.pth", "val.features.jsonl", "val.features/00000.h5"):  # fmt: skip
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text('{"path": "a.jpg"}\n')
    save_checkpoint(out / "teacher.pth", meta={"model": {}}, state_dict={"fc.bias": torch.zeros(1)})
    log = tmp_path / "log"

    def run(script, *arguments, **environment):
        log.write_text("")
        surroundings = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        surroundings |= {"PATH": f"{fakes}:{os.defpath}", "OUT": str(out), "LOG": str(log), "PARTS": "4"}
        result: Any = subprocess.run(
            ["bash", str(script), *arguments],
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=300,
            env=surroundings | environment,
        )
        result.log = [shlex.split(line) for line in log.read_text().splitlines()]
        return result

    runner: Any = run
    runner.out = out
    return runner


def script_of(name):
    return SLURM / f"{name}.sbatch"


def task(index=3):
    return {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(index)}


NODES = {"SLURM_JOB_ID": "9", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[1-2]"}


def check_with_dry_run(arguments, stdin=None):
    result = CliRunner().invoke(app, [*arguments, "--dry-run"], input=stdin)
    assert result.exit_code == 0, f"{arguments}\n{result.stderr}"
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", ARRAYS)
def test_a_task_runs_its_part_with_valid_options(slurm, name):
    result = slurm(script_of(name), **task())
    assert result.returncode == 0, result.stderr
    [words] = result.log
    assert words[:2] == ["omni", name]
    assert check_with_dry_run(words[1:])["part"] == "3/4"
    assert words[words.index("-o") + 1].endswith("/")


@pytest.mark.parametrize("name", ARRAYS)
def test_missing_parts_are_queried_with_the_same_options(slurm, name):
    [run] = slurm(script_of(name), **task()).log
    result = slurm(script_of(name), "--missing", MISSING="--array=1,3")
    assert result.stdout == "--array=1,3"
    [asked] = result.log
    assert asked == [*run[: run.index("--part")], "--missing", "--parts", "4"]
    check_with_dry_run(asked[1:])


@pytest.mark.parametrize("name", ARRAYS)
def test_a_task_that_runs_out_of_time_stops_the_stage_and_requeues_itself(slurm, name):
    result = slurm(script_of(name), OMNI_DOES=BEING_STOPPED, **task())
    assert result.returncode == 75
    assert result.log[1:] == [["scontrol", "requeue", "7_3"]]


@pytest.mark.parametrize("name", ["index", "features"])
def test_a_single_task_that_runs_out_of_time_requeues_itself(slurm, name):
    result = slurm(script_of(name), MEDIA="/crawl", OMNI_DOES=BEING_STOPPED, SLURM_JOB_ID="9")
    assert result.returncode == 75
    assert result.log[1:] == [["scontrol", "requeue", "9"]]


@pytest.mark.parametrize("path", sorted(SLURM.glob("*.sbatch")), ids=lambda path: path.name)
def test_a_job_that_asks_for_a_signal_handles_it(path):
    """Without a trap, USR1 ends bash five minutes before the time limit, and nothing is requeued."""
    text = path.read_text()
    handles = any(word in text for word in ("requeued TERM", "run_part ", "run_training ", "' USR1"))
    assert ("--signal=B:USR1" in text) == handles


@pytest.mark.parametrize("name", ARRAYS)
def test_a_failed_or_finished_stage_is_not_requeued(slurm, name):
    failed = slurm(script_of(name), OMNI_DOES="exit 65", **task())
    assert (failed.returncode, len(failed.log)) == (65, 1)
    finished = slurm(script_of(name), OMNI_DOES=BEING_STOPPED.replace("75", "0"), **task())
    assert (finished.returncode, len(finished.log)) == (0, 1)


def test_balance_without_kept_files_writes_nothing(slurm):
    (slurm.out / "kept/a.jsonl").unlink()
    result = slurm(script_of("balance"))
    assert (result.returncode, result.log) == (1, [])
    assert result.stderr == f"balance: no files of records in {slurm.out}/kept\n"
    (slurm.out / "kept").rmdir()
    result = slurm(script_of("balance"))
    assert (result.returncode != 0, result.log) == (True, [])


def test_balance_reads_every_file_of_the_arrays(slurm):
    result = slurm(script_of("balance"))
    assert result.returncode == 0, result.stderr
    assert [words[words.index("-o") + 1] for words in result.log] == [
        str(slurm.out / "web.jsonl"), str(slurm.out / "long.jsonl"),
    ]  # fmt: skip
    for words in result.log:
        check_with_dry_run(words[1:])


def test_training_meets_at_the_first_node_with_valid_options(slurm):
    from torch.distributed.run import get_args_parser

    if "--signals-to-handle" not in get_args_parser().format_help():
        pytest.skip("this torchrun does not know --signals-to-handle")
    (slurm.out / "student.pth").write_bytes(b"")
    result = slurm(script_of("train"), **NODES)
    assert result.returncode == 0, result.stderr
    [[name, *words]] = result.log
    assert name == "torchrun"
    launch = get_args_parser().parse_args(words)
    assert (launch.nnodes, launch.nproc_per_node, launch.rdzv_endpoint) == ("2", "8", "node1:29500")
    assert (launch.rdzv_backend, launch.rdzv_id, launch.signals_to_handle) == ("c10d", "9", "SIGTERM,SIGUSR1")
    assert (launch.module, launch.training_script) == (True, "omnicli")
    for file in ("web.jsonl", "long.jsonl"):
        (slurm.out / file).write_text("")
    assert check_with_dry_run(launch.training_script_args)["ratio"] == [2, 1, 1]


def test_training_is_requeued_until_its_output_exists(slurm):
    """The launcher exits 1 either way."""
    stopped = {"SRUN_DOES": "kill -USR1 $PPID", "TORCHRUN_DOES": "trap 'exit 1' USR1; while :; do sleep 0.05; done"}
    result = slurm(script_of("train"), **NODES, **stopped)
    assert result.returncode != 0
    assert ["scontrol", "requeue", "9"] in result.log
    (slurm.out / "student.pth").write_bytes(b"")
    result = slurm(script_of("train"), **NODES, **stopped)
    assert result.returncode == 0
    assert ["scontrol", "requeue", "9"] not in result.log


def test_failed_training_is_not_requeued(slurm):
    result = slurm(script_of("train"), **NODES, TORCHRUN_DOES="exit 1")
    assert (result.returncode, [words[0] for words in result.log]) == (1, ["torchrun"])


def submitted(result):
    """Script, array and dependency of each job."""
    assert result.returncode == 0, result.stderr
    jobs = [words for words in result.log if words[0] == "sbatch"]
    option = {"--array": "", "--dependency": ""}
    return [
        (Path(words[-1]).stem, *({**option, **dict(word.split("=", 1) for word in words if "=" in word)}[name]
                                 for name in option))
        for words in jobs
    ]  # fmt: skip


def test_submit_chains_the_stages(slurm):
    assert submitted(slurm(SLURM / "submit.sh", MISSING="--array=1,3")) == [
        ("dedup", "1,3", ""),
        ("filter", "0,1,2,3", "afterok:1"),  # the outputs of dedup are not known yet
        ("segment", "1,3", ""),
        ("balance", "", "afterok:2:3"),
        ("train", "", "afterok:4"),
        ("eval", "", "afterok:5:4"),
    ]


def test_from_media_every_stage_is_a_job(slurm):
    """Nothing exists but media and labelled records; the features of the target are computed once."""
    for name in ("teacher.pth", "val.features.jsonl", "crawl/a.jsonl"):
        (slurm.out / name).unlink()
    (slurm.out / "crawl").rmdir()
    jobs = submitted(slurm(SLURM / "submit.sh", MEDIA="/crawl/tars", PACK="1", PARTS="2"))
    assert [(job, waits) for job, _, waits in jobs] == [
        ("index", ""), ("features", ""), ("teacher", ""), ("dedup", "afterok:1:2"), ("filter", "afterok:4:3"),
        ("segment", "afterok:3"), ("pack", "afterok:5"), ("pack", "afterok:6"), ("balance", "afterok:5:6:7:8"),
        ("train", "afterok:9"), ("eval", "afterok:10:9:3"),
    ]  # fmt: skip


def test_an_index_that_stopped_half_way_is_submitted_again(slurm):
    assert next(job for job, *_ in submitted(slurm(SLURM / "submit.sh", MEDIA="/crawl/tars"))) == "index"
    (slurm.out / "crawl" / "records.done.json").write_text("{}")
    assert "index" not in [job for job, *_ in submitted(slurm(SLURM / "submit.sh", MEDIA="/crawl/tars"))]


def test_resources_and_arguments_reach_every_job(slurm):
    """``GPUS=4`` still asked for eight; a job of a failed stage waited for ever."""
    settings = {"GPUS": "4", "NODES": "3", "CPUS": "6", "TRAIN_CPUS": "32", "SBATCH_OPTIONS": "--account=me --qos=low"}
    result = slurm(SLURM / "submit.sh", MISSING="--array=1", **settings)
    for words in (words for words in result.log if words[0] == "sbatch"):
        assert {"--kill-on-invalid-dep=yes", "--account=me", "--qos=low"} <= set(words)
        stage = Path(words[-1]).stem
        if stage == "train":
            assert {"--gres=gpu:4", "--nodes=3", "--cpus-per-task=32"} <= set(words)
        elif stage != "balance":
            assert {"--gres=gpu:1", "--cpus-per-task=6"} <= set(words)
    on_cpus = slurm(SLURM / "submit.sh", MISSING="--array=1", TASK_GRES="")
    assert not [word for words in on_cpus.log for word in words if word.startswith("--gres")]
    [words] = slurm(script_of("filter"), FILTER_OPTIONS="--rule paper --threshold 0.7", **task()).log
    assert words[words.index("--threshold") + 1] == "0.7"


def test_the_prologue_runs_in_jobs_before_the_stage(slurm):
    result = slurm(script_of("filter"), PROLOGUE="omni prologue", SLURM_JOB_ID="7", **task())
    assert [words[1] for words in result.log] == ["prologue", "filter"]
    assert [words[1] for words in slurm(script_of("filter"), PROLOGUE="omni prologue", **task()).log] == ["filter"]


def test_parts_past_the_longest_array_go_into_several(slurm):
    result = slurm(SLURM / "submit.sh", MISSING="--array=1,3,1000-1002,2500", MAX_ARRAY="1001", PARTS="4000")
    arrays = [array for job, array, _ in submitted(result) if job == "dedup"]
    assert arrays == ["1,3,1000", "0,1", "498"]  # first parts 0, 1001 and 2002
    assert ("filter", "0", "afterok:1:2:3") not in submitted(result)  # all 4,000, in four arrays
    assert len([job for job, *_ in submitted(result) if job == "filter"]) == 4
    [words] = slurm(script_of("dedup"), **task(498), FIRST_PART="2002", PARTS="4000").log
    assert words[words.index("--part") + 1] == "2500/4000"


def test_an_output_folder_is_submitted_once(slurm):
    """Twice submitted, every part ran twice."""
    submitted(slurm(SLURM / "submit.sh", MISSING="--array=1"))
    again = slurm(SLURM / "submit.sh", MISSING="--array=1", QUEUED="1 gpu omni-ded me PD")
    assert (again.returncode, again.log) == (1, [])
    assert "still queued (1,2,3,4,5,6)" in again.stderr
    assert submitted(slurm(SLURM / "submit.sh", MISSING="--array=1"))  # the queue is empty


def test_long_videos_are_optional(slurm):
    (slurm.out / "long" / "a.jsonl").unlink()
    (slurm.out / "long").rmdir()
    jobs = submitted(slurm(SLURM / "submit.sh", MISSING="--array=1,3"))
    assert [(job, waits) for job, _, waits in jobs] == [
        ("dedup", ""), ("filter", "afterok:1"), ("balance", "afterok:2"), ("train", "afterok:3"),
        ("eval", "afterok:4:3"),
    ]  # fmt: skip
    [words] = slurm(script_of("balance")).log
    assert words[words.index("-o") + 1] == str(slurm.out / "web.jsonl")
    (slurm.out / "student.pth").write_bytes(b"")
    [[*words]] = slurm(script_of("train"), **NODES).log
    (slurm.out / "web.jsonl").write_text("")
    asked = check_with_dry_run(words[words.index("train") :])
    assert list(asked["auxiliary"]) == ["web"]


def test_nothing_is_queued_if_a_later_stage_fails_to_list_its_missing_parts(slurm):
    fake = Path(slurm.out).parent / "bin" / "omni"
    fake.write_text(fake.read_text() + '[ "$1" != segment ] || exit 65\n')
    result = slurm(SLURM / "submit.sh", MISSING="--array=1,3")
    assert result.returncode == 65
    assert "sbatch" not in [words[0] for words in result.log]


@pytest.mark.parametrize("name", ["index", "features", "balance", "eval"])
def test_single_tasks_have_valid_options(slurm, name):
    for file in ("student.pth", "scores/teacher/00000.h5"):
        (slurm.out / file).parent.mkdir(parents=True, exist_ok=True)
        (slurm.out / file).write_bytes((slurm.out / "teacher.pth").read_bytes() if file.endswith("pth") else b"")
    result = slurm(script_of(name), MEDIA=str(slurm.out / "crawl"), INFLATE_OPTIONS="--mode perspective-agnostic")
    assert result.returncode == 0, result.stderr
    for words in result.log:
        if "--motion" not in words:  # which the fake --fit did not write
            check_with_dry_run(words[1:])


def test_a_teacher_is_trained_like_a_student_and_files_are_packed(slurm):
    (slurm.out / "teacher.pth").unlink()
    [[_, *words]] = slurm(script_of("teacher"), **NODES).log
    shown = check_with_dry_run(words[words.index("omnicli") + 1 :])
    assert (shown["recipe"], shown["output"]) == ("slowonly-r50-4x16", str(slurm.out / "teacher.pth"))
    [words] = slurm(script_of("pack"), NAME="kept", **task()).log
    assert check_with_dry_run(words[1:])["part"] == "3/4"


def test_dedup_uses_the_given_model(slurm):
    weights = slurm.out / "teacher.pth"
    [words] = slurm(script_of("dedup"), DEDUP_MODEL=f"--weights {weights}", **task()).log
    assert words[2:4] == ["--weights", str(weights)]
    check_with_dry_run(words[1:])


def test_a_second_submit_runs_only_missing_parts(slurm):
    assert submitted(slurm(SLURM / "submit.sh", MISSING="")) == [
        ("balance", "", ""), ("train", "", "afterok:1"), ("eval", "", "afterok:2:1"),
    ]  # fmt: skip
    (slurm.out / "student.pth").write_bytes(b"")
    assert "train" not in [job for job, _, _ in submitted(slurm(SLURM / "submit.sh", MISSING=""))]


def test_submit_stops_if_a_stage_fails_to_list_its_missing_parts(slurm):
    """For example because the options differ from those of the existing files."""
    (Path(slurm.out).parent / "bin" / "omni").write_text("#!/usr/bin/env bash\nexit 1\n")
    result = slurm(SLURM / "submit.sh")
    assert (result.returncode, result.log) == (1, [])


@pytest.mark.parametrize("path", sorted(SLURM.iterdir()), ids=lambda path: path.name)
def test_scripts_parse_and_read_no_unset_variable(path):
    result = subprocess.run(["bash", "-n", str(path)], text=True, capture_output=True)
    assert (result.returncode, result.stderr) == (0, "")
    if path.suffix == ".sbatch":
        assert "set -euo pipefail" in path.read_text()  # so that the runs above would have met it
        assert path.read_text().index("#SBATCH") < path.read_text().index("set -euo")  # later ones are not read


def test_ray_in_one_allocation_is_one_driver(slurm, tmp_path):
    """The head node starts, the others join it, and the driver gets its address."""
    ray = tmp_path / "bin" / "ray"
    ray.write_text("#!/usr/bin/env bash\n" + RECORD)
    ray.chmod(0o755)
    (tmp_path / "bin" / "srun").write_text(
        '#!/usr/bin/env bash\nwhile [[ $1 == --* ]]; do [ "$1" = --overlap ] && shift || shift 2; done\n"$@"; sleep 1\n'
    )
    works = """until [ "$(grep -c "^ray start" "$LOG")" = 2 ]; do sleep 0.05; done"""
    done = slurm(
        SLURM / "ray.sbatch", SLURM_JOB_NODELIST="node[1-2]", SLURM_NNODES="2", SLURM_JOB_ID="7", OMNI_DOES=works
    )
    assert done.returncode == 0, done.stderr
    started = [line[2:4] for line in done.log if line[:2] == ["ray", "start"]]
    assert sorted(started) == [["--address", "node1:6379"], ["--head", "--port"]]
    (driver,) = [line for line in done.log if line[0] == "omni"]
    assert driver[-4:] == ["--engine", "ray", "--ray-address", "node1:6379"]
    [words] = slurm(script_of("filter"), **task()).log
    assert driver[:-4] == words[: words.index("--part")]  # so that each goes on with what the other wrote
