#!/usr/bin/env bash
# Run the tests with the lowest version of each direct dependency that pyproject.toml allows. Arguments go to pytest:
#
#     bash tests/lowest.sh                      the tests up to 5 s
#     bash tests/lowest.sh tests/media          some of them
#     LOWEST_ENV=DIR bash tests/lowest.sh       use the environment DIR, which is kept; otherwise a new one, then removed
#
# Needs uv and the network. PyTorch with its CUDA libraries takes 6 GB, unless UV_TORCH_BACKEND=cpu finds a smaller build.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${LOWEST_ENV:-}" ]; then
    environment=$LOWEST_ENV
else
    environment=$(mktemp -d)/lowest
    trap 'rm -rf "$(dirname "$environment")"' EXIT
fi
python=$environment/bin/python
[ -x "$python" ] || uv venv --quiet --python "${LOWEST_PYTHON:-3.11}" "$environment"
uv pip install --quiet --python "$python" --resolution lowest-direct -e '.[dev]'
uv pip list --quiet --python "$python"
[ $# -gt 0 ] || set -- -m "not slow"
PATH=$environment/bin:$PATH "$python" -m pytest "$@"
