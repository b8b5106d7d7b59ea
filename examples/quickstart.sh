#!/usr/bin/env bash
# From nothing to a student that learnt from the web, and pages to look at, in some minutes on two cores:
#
#     bash examples/quickstart.sh [OUT]        (default: ./quickstart-out)
#
# Renders a small world of real media files (four invented actions: clips to learn from, and what a search might bring),
# trains a teacher on the clips from scratch, lets it clean the images, short videos and long videos of the web, trains
# a student on all of it, and reports. Needs no download.
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

step "4. De-duplication: nothing that copies a validation sample may be learnt (Sec. 3.3)"
echo "(with the teacher's own features, as nothing is downloaded here; the default is an ImageNet ResNet-50)"
run "omni index world/web/image --source images --rejects images.bad.jsonl \\
    | omni dedup --checkpoint tsn.pth --target val.jsonl --rejects images.copies.jsonl - > images.fair.jsonl"
run "omni index world/web/video --source videos --rejects videos.bad.jsonl \\
    | omni dedup --method census --target val.jsonl --rejects videos.copies.jsonl - > videos.fair.jsonl"

step "5. Filter: keep what the teacher believes and what was searched for (Sec. 3.2, 3.4)"
run "omni filter --teacher tsn.pth --threshold 0.8 --agree --rejects images.left.jsonl images.fair.jsonl > images.jsonl"
run "omni filter --teacher tsn.pth --threshold 0.8 --agree --rejects videos.left.jsonl videos.fair.jsonl > videos.jsonl"

step "6. Segment: where long videos show their class (Sec. 3.5)"
run "omni index world/web/untrimmed --source untrimmed \\
    | omni segment --teacher tsn.pth --threshold 0.8 --rejects untrimmed.left.jsonl - > untrimmed.jsonl"
run "head -n 1 untrimmed.jsonl"

step "7. Inflate: how cameras move in the target, and images as clips of that motion, for 3D students (Sec. 3.5)"
run "omni inflate --fit train.jsonl -o motion.json"
run "omni inflate --motion motion.json images.jsonl > images.inflated.jsonl"

step "8. Balance: small classes are drawn more often (Sec. 3.6)"
run "omni balance --power 0.2 images.inflated.jsonl > images.aux.jsonl"
run "cat videos.jsonl untrimmed.jsonl | omni balance --power 0.2 - > videos.aux.jsonl"

step "9. One student of the target and the web (Sec. 3.6, Eq. 1)"
run "omni train --target train.jsonl --auxiliary images.aux.jsonl --auxiliary videos.aux.jsonl --ratio 2:1:1 \\
    --val val.jsonl --classes world/classes.txt --model tsn-resnet10t --init scratch \\
    --short-side 128 --crop-size 112 --epochs 20 --batch-size 8 --lr 0.02 --lr-schedule cosine --warmup-epochs 1 \\
    -o student.pth > student.metrics.jsonl"

step "10. Test both on clips they have not seen (Sec. 5)"
run "omni eval --checkpoint tsn.pth --shards teacher.scores val.jsonl > teacher.eval.jsonl"
run "omni eval --checkpoint student.pth --baseline teacher.scores val.jsonl > student.eval.jsonl"
run "tail -n 1 student.eval.jsonl"

step "11. Pages to look at"
run "omni report images.jsonl videos.jsonl untrimmed.jsonl --rejects images.copies.jsonl --rejects images.left.jsonl \\
    --rejects images.bad.jsonl --rejects videos.copies.jsonl --rejects videos.left.jsonl --rejects videos.bad.jsonl \\
    --rejects untrimmed.left.jsonl --threshold 0.8 --title 'Four actions: what the teacher kept' -o report.html"
run "omni report metrics.jsonl teacher.eval.jsonl --title 'Four actions: the teacher' -o teacher.html"
run "omni report student.metrics.jsonl student.eval.jsonl --title 'Four actions: the student' -o student.html"
run "omni report --motion motion.json images.jsonl -o motion.html"

step "What the filter achieved, judged by what the files really show"
python "$repository/examples/judge.py" world/truth.jsonl \
    --kept images.jsonl videos.jsonl --left images.left.jsonl videos.left.jsonl

step "What the web was worth: top-1 on the validation clips"
for name in teacher student; do
    printf '%-10s%s\n' "$name" "$(tail -n 1 "$name.eval.jsonl" | grep -o '"top1_acc":[0-9.]*' | head -n 1 | cut -d: -f2)"
done

printf '\nDone in %d s. Open\n' "$SECONDS"
printf '  %s\n' "$out"/{report,teacher,student,motion}.html
