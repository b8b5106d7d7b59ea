#!/usr/bin/env bash
# From nothing to a filtered web crawl and a page to look at, in a few minutes on two cores:
#
#     bash examples/quickstart.sh [OUT]        (default: ./quickstart-out)
#
# Renders a small world of real media files (four invented actions: clips to learn from, and what a search might bring),
# trains a teacher on the clips from scratch, lets it filter the pictures and videos, and reports. Needs no download.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-quickstart-out}
mkdir -p "$out"
out=$(cd "$out" && pwd)

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "quickstart: Python 3.11 or newer is needed" >&2
    return 1
}

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { # show the command as it could be typed, then run it
    printf '\033[36m$ %s\033[0m\n' "$1"
    eval "$1"
}

if ! [ -x "$repository/.venv/bin/omni" ]; then
    step "Setting up $repository/.venv (once)"
    [ -x "$repository/.venv/bin/python" ] || "$(find_python)" -m venv "$repository/.venv"
    "$repository/.venv/bin/python" -m pip install --quiet -e "$repository"
fi
export PATH="$repository/.venv/bin:$PATH"
cd "$out"
if [ -e world/truth.jsonl ]; then rm -r world; fi # of an earlier run

step "1. A world of real media files"
run "python '$repository/examples/make_world.py' world --scale full"

step "2. Index: files become records, one JSON object a line"
run "omni index --labels --classes world/classes.txt world/target/train > train.jsonl"
run "omni index --labels --classes world/classes.txt world/target/val > val.jsonl"
run "head -n 1 train.jsonl"

step "3. A teacher, trained from scratch on $(wc -l < train.jsonl) labelled clips (Sec. 3.4)"
run "omni teacher-train train.jsonl --val val.jsonl --classes world/classes.txt \\
    --model tsn-resnet10t --init scratch --short-side 128 --crop-size 112 --epochs 30 --batch-size 8 \\
    --lr 0.02 --lr-schedule cosine --warmup-epochs 1 -o tsn.pth > metrics.jsonl"

step "4. Filter the crawl: keep what the teacher believes and what was searched for"
run "omni index world/web/image --source pictures --rejects pictures.bad.jsonl \\
    | omni filter --teacher tsn.pth --threshold 0.8 --agree --rejects pictures.left.jsonl - > pictures.jsonl"
run "omni index world/web/video --source videos --rejects videos.bad.jsonl \\
    | omni filter --teacher tsn.pth --threshold 0.8 --agree --rejects videos.left.jsonl - > videos.jsonl"

step "5. Test the teacher on clips it has not seen"
run "omni eval --checkpoint tsn.pth val.jsonl > eval.jsonl"
run "tail -n 1 eval.jsonl"

step "6. Features of what was kept, in HDF5 shards: for de-duplication and quick classifiers"
run "omni features --checkpoint tsn.pth --fps 2 --shards features pictures.jsonl videos.jsonl > features.jsonl"
run "head -n 1 features.jsonl"

step "7. A page to look at"
run "omni report pictures.jsonl videos.jsonl --rejects pictures.left.jsonl --rejects pictures.bad.jsonl \\
    --rejects videos.left.jsonl --rejects videos.bad.jsonl --threshold 0.8 --title 'Four actions: what the teacher kept' -o report.html"
run "omni report metrics.jsonl eval.jsonl --title 'Four actions: the teacher' -o teacher.html"

step "What the filter achieved, judged by what the files really show"
python "$repository/examples/judge.py" world/truth.jsonl \
    --kept pictures.jsonl videos.jsonl --left pictures.left.jsonl videos.left.jsonl

printf '\nDone in %d s. Open\n  %s\n  %s\n' "$SECONDS" "$out/report.html" "$out/teacher.html"
