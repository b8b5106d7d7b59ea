#!/usr/bin/env bash
# Run every stage on rendered data; takes some minutes on two cores and needs no download.
#
#     bash examples/quickstart.sh [OUT]        (default: ./quickstart-out)
#
# Renders media files of four invented actions (labelled clips, and the results of a search), trains a teacher from
# scratch, filters the images, short videos and long videos, trains a student on all of them, and writes HTML reports.
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
run() { # print the command, then run it
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

step "1. Render the media files"
run "python '$repository/examples/make_world.py' world --scale full"

step "2. Index: one record (a JSON object) per file"
run "omni index --labels --classes world/classes.txt world/target/train > train.jsonl"
run "omni index --labels --classes world/classes.txt world/target/val > val.jsonl"
run "head -n 1 train.jsonl"

step "3. Train a teacher from scratch on $(wc -l < train.jsonl) labelled clips (OmniSource Sec. 3.4)"
run "omni teacher-train train.jsonl --val val.jsonl --classes world/classes.txt \\
    --model tsn-resnet10t --init scratch --short-side 128 --crop-size 112 --epochs 30 --batch-size 8 \\
    --lr 0.02 --lr-schedule cosine --warmup-epochs 1 -o teacher.pth > teacher.metrics.jsonl"

step "4. Remove copies of validation clips (OmniSource Sec. 3.3)"
echo "(with the features of the teacher, because this script downloads nothing; the default is an ImageNet ResNet-50)"
run "omni index world/web/image --source images --rejects images.unreadable.jsonl \\
    | omni dedup --checkpoint teacher.pth --target val.jsonl --rejects images.duplicates.jsonl - > images.unique.jsonl"
run "omni index world/web/video --source videos --rejects videos.unreadable.jsonl \\
    | omni dedup --method census --target val.jsonl --rejects videos.duplicates.jsonl - > videos.unique.jsonl"

step "5. Filter: keep records whose best class is confident and equals the query (OmniSource Sec. 3.2, 3.4)"
run "omni filter --teacher teacher.pth --threshold 0.8 --agree --rejects images.rejects.jsonl \\
    images.unique.jsonl > images.jsonl"
run "omni filter --teacher teacher.pth --threshold 0.8 --agree --rejects videos.rejects.jsonl \\
    videos.unique.jsonl > videos.jsonl"

step "6. Segment: find the frames of long videos that show their class (OmniSource Sec. 3.5)"
run "omni index world/web/untrimmed --source untrimmed \\
    | omni segment --teacher teacher.pth --threshold 0.8 --rejects untrimmed.rejects.jsonl - > untrimmed.jsonl"
run "head -n 1 untrimmed.jsonl"

step "7. Inflate: fit the camera motion of the target, and turn images into clips for 3D students (OmniSource Sec. 3.5)"
run "omni inflate --fit train.jsonl -o motion.json"
run "omni inflate --motion motion.json images.jsonl > images.inflated.jsonl"

step "8. Balance: sample small classes more often (OmniSource Sec. 3.6)"
run "omni balance --power 0.2 images.inflated.jsonl > images.auxiliary.jsonl"
run "cat videos.jsonl untrimmed.jsonl | omni balance --power 0.2 - > videos.auxiliary.jsonl"

step "9. Train one student on the target and the web data (OmniSource Sec. 3.6, Eq. 1)"
run "omni train --target train.jsonl --auxiliary images.auxiliary.jsonl --auxiliary videos.auxiliary.jsonl \\
    --ratio 2:1:1 --val val.jsonl --classes world/classes.txt --model tsn-resnet10t --init scratch \\
    --short-side 128 --crop-size 112 --epochs 20 --batch-size 8 --lr 0.02 --lr-schedule cosine --warmup-epochs 1 \\
    -o student.pth > student.metrics.jsonl"

step "10. Evaluate both on the validation clips (OmniSource Sec. 5)"
run "omni eval --checkpoint teacher.pth --shards teacher.scores val.jsonl > teacher.eval.jsonl"
run "omni eval --checkpoint student.pth --baseline teacher.scores val.jsonl > student.eval.jsonl"
run "tail -n 1 student.eval.jsonl"

step "11. Write the HTML reports"
run "omni report images.jsonl videos.jsonl untrimmed.jsonl --rejects images.duplicates.jsonl \\
    --rejects images.rejects.jsonl --rejects images.unreadable.jsonl --rejects videos.duplicates.jsonl \\
    --rejects videos.rejects.jsonl --rejects videos.unreadable.jsonl --rejects untrimmed.rejects.jsonl \\
    --threshold 0.8 --title 'Four actions: filtered web data' -o report.html"
run "omni report teacher.metrics.jsonl teacher.eval.jsonl --title 'Four actions: the teacher' -o teacher.html"
run "omni report student.metrics.jsonl student.eval.jsonl --title 'Four actions: the student' -o student.html"
run "omni report --motion motion.json images.jsonl -o motion.html"

step "Precision of the filter, by the true class of each file"
python "$repository/examples/filter_precision.py" world/truth.jsonl \
    --kept images.jsonl videos.jsonl --rejects images.rejects.jsonl videos.rejects.jsonl

step "Top-1 accuracy on the validation clips"
for name in teacher student; do
    printf '%-10s%s\n' "$name" "$(tail -n 1 "$name.eval.jsonl" | grep -o '"top1_acc":[0-9.]*' | head -n 1 | cut -d: -f2)"
done

printf '\nDone in %d s. Open\n' "$SECONDS"
printf '  %s\n' "$out"/{report,teacher,student,motion}.html
