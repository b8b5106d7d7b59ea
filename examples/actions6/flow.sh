#!/usr/bin/env bash
# Two streams, 3D from scratch on all labelled clips: images, optical flow and the mean of both (OmniSource Tables 4, 6).
#
#     bash flow.sh SEED            test on DATA/target/test, or on target/val where there is none
#     bash flow.sh SEED choose     test on one UCF group of HALVES, train on the other
#
#     flow                rgb, flow, fused
#     choose-flow-GROUP   flow of 4 or 8 frames, mirrored or not; fused 1:1, 1:1.5, 1:2
#
# Ours: rgb is the student `none` of clips.sh on all clips, and flow the same network on flow of DIS.
. "$(dirname "$0")/common.sh"
clips=$MOST seed=$1 chosen=${2:-}
length=${EPOCHS_3D:-$([ -z "$chosen" ] && echo 60 || echo 100)} # half of the clips, so more epochs
stream() { # stream STUDY SETTING TRAIN TEST OPTION...: train on one stream, and store its scores
    local study=$1 setting=$2 train=$3 test=$4 work=$OUT/runs/$1/s$seed
    shift 4
    mkdir -p "$work"
    learn_3d "$work/$setting.pth" "$train" "$seed" --classes "$classes" --init scratch --epochs "$length" "$@"
    rm -rf "$work/$setting"
    evaluate "$work/$setting.pth" "$study" "$setting" "$clips" "$seed" "$test" --num-clips 3 --shards "$work/$setting"
    rm "$work/$setting.pth"
}
fuse() { # fuse STUDY SETTING FLOW RATIO: the mean of rgb and a setting of flow
    local file=$OUT/eval/$1/$2/k$clips-s$seed.jsonl work=$OUT/runs/$1/s$seed
    mkdir -p "$(dirname "$file")"
    omni eval --fuse "$work/rgb" --fuse "$work/$3" --fuse-ratio "$4" -q -o "$file"
}
if [ -z "$chosen" ]; then
    stream flow rgb "$data/train.packed.jsonl" "$data/$test.packed.jsonl"
    stream flow flow "$data/train.flow.jsonl" "$data/$test.flow.jsonl" --modality flow
    fuse flow fused flow 1:1.5
    exit
fi
hold_out "$data/train.flow.jsonl"
for group in "$one" "$two"; do
    other=$(other_group "$group")
    study=choose-flow-$group lists=$OUT/runs/choose-flow-$group/s$seed
    mkdir -p "$lists"
    for kind in packed flow; do
        grep "_g${group}_" "$data/train.$kind.jsonl" > "$lists/train.$kind.jsonl"
        grep "_g${other}_" "$data/train.$kind.jsonl" > "$lists/test.$kind.jsonl"
    done
    flow=("$lists/train.flow.jsonl" "$lists/test.flow.jsonl" --modality flow)
    stream "$study" rgb "$lists/train.packed.jsonl" "$lists/test.packed.jsonl"
    stream "$study" flow "${flow[@]}"
    stream "$study" flow-no-flip "${flow[@]}" --no-flip
    stream "$study" flow-8x4 "${flow[@]}" --num-frames 8 --frame-interval 4
    for ratio in 1:1 1:1.5 1:2; do
        fuse "$study" "fused $ratio" flow "$ratio"
        fuse "$study" "fused 8x4 $ratio" flow-8x4 "$ratio"
    done
done
