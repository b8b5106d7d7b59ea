"""The Makefiles of the papers' experiments: valid commands for each setting, and a run on a tree as released."""

import itertools
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.training.recipes import TEACHER_RECIPES

KINETICS = Path(__file__).resolve().parents[2] / "examples" / "kinetics"
LAYOUTS = {
    "k400": ["train", "val", "raw", "google_images", "instagram_images", "instagram_videos"],
    "car": ["train", "test", "google_images", "youtube_videos"],
    "ucf101": ["google_images", "UCF-101", "ucfTrainTestlist"],
}
SETTINGS = [
    ("minikinetics", "released"),
    ("minikinetics", "ours"),
    ("k400", "ours"),
    ("car", "ours"),
    ("ucf101", "ours"),
]
TINY_2D = (
    "--model tsn-resnet10t --init scratch --num-segments 2 --short-side 36 --crop-size 32 --epochs 1 --batch-size 8"
)
TINY_3D = (
    "--model slowonly-r18w16 --init scratch --num-frames 4 --frame-interval 2 --short-side 72 --crop-size 64 "
    "--epochs 1 --batch-size 8 --lr 0.001"
)
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments, file="Makefile"):
    command = ["make", "--no-print-directory", "-C", str(KINETICS), "-f", file, *arguments]
    return subprocess.run(command, text=True, capture_output=True, timeout=300)


def lines_of(*arguments, file="Makefile"):
    done = make("-n", *arguments, file=file)
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("\\\n", " ").splitlines()


def words_of(line):
    """The words of a command of omni: without the file of stdout, without what starts it on several GPUs."""
    words = shlex.split(line)
    words = words[: words.index(">")] if ">" in words else words
    if words[:1] == ["bash"]:
        _bash, _script, _gpus, out, rejects, *command = words
        words = [*command, "-o", out, "--rejects", rejects]
    if words[:1] == ["torchrun"]:
        words = ["omni", *words[words.index("omnicli") + 1 :]]
    return words


def values_of(words, option):
    return [value for name, value in itertools.pairwise(words) if name == option]


def commands_of(lines):
    return [words for words in map(words_of, lines) if words[:1] == ["omni"]]


def write_lists(data, names):
    """``names`` maps lists below ``data`` to their lines."""
    for name, lines in names.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="module")
def released(world, tmp_path_factory):
    """A tree of the layout released for MiniKinetics-200: four classes, and lists as its authors wrote them."""
    data = tmp_path_factory.mktemp("OmniSource")
    classes = sorted(folder.name for folder in (world / "target" / "train").iterdir())
    lists = {"annotations/k200_actions.txt": classes}

    def place(paths, folder, name):
        """Copy the files of a class under numbered names; their lines, relative to ``folder``."""
        lines = []
        for number, path in enumerate(paths):
            tag = path.parent.name.replace(" ", "_")
            label = classes.index(tag)
            to = Path(name.format(label=label, number=number, tag=tag)).with_suffix(path.suffix)
            (data / folder / to).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, data / folder / to)
            lines.append(f"{to} {label}")
        return lines

    for part in ("train", "val"):
        videos = sorted((world / "target" / part).rglob("*.mp4"))
        lists[f"annotations/kinetics_200/k200_{part}.txt"] = place(videos, f"kinetics_200_{part}", part + "{number:08}")
    images = sorted((world / "web" / "image").rglob("*.jpg"))
    google = place(images[::2], "googleimage_200", "{label:03}/{number:02}/{number:06}")
    insta = place(images[1::2], "insimage_200", "{label:03}/{tag}/{number}_0")
    videos = sorted((world / "web" / "video").rglob("*.mp4"))
    lists["annotations/googleimage_200/tsn_8seg_googleimage_200_wodup.txt"] = google
    lists["annotations/webimage_200/tsn_8seg_webimage_200_wodup.txt"] = [
        *(f"googleimage_200/{line}" for line in google), *(f"insimage_200/{line}" for line in insta)
    ]  # fmt: skip
    lists["annotations/insvideo_200/slowonly_8x8_insvideo_200_wodup.txt"] = place(
        videos, "insvideo_200", "{label:03}/{tag}/{number:011}"
    )
    raw = []
    trained = lists["annotations/kinetics_200/k200_train.txt"]
    for line in trained[::2]:
        name, label = line.removesuffix(".mp4").replace(".mp4", "").split()
        folder = f"pref_{name[-1]}/{name}"
        for number in range(3):
            to = data / "kinetics_raw_200_train" / folder / f"part_{number}.mp4"
            to.parent.mkdir(parents=True, exist_ok=True)
            video = (data / "kinetics_200_train" / line.split()[0]).read_bytes()
            to.write_bytes(video + b"\0\0\0\x08free")  # the same pixels, and no copy of the file
        raw.append({"video_dir": folder, "label": int(label), "num_clips": 3, "positive_clip_inds": [0, 2]})
    write_lists(data, lists)
    (data / "annotations" / "kinetics_raw_200").mkdir()
    (data / "annotations" / "kinetics_raw_200" / "slowonly_8x8_kinetics_raw_200.json").write_text(json.dumps(raw))
    return data


@pytest.fixture(params=SETTINGS, ids="-".join)
def setting(request, released, tmp_path):
    """Arguments of make for a small tree of that setting."""
    name, lists = request.param
    data = released
    if name != "minikinetics":
        data = tmp_path / "data"
        for folder in LAYOUTS[name]:
            (data / folder).mkdir(parents=True)
        write_lists(data, {"classes.txt": ["abseiling", "air drumming"], "train.csv": [],
                           "ucfTrainTestlist/trainlist01.txt": [],
                           "ucfTrainTestlist/testlist01.txt": []})  # fmt: skip
    return [
        f"SETTING={name}", f"LISTS={lists}", f"DATA={data}", f"WEB={data}", f"OUT={tmp_path / 'out'}", "GPUS=1",
    ]  # fmt: skip


def pretend_made(words):
    """Create the outputs of a command, so that later commands find their inputs."""
    for name in values_of(words, "-o") + values_of(words, "--rejects"):
        Path(name).write_text('{"id": "a", "path": "a.mp4"}\n')
    for name in values_of(words, "--shards"):
        Path(name).mkdir(parents=True)
        (Path(name) / "00000.h5").write_bytes(b"")


@pytest.mark.parametrize("pack", ["", "1"])
@pytest.mark.parametrize("goals", [["all"], ["results", "RUNS=google all"]], ids=["all", "table"])
def test_every_line_is_valid_and_reads_only_outputs_of_earlier_lines(setting, goals, pack, tmp_path):
    lines = lines_of(*goals, *setting, f"PACK={pack}")
    out = tmp_path / "out"
    out.mkdir()
    for line in lines:
        words = words_of(line)
        if words[0] != "omni":
            pretend_made(["-o", *shlex.split(line)[-1:]] if ">" in line else [])
            continue
        written = {value for option in ("-o", "--rejects", "--shards") for value in values_of(words, option)}
        read = [word for word in words if word.startswith(f"{out}/") and word not in written]
        assert all(Path(name).exists() for name in read), words
        result = CliRunner().invoke(app, [*words[1:], "--dry-run"])
        assert result.exit_code == 0, f"{shlex.join(words)}\n{result.stderr}"
        pretend_made(words)


def test_recipes_exist_and_2d_and_3d_do_not_mix(setting):
    lines = commands_of(lines_of("all", *setting))
    trained = {Path(values_of(words, "-o")[0]).stem: words for words in lines if "--recipe" in words}
    assert any(name.startswith("student-2d") for name in trained)
    for name, words in trained.items():
        recipe = TEACHER_RECIPES[values_of(words, "--recipe")[0]]
        assert (recipe.model or "").startswith("tsn") == ("2d" in name)


def test_released_runs_are_the_released_configurations(released, tmp_path):
    """mmaction2 configs of tsn_r50_1x1x8_100e_minikinetics and slowonly_r50_8x8x1_256e_minikinetics."""
    lines = commands_of(
        lines_of("results", "RUNS=google images videos long all", f"DATA={released}", f"OUT={tmp_path}", "GPUS=8")
    )
    students = {Path(values_of(words, "-o")[0]).stem: words for words in lines if words[1] == "train"}
    expected = {  # ratio, batch sizes of the auxiliary sources per GPU
        "student-2d.google": ("1:1", ["64"]), "student-2d.images": ("1:1", ["64"]),
        "student-2d.videos": ("1:1", []), "student-2d.long": ("1:1", []),
        "student-2d.all": ("2:1:1:1", ["64", "12", "12"]),
        "student-3d.google": ("1:1", []), "student-3d.images": ("1:1", []), "student-3d.videos": ("1:1", []),
        "student-3d.long": ("1:1", []), "student-3d.all": ("2:1:1:1", []),
    }  # fmt: skip
    found = {
        name: (values_of(words, "--ratio")[0], values_of(words, "--auxiliary-batch-size"))
        for name, words in students.items()
    }
    assert found == expected
    assert {values_of(words, "--joint")[0] for words in students.values()} == {"alternate"}
    powers = {Path(values_of(w, "-o")[0]).name.split(".")[0]: values_of(w, "--power") for w in lines if "balance" in w}
    assert powers == {"google": ["1"], "images": ["0.5"], "videos": ["0.5"], "long": ["1"]}
    assert {values_of(words, "--mode")[0] for words in lines if words[1] == "inflate"} == {"still"}


def test_on_eight_gpus_training_and_filtering_use_all_of_them(released, tmp_path):
    lines = lines_of("all", f"DATA={released}", "LISTS=ours", f"OUT={tmp_path}", "GPUS=8")
    for line in lines:
        command = words_of(line)[1:2]
        if command in (["train"], ["teacher-train"]):
            assert line.startswith("torchrun --standalone --nproc-per-node 8 -m omnicli ")
        elif command in (["filter"], ["dedup"], ["segment"]):
            assert "on_gpus.sh 8 " in line
    tested = [line.split()[0] for line in lines if " eval --checkpoint " in line]
    assert tested == [f"CUDA_VISIBLE_DEVICES={gpu}" for gpu in range(4)]


def run_lines(lines, folder):
    """Run lines as a shell does, commands of omni in this process."""
    for line in lines:
        words = words_of(line)
        if words[:1] != ["omni"]:
            subprocess.run(["bash", "-c", line], check=True, cwd=folder, timeout=300)
            continue
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, f"{shlex.join(words)}\n{done.stderr}"
        if ">" in line:
            Path(shlex.split(line)[-1]).write_text(done.stdout)


def num_lines(path):
    return len(path.read_text().splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("lists", ["released", "ours"])
def test_a_tree_of_the_released_layout_runs_to_its_table(released, tmp_path, lists):
    """Each list is read whole, and each record is in the training that its source belongs to."""
    from omnicli.models.architectures import new_model
    from omnicli.models.checkpoint import write_torch_file

    weights, out = tmp_path / "resnet10t.pth", tmp_path / "out"
    write_torch_file(weights, new_model("tsn-resnet10t", num_classes=2).backbone.state_dict())
    test = "--short-side 36 --crop-size 32"
    lines = lines_of(
        "all", "RUNS=google all", f"DATA={released}", f"LISTS={lists}", f"OUT={out}", "GPUS=1", "THRESHOLD=0.01",
        "SEGMENT=--clip-sec 1",
        f"TRAIN_2D={TINY_2D}", f"TRAIN_3D={TINY_3D}", f"TEST_2D=--num-segments 2 {test}",
        f"TEST_3D=--num-clips 1 {test}", f"DEDUP=--backbone resnet10t --weights {weights} --threshold 1",
        "JOINT_2D_google=--joint alternate --ratio 1:1 --auxiliary-batch-size 8",
        "JOINT_2D_all=--joint alternate --ratio 2:1:1:1",
    )  # fmt: skip
    run_lines(lines, tmp_path)
    annotations = released / "annotations"
    assert num_lines(out / "train.index.jsonl") == num_lines(annotations / "kinetics_200" / "k200_train.txt")
    if lists == "released":
        for source, name in {
            "google": "googleimage_200/tsn_8seg_googleimage_200_wodup.txt",
            "images": "webimage_200/tsn_8seg_webimage_200_wodup.txt",
            "videos": "insvideo_200/slowonly_8x8_insvideo_200_wodup.txt",
        }.items():
            assert num_lines(out / f"{source}.balanced.jsonl") == num_lines(annotations / name)
        raw = json.loads((annotations / "kinetics_raw_200" / "slowonly_8x8_kinetics_raw_200.json").read_text())
        assert num_lines(out / "long.balanced.jsonl") == len(raw)
    models = sorted(path for path in out.glob("*.pth"))
    assert [path.stem for path in models] == [
        "student-2d.all", "student-2d.google", "student-3d.all", "student-3d.google", "teacher-2d", "teacher-3d"
    ]  # fmt: skip
    for model in models:
        summary = json.loads(model.with_suffix(".eval.jsonl").read_text().splitlines()[-1])
        assert summary["num_videos"] == num_lines(annotations / "kinetics_200" / "k200_val.txt")
    sources = {json.loads(line)["source"] for line in (out / "student-3d.all.metrics.jsonl").read_text().splitlines()}
    assert len(sources) == 4


def test_make_runs_only_missing_outputs(setting, tmp_path):
    """Only the table is printed if all files exist; without one file, it and its dependents are made."""
    lines = lines_of("all", *setting)
    (tmp_path / "out").mkdir()
    for words in commands_of(lines):
        pretend_made(words)
    assert commands_of(lines_of("all", *setting)) == []
    (tmp_path / "out" / "teacher-2d.eval.jsonl").unlink()
    again = commands_of(lines_of("all", *setting))
    assert {words[1] for words in again} == {"eval"}
    assert len(again) < len(commands_of(lines))


def test_a_goal_for_each_stage(setting):
    for goal in ("index", "queries", "teacher", "filter", "balance", "student", "eval", "results"):
        assert commands_of(lines_of(goal, *setting)), goal
    if "LISTS=ours" in setting:
        assert commands_of(lines_of("dedup", *setting))


@pytest.mark.parametrize(
    ("given", "says"),
    [("SETTING=k600", "expected car k400 minikinetics ucf101"), ("SETTING=k400 LISTS=released", "has LISTS=ours"),
     ("LISTS=mine", "has LISTS=released ours")],
)  # fmt: skip
def test_what_does_not_exist_is_refused(given, says):
    result = make("-n", "all", *given.split())
    assert result.returncode == 2
    assert says in result.stderr


def test_the_table_shows_measured_and_published_accuracy(tmp_path):
    (tmp_path / "student-2d.all.eval.jsonl").write_text(
        '{"id": "a"}\n{"top1_acc": 0.5, "top5_acc": 0.75, "mean_ap": 0.25}\n'
    )
    command = ["python3", str(KINETICS / "results.py"), "minikinetics", "student-2d.all.eval.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[1].split() == ["student-2d.all", "50.00", "75.00", "25.00", "81.30"]


@pytest.fixture
def on_gpus(shell_environment, released, tmp_path):
    def run(gpus, out, *command):
        script = ["bash", str(KINETICS / "on_gpus.sh"), str(gpus), str(out), str(tmp_path / "r.jsonl"), *command]
        return subprocess.run(script, capture_output=True, text=True, env=shell_environment, cwd=tmp_path, timeout=300)

    return run


def test_parts_on_several_gpus_are_joined(on_gpus, released, tmp_path):
    images = str(released / "googleimage_200")
    assert on_gpus(1, "one.jsonl", "omni", "index", images).returncode == 0
    rejects = (tmp_path / "r.jsonl").read_text()
    assert on_gpus(3, "three.jsonl", "omni", "index", images).returncode == 0
    one, three = ((tmp_path / f"{name}.jsonl").read_text().splitlines() for name in ("one", "three"))
    assert sorted(three) == sorted(one) != []
    assert sorted((tmp_path / "r.jsonl").read_text().splitlines()) == sorted(rejects.splitlines()) != []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.jsonl", "r.jsonl", "three.jsonl"]


def test_a_failed_part_fails_the_run_and_finished_parts_are_kept(on_gpus, tmp_path):
    """The next run does only what is missing."""
    (tmp_path / "part.sh").write_text(
        'echo "$CUDA_VISIBLE_DEVICES" >> log\n[ "$2" = 1/2 ] && [ ! -e go ] && exit 7\necho "$2" > "$4"\ntouch "$6"\n'
    )
    assert on_gpus(2, "out", "bash", "part.sh").returncode == 7
    assert not (tmp_path / "out").exists()
    (tmp_path / "go").touch()
    assert on_gpus(2, "out", "bash", "part.sh").returncode == 0
    assert (tmp_path / "out").read_text() == "0/2\n1/2\n"
    assert sorted((tmp_path / "log").read_text().split()) == ["0", "1", "1"]


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
def test_transfer_is_over_three_official_splits(dataset, tmp_path):
    data = tmp_path / "data"
    lists = {
        "ucf101": {f"ucfTrainTestlist/{part}list0{n}.txt": [] for part in ("train", "test") for n in (1, 2, 3)}
        | {"ucfTrainTestlist/classInd.txt": ["1 Archery"]},
        "hmdb51": {f"testTrainMulti_7030_splits/{c}_test_split{n}.txt": [] for c in ("run", "sit") for n in (1, 2, 3)},
    }  # fmt: skip
    write_lists(data, lists[dataset])
    for model in ("2d", "3d"):
        lines = lines_of(
            f"DATASET={dataset}", f"DATA={data}", f"INIT={tmp_path}/student.pth", f"MODEL={model}",
            f"OUT={tmp_path}/out", "GPUS=1", file="transfer.mk",
        )  # fmt: skip
        commands = commands_of(lines)
        assert [words[1] for words in commands].count("teacher-train") == 3
        assert len(values_of(commands[-1], "--mean-of")) == 3
        for words in commands[:-1]:
            assert (words[1] == "index" and "--classes" in words) or words[1] in ("teacher-train", "eval")


def test_transfer_without_a_model_says_what_to_give():
    result = make("-n", "DATASET=ucf101", file="transfer.mk")
    assert result.returncode == 2
    assert "give INIT=FILE" in result.stderr


def test_ig65m_pre_trains_on_hashtags_and_fine_tunes_twice(tmp_path):
    for folder in ("train", "val", "web"):
        (tmp_path / folder).mkdir()
    write_lists(tmp_path, {"classes.txt": ["abseiling"]})
    given = [f"TARGET={tmp_path}", f"WEB={tmp_path}/web", f"OUT={tmp_path}/out", "GPUS=1"]
    trained = [
        words for words in commands_of(lines_of(*given, file="ig65m.mk")) if "-train" in words[1] or words[1] == "train"
    ]
    assert [Path(values_of(words, "-o")[0]).stem for words in trained] == ["pretrained", "full", "fc-only"]
    (tmp_path / "ig.pth").touch()
    given.append(f"PRETRAINED={tmp_path}/ig.pth")
    names = [words[1] for words in commands_of(lines_of(*given, file="ig65m.mk"))]
    assert "train" not in names and "dedup" not in names


def test_the_readme_has_the_hours_that_the_script_computes():
    table = subprocess.run(["python3", str(KINETICS / "hours.py")], capture_output=True, text=True, check=True).stdout
    assert table in (KINETICS / "README.md").read_text()
    crawl = subprocess.run(
        ["python3", str(KINETICS / "hours.py"), "--crawl"], capture_output=True, text=True, check=True
    )
    assert crawl.stdout in (KINETICS.parents[1] / "docs" / "cluster.md").read_text()
    fewer = subprocess.run(["python3", str(KINETICS / "hours.py"), "--gpus", "1"], capture_output=True, text=True)
    assert "baseline SlowOnly, which is the 3D teacher | 26" in fewer.stdout


def test_commands_of_transfer_and_ig65m_are_valid(teacher, tmp_path):
    """With ``--dry-run``, which reads the files of models only."""
    for folder in ("train", "val", "web"):
        (tmp_path / folder).mkdir()
    write_lists(tmp_path, {"classes.txt": ["abseiling"]})
    out = tmp_path / "out"
    out.mkdir()
    lines = lines_of(f"TARGET={tmp_path}", f"WEB={tmp_path}/web", f"OUT={out}", "GPUS=1", file="ig65m.mk")
    write_lists(tmp_path, {f"ucfTrainTestlist/{part}list0{n}.txt": [] for part in ("train", "test") for n in (1, 2, 3)})
    write_lists(tmp_path, {"ucfTrainTestlist/classInd.txt": ["1 Archery"]})
    given = (f"DATA={tmp_path}", f"INIT={out}/pretrained.pth", f"OUT={out}", "GPUS=1")
    lines += lines_of(*given, file="transfer.mk")
    for line in lines:
        words = words_of(line)
        if words[:1] != ["omni"]:
            if words[:1] != ["tail"]:
                subprocess.run(["bash", "-c", line], check=True)
            continue
        result = CliRunner().invoke(app, [*words[1:], "--dry-run"])
        assert result.exit_code == 0, f"{shlex.join(words)}\n{result.stderr}"
        pretend_made(words)
        for name in values_of(words, "-o"):
            if name.endswith(".pth"):
                shutil.copy(teacher, name)
