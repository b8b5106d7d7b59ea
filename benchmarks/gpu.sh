#!/usr/bin/env bash
# What a GPU does with this package, as one JSON document on stdout; see bench_gpu.py for its options:
#
#     bash benchmarks/gpu.sh > gpu.json
#     bash benchmarks/gpu.sh --device cpu --smoke > gpu.json
#
# PYTHON names the interpreter (python3). Packages it lacks may lie as wheels in a folder .whl of the repository; they are
# installed into a folder of their own, for this run.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
path=$PWD
wheels=(.whl/*.whl)
if [ -e "${wheels[0]}" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$folder" \
        "${wheels[@]}" >&2
    path=$folder:$path
fi
export PYTHONPATH=$path${PYTHONPATH:+:$PYTHONPATH} OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1
"$python" benchmarks/bench_gpu.py "$@"
