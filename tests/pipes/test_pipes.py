"""The contracts of the streams, in real shells with real pipes.

Commands without a model carry most of them: they run the same runner and start in a tenth of a second.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time

import pytest


def ids(text):
    return [json.loads(line)["id"] for line in text.splitlines()]


def lines_file(path, count, **fields):
    with path.open("w") as file:
        for i in range(count):
            record = {"id": f"web/{i:07d}.jpg", "path": f"web/{i:07d}.jpg", "note": "ünbekannt", **fields}
            file.write(json.dumps(record | {"confidence": (i * 37 % 100) / 100, "pseudo_label": 0}) + "\n")
    return path


def test_stdout_holds_json_lines_only_and_stderr_the_closing_line(sh, world):
    run = sh("omni index web/image", cwd=world)
    assert [json.loads(line) for line in run.stdout.splitlines()]
    closing, *kinds = run.stderr.splitlines()
    assert closing.startswith("index: ") and " in = " in closing
    assert kinds and all(line.startswith("index: ") and " unreadable: " in line for line in kinds)


def test_a_closed_reader_ends_the_command_quietly_with_141(sh, tmp_path):
    lines_file(tmp_path / "many.jsonl", 20_000)
    run = sh("set +e; omni filter many.jsonl | head -1 > first; echo ${PIPESTATUS[0]}", cwd=tmp_path)
    assert run.stdout.strip() == "141"
    assert run.stderr == ""
    assert len(ids((tmp_path / "first").read_text())) == 1


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("omni filter <&-", 2, "omni filter: no INPUT: give files, folders or -, or pipe records into stdin"),
        ("omni filter - <&-", 2, "omni filter: stdin (-) is closed; name files or folders"),
        ("omni filter a.jsonl >&-", 73, "omni filter: stdout: cannot write: it is closed; name a file with -o"),
        ("omni filter a.jsonl >/dev/full", 73, "omni filter: stdout: cannot write: No space left on device"),
        ("omni filter --dry-run >/dev/full", 73, "omni: stdout: cannot write: No space left on device"),
        ("omni filter --help >/dev/full", 73, "omni filter: stdout: cannot write: No space left on device"),
        ("omni --version >/dev/full", 73, "omni: stdout: cannot write: No space left on device"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_one_line_and_its_code(sh, tmp_path, command, code, said):
    lines_file(tmp_path / "a.jsonl", 5)
    run = sh(command, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (code, "", said + "\n")


@pytest.mark.parametrize("nowhere", ["&-", "/dev/full"])
def test_a_stderr_that_takes_nothing_changes_nothing_else(sh, tmp_path, nowhere):
    lines_file(tmp_path / "a.jsonl", 5)
    run = sh(f"omni filter --threshold 0 a.jsonl 2>{nowhere}", cwd=tmp_path)
    assert (run.returncode, len(ids(run.stdout))) == (0, 5)
    run = sh(f"omni filter missing.jsonl 2>{nowhere}", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (65, "")


@pytest.mark.parametrize("quiet", ["", "-q"])
@pytest.mark.parametrize("to", ["2> err", "2>&1 > /dev/null | cat > err"])
def test_rejects_may_go_to_stderr(sh, tmp_path, quiet, to):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "page.jpg").write_text("<html>")
    sh(f"omni index web --max-bad 100% {quiet} --rejects /dev/stderr {to}", cwd=tmp_path)
    first, *others = (tmp_path / "err").read_text().splitlines()
    assert json.loads(first)["id"] == "web/page.jpg"
    assert len(others) == (0 if quiet else 2)


def test_what_is_written_never_lands_in_the_place_of_a_closed_stream(sh, tmp_path):
    lines_file(tmp_path / "a.jsonl", 5)
    run = sh("omni filter --threshold 0 a.jsonl -o b.jsonl >&- 2>&- <&-", cwd=tmp_path)
    assert run.returncode == 0
    assert len(ids((tmp_path / "b.jsonl").read_text())) == 5


def test_names_are_utf8_in_a_locale_that_is_not(sh, world, tmp_path):
    image = next((world / "web" / "image").rglob("*.png"))
    (tmp_path / "фото é.png").write_bytes(image.read_bytes())
    locale = "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"  # as ISO-8859-1, which machines rarely have to test with
    run = sh(f"{locale} omni index --probe 'фото é.png'", cwd=tmp_path)
    assert ids(run.stdout) == ["фото é.png"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("-o ''", 2, "-o: an empty name"),
        ("--rejects ''", 2, "--rejects: an empty name"),
        ("-o -", 2, "-o -: omit -o to write to stdout"),
        ("-o b.jsonl --summary no/s.json", 73, "no/s.json: cannot write: no folder 'no'; create it first"),
        ("-o b.jsonl --rejects no/r.jsonl", 73, "no/r.jsonl: cannot write: no folder 'no'; create it first"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_the_work(sh, tmp_path, options, code, said):
    lines_file(tmp_path / "a.jsonl", 5)
    run = sh(f"omni filter a.jsonl {options}", cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (code, "", f"omni filter: {said}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("output", ["", "-o b.jsonl; cat b.jsonl"])
@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--auxiliary-label query --query-map <(printf 'x\\tgolf\\r\\ny\\tpolo\\n')", ["golf", "polo"]),
        ("--auxiliary-label query --classes <(printf 'x\\ny\\nz\\n')", ["x", "y", "z"]),
    ],
)
def test_a_list_that_an_option_names_may_be_a_process_substitution(sh, tmp_path, options, names, output):
    for query in "xy":
        lines_file(tmp_path / f"{query}.jsonl", 5, query=query)
    run = sh(f"omni balance x.jsonl y.jsonl {options} {output}", cwd=tmp_path)
    assert (run.returncode, len(ids(run.stdout))) == (0, 10), run.stderr
    assert [line.split(": ")[1] for line in run.stderr.splitlines() if "%" in line] == names[:2]
    assert ("1 of 3 classes have fewer than 5 records, 1 none: z 0" in run.stderr) == ("z" in names)


def test_a_run_that_was_killed_goes_on_with_the_verdicts_of_a_process_substitution_only_if_they_are_the_same(
    sh, tmp_path
):
    lines_file(tmp_path / "a.jsonl", 5)
    names = "--summary one.json --threshold 0.5 a.jsonl"
    said = [
        sh(f"omni filter {names} --verdicts <(echo '{json.dumps(verdict)}'); cat one.json", cwd=tmp_path).stdout
        for verdict in ({"id": "a", "verdict": "accept"}, {"id": "b", "verdict": "accept"})
    ]
    digests = [json.loads(text[text.index("\n{\n") :])["options"]["verdicts"] for text in said]
    assert digests[0] != digests[1]


@pytest.mark.parametrize("stdin", ["< v.jsonl", "< <(cat v.jsonl)"])
def test_verdicts_may_come_from_stdin_unless_the_records_do(sh, tmp_path, stdin):
    lines_file(tmp_path / "a.jsonl", 5)
    (tmp_path / "v.jsonl").write_text(json.dumps({"id": "s", "verdict": "accept"}) + "\n")
    named = sh(f"omni filter --threshold 0.5 --verdicts - a.jsonl {stdin}", cwd=tmp_path)
    assert (named.returncode, "1 of 1 verdicts name no readable record" in named.stderr) == (0, True), named.stderr
    clash = sh(f"omni filter --threshold 0.5 --verdicts - {stdin}", cwd=tmp_path)
    assert (clash.returncode, clash.stdout) == (2, "")
    assert "stdin (-) can be read only once" in clash.stderr


@pytest.mark.parametrize("output", ["> m.jsonl", ">> m.jsonl", "-o m.jsonl", "-o m.jsonl --rejects r.jsonl"])
def test_an_output_below_the_input_is_not_read(sh, tmp_path, output):
    """Before, ``omni index . > m.jsonl`` read what it wrote until the disk was full."""
    lines_file(tmp_path / "a.jsonl", 5_000)  # more than stdout buffers
    lines_file(tmp_path / "z.jsonl", 5)
    for run in range(2):
        found = sh(f"ulimit -f 40960; omni index . {output}", cwd=tmp_path)
        assert (found.returncode, found.stderr.partition(" kept")[0]) == (0, "index: 5,005 in = 5,005")
        assert len(ids((tmp_path / "m.jsonl").read_text())) == 5_005 * (1 + run * (output == ">> m.jsonl"))


@pytest.mark.parametrize("command", ["a.jsonl > a.jsonl", "a.jsonl >> a.jsonl", "- < a.jsonl >> a.jsonl"])
def test_an_input_that_is_stdout_is_refused(sh, tmp_path, command):
    lines_file(tmp_path / "a.jsonl", 5)
    run = sh(f"ulimit -f 40960; omni filter --threshold 0 {command}", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.endswith(" is read and, as stdout, written at once; write to another file\n")


def test_rejects_and_a_summary_join_a_stdout_that_is_a_file(sh, tmp_path):
    lines_file(tmp_path / "a.jsonl", 50)
    options = "--threshold 0.5 --rejects /dev/stdout --summary /dev/fd/3"
    run = sh(f"echo earlier > log; omni filter a.jsonl {options} > all 3>> log", cwd=tmp_path)
    assert (run.returncode, len(ids((tmp_path / "all").read_text()))) == (0, 50)
    assert (tmp_path / "log").read_text().startswith("earlier\n{\n")


def test_an_empty_stream_is_legal(sh):
    run = sh("omni filter -", stdin="")
    assert (run.returncode, run.stdout) == (0, "")
    assert run.stderr.startswith("filter: 0 in = 0 kept + 0 rejected + 0 unreadable")


def test_no_input_on_a_terminal_is_a_usage_error_not_a_hang(shell_environment):
    pid, terminal = os.forkpty()
    if pid == 0:  # pragma: no cover (the child)
        os.execvpe("bash", ["bash", "-c", "omni filter; echo status $?"], shell_environment | {"TERM": "dumb"})
    output = b""
    try:
        while chunk := os.read(terminal, 4096):
            output += chunk
    except OSError:  # the terminal closes with the child
        pass
    os.waitpid(pid, 0)
    assert b"status 2" in output


def test_a_record_streamed_in_is_answered_before_stdin_closes(shell_environment):
    process = subprocess.Popen(
        ["omni", "filter", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=shell_environment
    )
    try:
        for i in range(3):
            process.stdin.write(json.dumps({"id": str(i), "confidence": 0.9, "pseudo_label": 0}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == str(i)
        process.stdin.close()
        assert process.wait(timeout=300) == 0
    finally:
        process.kill()
        process.stdout.close()


def test_a_hundred_thousand_lines_pass_in_flat_memory(sh, tmp_path):
    lines_file(tmp_path / "many.jsonl", 100_000)
    lines_file(tmp_path / "few.jsonl", 1_000)
    peaks = {}
    for name in ("few", "many"):
        command = f"omni filter -q {name}.jsonl --rejects {name}.rejects -o {name}.out"
        script = (
            f"import resource, subprocess; subprocess.run('{command}'.split(), check=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        peaks[name] = int(sh(f'python -c "{script}"', cwd=tmp_path).stdout)
    kept, rejected = (ids((tmp_path / f"many.{name}").read_text()) for name in ("out", "rejects"))
    assert len(kept) + len(rejected) == 100_000
    assert peaks["many"] < peaks["few"] * 1.15


def test_the_whole_stream_decided_at_once_stays_flat_too(sh, tmp_path):
    lines_file(tmp_path / "many.jsonl", 100_000, padding="x" * 300)
    run = sh("omni filter --keep-fraction 0.25 many.jsonl | wc -l", cwd=tmp_path)
    assert int(run.stdout) == 25_000


def test_unknown_keys_pass_untouched(sh):
    line = (
        '{"id":"a","confidence":0.9,"pseudo_label":1,"nested":{"α":[1,null,"☃"]},"big":123456789012345678901234567890}'
    )
    assert json.loads(sh("omni filter -", stdin=line).stdout) == json.loads(line)


def test_a_broken_line_stops_with_file_and_line(sh, tmp_path):
    lines_file(tmp_path / "web.jsonl", 30)
    with (tmp_path / "web.jsonl").open("a") as file:
        file.write('{"id": "half a li')
    run = sh("set +e; omni filter web.jsonl -o out.jsonl; echo $?", cwd=tmp_path)
    assert run.stdout.strip() == "65"
    assert run.stderr.startswith("omni filter: web.jsonl:31: not JSON")
    assert not (tmp_path / "out.jsonl").exists()


def test_seven_shards_together_are_the_whole(sh, tmp_path):
    lines_file(tmp_path / "web.jsonl", 500)
    script = "for i in 0 1 2 3 4 5 6; do omni filter web.jsonl --part $i/7 -q; done | sort > union"
    sh(f"{script}; omni filter -q web.jsonl | sort > whole", cwd=tmp_path)
    assert (tmp_path / "union").read_bytes() == (tmp_path / "whole").read_bytes()
    assert (tmp_path / "whole").stat().st_size > 0


def test_rejects_are_a_valid_input(sh, tmp_path):
    lines_file(tmp_path / "web.jsonl", 100)
    sh("omni filter web.jsonl --rejects rejects.jsonl -q > kept.jsonl", cwd=tmp_path)
    run = sh("omni filter --threshold 0 rejects.jsonl -q", cwd=tmp_path)
    assert len(run.stdout.splitlines()) == 50
    assert not any("reason" in json.loads(line) for line in run.stdout.splitlines())


@pytest.mark.parametrize("command", ["index", "index --probe", "filter --threshold 0", "balance"])
def test_names_that_no_json_holds_are_rejected_again_for_the_same_reason(sh, tmp_path, command):
    folder = tmp_path / "crawl"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"b\xff.jpg")).write_bytes(b"\xff\xd8\xff\xe0")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    sh("omni index crawl --rejects bad.jsonl -q", cwd=tmp_path)
    bad = (tmp_path / "bad.jsonl").read_bytes()
    assert json.loads(bad) == {"id": r"crawl/b\xff.jpg", "reason": "unreadable: name is not UTF-8"}
    good = '{"id":"a","path":"a.jpg","media":"video","pseudo_label":0,"pseudo_class":"x","confidence":1.0}'
    given = f"printf '%s\\n' '{good}' | cat - bad.jsonl"
    run = sh(f"{given} | omni {command} - --rejects again.jsonl", cwd=tmp_path)
    assert (tmp_path / "again.jsonl").read_bytes().endswith(bad)
    assert "unreadable" in run.stderr


def test_compressed_files_go_in_and_out(sh, tmp_path):
    lines_file(tmp_path / "web.jsonl", 100)
    sh(
        "gzip -k web.jsonl; omni filter web.jsonl.gz -o kept.jsonl.zst -q; omni filter kept.jsonl.zst -q > again.jsonl",
        cwd=tmp_path,
    )
    direct = sh("omni filter web.jsonl -q", cwd=tmp_path).stdout
    assert (tmp_path / "again.jsonl").read_text() == direct


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("replay", ["file", "pipe"])
def test_killed_at_random_output_sizes_and_resumed_gives_the_same_bytes(
    sh, shell_environment, tmp_path, replay, suffix
):
    """SIGKILL while it writes, from files and from a replayed pipe, with --rejects and --summary."""
    lines_file(tmp_path / "web.jsonl", 60_000)
    sh(f"omni filter web.jsonl -q -o whole.jsonl{suffix} --rejects whole.rejects --summary whole.json", cwd=tmp_path)
    source = "web.jsonl" if replay == "file" else "-"
    command = f"cat web.jsonl | omni filter {source} -q -o out.jsonl{suffix} --rejects rejects --summary summary.json"
    part = tmp_path / f".out.jsonl{suffix}.part"
    num_killed = 0
    for size in (1, 300_000, 1_500_000, 2_900_000):
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}" if replay == "file" else command],
            cwd=tmp_path, env=shell_environment, start_new_session=True,
        )  # fmt: skip
        while process.poll() is None and not (part.exists() and part.stat().st_size >= size):
            time.sleep(0.001)
        if process.poll() is None:
            num_killed += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        with contextlib.suppress(FileNotFoundError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # behind bash, the killed process may end a little later
    assert num_killed > 0
    sh(command, cwd=tmp_path)
    assert (tmp_path / f"out.jsonl{suffix}").read_bytes() == (tmp_path / f"whole.jsonl{suffix}").read_bytes()
    assert (tmp_path / "rejects").read_bytes() == (tmp_path / "whole.rejects").read_bytes()
    summaries = [json.loads((tmp_path / name).read_text()) for name in ("summary.json", "whole.json")]
    for key in ("in", "kept", "out", "rejected", "unreadable", "counts"):
        assert summaries[0][key] == summaries[1][key]
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert left == []


def test_sigterm_saves_and_says_so(shell_environment, tmp_path):
    lines_file(tmp_path / "web.jsonl", 10)
    for out, status in ((["-o", "out.jsonl"], 75), ([], 143)):
        process = subprocess.Popen(
            ["omni", "filter", *out], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=tmp_path, env=shell_environment,
        )  # fmt: skip
        process.stdin.write((tmp_path / "web.jsonl").read_bytes())
        process.stdin.flush()
        if not out:
            process.stdout.readline()
        else:
            while not (tmp_path / ".out.jsonl.part").exists():
                time.sleep(0.01)
            time.sleep(0.3)
        process.terminate()
        _, error = process.communicate(timeout=300)
        assert process.returncode == status
        assert b"stopped by SIGTERM" in error
        assert b"Traceback" not in error


def test_ctrl_c_is_130_without_a_traceback(shell_environment, tmp_path):
    process = subprocess.Popen(
        ["omni", "filter"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=shell_environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job starts with it ignored
    )  # fmt: skip
    process.stdin.write(b'{"id":"a","confidence":0.9,"pseudo_label":0}\n')
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert b"Traceback" not in error


def test_a_folder_of_outputs_does_only_what_is_missing(sh, tmp_path):
    for name in "abc":
        lines_file(tmp_path / f"{name}.jsonl", 20)
    script = "omni filter {a,b,c}.jsonl -o out/ --rejects gone/"
    sh(script, cwd=tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.jsonl")}
    (tmp_path / "out" / "b.jsonl.done.json").unlink()
    run = sh(script, cwd=tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.jsonl")}
    assert {name for name in before if before[name] != after[name]} == {"b.jsonl"}
    assert "2 of 3 files were done before" in run.stderr
    assert sorted(path.name for path in (tmp_path / "gone").iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl"]
    missing = sh(f"{script} --missing --parts 4", cwd=tmp_path)
    assert missing.stdout == ""
    refused = sh(f"set +e; {script} --threshold 0.9; echo $?", cwd=tmp_path)
    assert refused.stdout.strip() == "1"
    assert "threshold 0.5 then, 0.9 now" in refused.stderr


def test_more_bad_media_than_allowed_is_exit_3_with_complete_output(sh, world, tmp_path):
    script = f"set +e; omni index {world}/web/image --max-bad %s -o out.jsonl -q; echo $?"
    assert sh(script % "100%", cwd=tmp_path).stdout.strip() == "0"
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()
    run = sh(script % "0", cwd=tmp_path)
    assert run.stdout.strip() == "3"
    assert "unreadable or failed, more than --max-bad 0" in run.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--threshold 0.3 --top 2", "--threshold and --top decide in different ways: give one"),
        ("--per class", "--per needs --keep-fraction or --top"),
        ("--top 2 --part 0/2", "--top decides over the whole stream and cannot be combined with --part"),
        ("--label-by query", "--label-by needs class names"),
        ("--missing", "--missing needs -o DIR/ and --parts N"),
        ("-0", "-0 needs --files-from"),
        ("--max-bad many", "--max-bad: expected a number or a percentage such as 100 or 2%, got 'many'"),
        ("-o x.jsonl --rejects x.jsonl", "--rejects and -o are the same file: x.jsonl"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(sh, tmp_path, options, message):
    run = sh(f"set +e; omni filter {options} -; echo $?", cwd=tmp_path)
    assert run.stdout.strip() == "2"
    assert message in run.stderr


def test_a_dry_run_prints_the_resolved_options_and_reads_nothing(sh):
    run = sh("omni filter --keep-fraction 0.3 --per query -n -")
    assert json.loads(run.stdout) | {"keep_fraction": 0.3, "per": "query", "threshold": None} == json.loads(run.stdout)
