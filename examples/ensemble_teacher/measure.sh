#!/usr/bin/env bash
# Two teachers and their ensemble: accuracy on test clips, and what each keeps of a crawl.
#
#     OUT=DIR DATA=DIR WEIGHTS=LITE0 WEIGHTS2=LITE2 bash measure.sh [CLIPS...]       (default: 1 2 4; SEEDS="0 ... 9")
#
# DATA is that of ../actions6. Teachers are omni's default, a classifier on a frozen backbone, trained on the same clips.
# The ensemble is the mean of their scores: omni eval --fuse for the test clips, mean.py for the images of the crawl,
# whose features are stored. Without HELD_OUT the teachers are tested on DATA/target/test. HELD_OUT=08 leaves that group
# of DATA/target/train out and tests on it. Run it again to continue.
WEIGHTS2=${WEIGHTS2:?"the ImageNet weights of tf_efficientnet_lite2: see README.md"}
. "$(dirname "$0")/../actions6/common.sh"
own=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- 1 2 4
declare -A weights=([lite0]=$WEIGHTS [lite2]=$WEIGHTS2)
mkdir -p "$data"
ls "$DATA/target/train" > "$classes"

index() { omni index --root "$DATA" -q --no-resume "$@"; }
index --labels --classes "$classes" "$DATA/target/train" -o "$data/all.jsonl"
if [ -n "${HELD_OUT:-}" ]; then
    grep -v "_g${HELD_OUT}_" "$data/all.jsonl" > "$data/train.jsonl"
    grep "_g${HELD_OUT}_" "$data/all.jsonl" > "$data/test.jsonl"
else
    cp "$data/all.jsonl" "$data/train.jsonl"
    index --labels --classes "$classes" "$DATA/target/test" -o "$data/test.jsonl"
fi
index "$DATA/web/image_hard.jsonl" -o "$data/image.jsonl"
for name in lite0 lite2; do
    for part in train test image; do
        [ -e "$data/$part.$name.jsonl" ] || omni features --backbone "tf_efficientnet_$name" --weights "${weights[$name]}" --root "$DATA" -q \
            --shards "$data/$name/$part" "$data/$part.jsonl" -o "$data/$part.$name.jsonl"
    done
done

keep() { omni filter --classes "$classes" --label-by query --keep-fraction 0.3 --per query -q --no-resume "$1" -o "$2"; }
for clips; do
    for seed in ${SEEDS:-0 1 2 3 4 5 6 7 8 9}; do
        draw=k$clips-s$seed work=$OUT/runs/k$clips-s$seed
        [ ! -e "$OUT/kept/both/$draw.jsonl" ] || continue
        mkdir -p "$work" "$OUT"/{eval/ensemble,kept}/{lite0,lite2,both}
        draw "$work/target.jsonl" "$data/train.jsonl" "$clips" "$seed"
        for name in lite0 lite2; do
            same_ids "$work/target.jsonl" "$data/train.$name.jsonl" > "$work/$name.jsonl"
            omni teacher-train "$work/$name.jsonl" --classes "$classes" --model "tsn-tf_efficientnet_$name" \
                --init "${weights[$name]}" --freeze backbone -q --seed "$seed" --no-resume -o "$work/$name.pth"
            rm -rf "$work/scores/$name"
            omni eval --checkpoint "$work/$name.pth" --calibrated --shards "$work/scores/$name" -q \
                "$data/test.$name.jsonl" -o "$OUT/eval/ensemble/$name/$draw.jsonl"
            omni filter --teacher "$work/$name.pth" --score-only -q --no-resume "$data/image.$name.jsonl" \
                -o "$work/$name.scored.jsonl"
            keep "$work/$name.scored.jsonl" "$OUT/kept/$name/$draw.jsonl"
        done
        omni eval --fuse "$work/scores/lite0" --fuse "$work/scores/lite2" -q -o "$OUT/eval/ensemble/both/$draw.jsonl"
        "$PYTHON" "$own/mean.py" "$work"/lite{0,2}.scored.jsonl > "$work/both.scored.jsonl"
        keep "$work/both.scored.jsonl" "$OUT/kept/both/$draw.jsonl"
        rm -rf "$work"/scores "$work"/*.scored.jsonl
        [ -n "${KEEP_MODELS:-}" ] || rm "$work"/*.pth
    done
done
