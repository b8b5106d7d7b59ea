#!/usr/bin/env bash
# Run every stage on rendered data; takes some minutes on two cores and needs no download.
#
#     bash examples/quickstart.sh [OUT]        (default: ./quickstart-out)
#
# Renders media files of four invented actions (labelled clips, and the results of a search). Then examples/pipeline
# trains a teacher from scratch, filters the images, short videos and long videos, and trains a student on all of them.
# At the end come the stages for 3D students and for classes of unequal size.
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
rm -rf world out # of an earlier run

step "1. Render the media files"
run "python '$repository/examples/make_world.py' world --scale full"

step "2. Run the whole recipe (examples/pipeline): make prints each command before it runs"
echo "(from scratch, because this script downloads nothing; your own data start from ImageNet weights)"
small="--short-side 128 --crop-size 112 --batch-size 8 --lr 0.02 --lr-schedule cosine --warmup-epochs 1"
run "make -f '$repository/examples/pipeline/Makefile' TRAIN=world/target/train VAL=world/target/val \\
    IMAGES=world/web/image VIDEOS=world/web/video LONG=world/web/untrimmed ROUNDS=1 JOBS=1 \\
    MODEL=tsn-resnet10t INIT=scratch STORE=none \\
    TEACHER_OPTIONS='$small --epochs 30' STUDENT_OPTIONS='$small --epochs 24' \\
    FILTER_OPTIONS='--threshold 0.8 --agree' SEGMENT_OPTIONS='--threshold 0.8'"

step "3. What came out: one record (a JSON object) per line"
echo "A labelled clip:"
run "head -n 1 out/train.jsonl"
echo "A web image that was kept, with its pseudo-label (OmniSource Sec. 3.2):"
run "head -n 1 out/round1/images.kept.jsonl"
echo "A web image that was rejected, with the reason:"
run "head -n 1 out/round1/images.rejects.jsonl"
echo "A copy of a validation clip (OmniSource Sec. 3.3):"
run "head -n 1 out/images.duplicates.jsonl"
echo "A long video, with the times at which it shows its class (OmniSource Sec. 3.5):"
run "head -n 1 out/round1/long.kept.jsonl"

step "4. Decide again: the records hold their scores, so that another threshold needs no model"
run "cat out/round1/images.kept.jsonl out/round1/images.rejects.jsonl \\
    | omni filter --threshold 0.9 - > stricter.jsonl"

step "5. Inflate: fit the camera motion of the target, and turn images into clips for 3D students (OmniSource Sec. 3.5)"
run "omni inflate --fit out/train.jsonl -o motion.json"
run "omni inflate --motion motion.json out/round1/images.kept.jsonl > images.inflated.jsonl"

step "6. Balance: draw small classes more often (OmniSource Sec. 3.6)"
run "omni balance --power 0.2 images.inflated.jsonl > images.auxiliary.jsonl"

step "7. Compare the student with the teacher, class by class (OmniSource Sec. 5)"
run "omni eval --checkpoint out/teacher.pth --shards teacher.scores out/val.jsonl > teacher.eval.jsonl"
run "omni eval --checkpoint out/round1/student.pth --baseline teacher.scores out/val.jsonl > student.eval.jsonl"
run "omni report out/teacher.metrics.jsonl teacher.eval.jsonl --title 'Four actions: the teacher' -o teacher.html"
run "omni report out/round1/student.metrics.jsonl student.eval.jsonl --title 'Four actions: the student' -o student.html"
run "omni report --motion motion.json out/round1/images.kept.jsonl -o motion.html"

step "Precision of the filter, by the true class of each file"
python "$repository/examples/filter_precision.py" world/truth.jsonl --kept out/round1/{images,videos}.kept.jsonl \
    --rejects out/round1/{images,videos}.rejects.jsonl

step "Top-1 accuracy on the validation clips"
for name in teacher student; do
    printf '%-10s%s\n' "$name" "$(tail -n 1 "$name.eval.jsonl" | grep -o '"top1_acc":[0-9.]*' | head -n 1 | cut -d: -f2)"
done

printf '\nDone in %d s. Open\n' "$SECONDS"
printf '  %s\n' "$out"/{out/report,teacher,student,motion}.html
