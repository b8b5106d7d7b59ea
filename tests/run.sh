#!/usr/bin/env bash
# Run every check that a change has to pass: lint, format, types, import layers, tests. Extra arguments go to pytest:
#
#     bash tests/run.sh                     everything
#     bash tests/run.sh tests/media -k exif
#     bash tests/run.sh -m "not slow"       without the tests over 5 s
#     bash tests/run.sh -n 0                in one process; otherwise a worker per core shares the test files
#
# Creates .venv if there is none, which needs the network.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "tests/run.sh: Python 3.11 or newer is needed" >&2
    return 1
}

is_installed() { # true if .venv has every requirement of pyproject.toml, and omnicli from this folder
    .venv/bin/python - <<'PYTHON' 2>/dev/null
import pathlib, sys, tomllib
from importlib import metadata
from packaging.requirements import Requirement

import omnicli

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
wanted = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["dev"]]
met = all(need.specifier.contains(metadata.version(need.name), prereleases=True) for need in wanted)
here = pathlib.Path(omnicli.__file__).resolve().parents[1] == pathlib.Path.cwd().resolve()
sys.exit(not (met and here and pathlib.Path(".venv/bin/omni").exists()))
PYTHON
}

failed=()
step() { # step NAME COMMAND...: run the command, print its duration, continue if it fails
    local name=$1 started=$SECONDS
    shift
    printf -- '--- %s\n' "$name"
    if "$@"; then
        printf -- '--- %s: ok, %d s\n' "$name" $((SECONDS - started))
    else
        printf -- '--- %s: FAILED, %d s\n' "$name" $((SECONDS - started))
        failed+=("$name")
    fi
}

[ -x .venv/bin/python ] || "$(find_python)" -m venv .venv
is_installed || .venv/bin/python -m pip install --quiet -e '.[dev]'
if [ -n "${CI:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then # without them, tests in a browser or under Slurm are skipped
    { command -v chromium && command -v slurmctld; } >/dev/null ||
        (apt-get update -qq && apt-get install -y -qq chromium slurm-wlm) >/dev/null 2>&1 || true
fi

bin=.venv/bin
step lint $bin/ruff check .
step format $bin/ruff format --check .
step types $bin/mypy
step layers $bin/lint-imports
# A file's tests stay in one process: they share what the file makes. conftest.py orders the files and counts the cores.
step tests $bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --durations=20 "$@"

if [ ${#failed[@]} -gt 0 ]; then
    echo "failed after $SECONDS s: ${failed[*]}"
    exit 1
fi
echo "all passed in $SECONDS s"
