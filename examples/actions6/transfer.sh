#!/usr/bin/env bash
# Transfer of features (OmniSource Table 4): a 3D student of three actions, with or without web data, learns three others.
#
#     bash transfer.sh SEED
#
# First from scratch on all labelled clips of three actions (and the web data that few.sh kept for them). Then on two
# labelled clips of each of the other actions, without web data: fine-tuned, or classifier only (fc). "none": from scratch.
. "$(dirname "$0")/common.sh"
clips=2 seed=$1
work=$OUT/runs/transfer/s$seed kept=$OUT/runs/web/k1-s$seed
mkdir -p "$work"
if [ -n "${FIRST:-}" ]; then
    grep -xE "$FIRST" "$classes" > "$work/first.txt" || { echo "transfer.sh: FIRST=$FIRST: no class of $classes" >&2; exit 1; }
else # data other than actions6: every second class
    grep -xE "Archery|HorseRace|PlayingPiano" "$classes" > "$work/first.txt" || awk 'NR % 2' "$classes" > "$work/first.txt"
fi
grep -vxFf "$work/first.txt" "$classes" > "$work/others.txt"

of() { # of FILE NAMES FIELD: the records whose FIELD is one of NAMES, without the integer label, which names replace
    sed 's/^/"'"$3"'":"/; s/$/"/' "$2" | { grep -Ff - "$1" || true; } | sed 's/,"label":[0-9]*//'
}
of "$data/train.packed.jsonl" "$work/first.txt" class_name > "$work/first.jsonl"
of "$data/train.packed.jsonl" "$work/others.txt" class_name > "$work/pool.jsonl"
of "$data/$test.packed.jsonl" "$work/others.txt" class_name > "$work/test.jsonl"
same_ids "$kept/second/image.jsonl" "$data/image.packed.jsonl" > "$work/kept.image.jsonl"
same_ids "$kept/second/video.jsonl" "$data/video.packed.jsonl" > "$work/kept.video.jsonl"
of "$work/kept.image.jsonl" "$work/first.txt" query > "$work/images.jsonl"
of "$work/kept.video.jsonl" "$work/first.txt" query > "$work/video.jsonl"
omni inflate --motion "$data/motion.json" --seed "$seed" -q "$work/images.jsonl" -o "$work/inflated.jsonl"
draw "$work/target.jsonl" "$work/pool.jsonl" "$clips" "$seed"

learn_3d "$work/target.pth" "$work/first.jsonl" "$seed" --init scratch --epochs "${EPOCHS_3D:-30}"
learn_3d "$work/web.pth" "$work/first.jsonl" "$seed" --init scratch --epochs "${EPOCHS_3D:-30}" --auxiliary-label query \
    --auxiliary "$work/inflated.jsonl" --auxiliary "$work/video.jsonl" --ratio 2:1:1
student() { # student SETTING OPTION...
    local setting=$1
    shift
    learn_3d "$work/student.pth" "$work/target.jsonl" "$seed" --epochs "${EPOCHS_3D:-60}" "$@"
    evaluate "$work/student.pth" transfer "$setting" "$clips" "$seed" "$work/test.jsonl" --num-clips 3
}
student none --init scratch
for before in target web; do
    student "$before" --init "$work/$before.pth" --freeze batch-norm
    student "$before fc" --init "$work/$before.pth" --freeze backbone
done
rm "$work"/*.pth
