#!/usr/bin/env bash
# 3D students from scratch on one labelled clip per class, one draw: inflated images (OmniSource Table 8), short and
# long videos, mixup (OmniSource Table 9).
#
#     bash clips.sh CLIPS SEED            all studies
#     bash clips.sh CLIPS SEED camera     none, still and perspective-agnostic of inflation: more draws of a moving camera
#
#     inflation     none, still, translate-random, translate-constant, perspective-specific, perspective-agnostic
#     scratch       none, video, both: images (perspective-agnostic) and videos; long; all: + segments of long videos
#     mixup-scratch none, intra, with images none, cross
#
# The images and videos are those that the second round of few.sh kept for the same clips and seed. The segments of long
# videos are those that the 3D student of both scores as positive (OmniSource Sec. 3.5).
. "$(dirname "$0")/common.sh"
clips=$1 seed=$2 only=${3:-}
work=$OUT/runs/clips/k$clips-s$seed kept=$OUT/runs/web/k$clips-s$seed
modes="still translate-random translate-constant perspective-specific perspective-agnostic"
if [ "$only" = camera ]; then
    modes="still perspective-agnostic" kept=$OUT/runs/few/k$clips-s$seed
fi
mkdir -p "$work"
target=$work/target.jsonl
student() { # student STUDY SETTING OPTION...
    local study=$1 setting=$2
    shift 2
    learn_3d "$work/$study.$setting.pth" "$target" "$seed" --classes "$classes" --init scratch --epochs "${EPOCHS_3D:-100}" "$@"
    evaluate "$work/$study.$setting.pth" "$study" "$setting" "$clips" "$seed" "$data/$test.packed.jsonl" --num-clips 3
}

same_ids "$kept/target.jsonl" "$data/train.packed.jsonl" > "$target"
same_ids "$kept/second/image.jsonl" "$data/image.packed.jsonl" > "$work/images.jsonl"
web=(--auxiliary-label query)

student inflation none
for mode in $modes; do
    motion=()
    [ "$mode" = still ] || motion=(--motion "$data/motion.json")
    omni inflate --mode "$mode" "${motion[@]}" --seed "$seed" -q "$work/images.jsonl" -o "$work/$mode.jsonl"
    student inflation "$mode" "${web[@]}" --auxiliary "$work/$mode.jsonl"
done
if [ "$only" = camera ]; then
    rm "$work"/*.pth
    exit
fi
same_ids "$kept/second/video.jsonl" "$data/video.packed.jsonl" > "$work/video.jsonl"
student scratch video "${web[@]}" --auxiliary "$work/video.jsonl"
both=("${web[@]}" --auxiliary "$work/perspective-agnostic.jsonl" --auxiliary "$work/video.jsonl")
student scratch both "${both[@]}" --ratio 2:1:1
omni segment --teacher "$work/scratch.both.pth" --clip-sec 4 --threshold 0.5 --label-by query -q "$data/long.packed.jsonl" \
    -o "$work/long.jsonl"
student scratch long "${web[@]}" --auxiliary "$work/long.jsonl"
student scratch all "${both[@]}" --auxiliary "$work/long.jsonl" --ratio 2:1:1:1
student mixup-scratch intra --mixup intra
student mixup-scratch "web cross" "${web[@]}" --auxiliary "$work/perspective-agnostic.jsonl" --mixup cross
same inflation/none scratch/none mixup-scratch/none
same inflation/perspective-agnostic scratch/image mixup-scratch/web
rm "$work"/*.pth
