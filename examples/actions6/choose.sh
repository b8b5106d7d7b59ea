#!/usr/bin/env bash
# Compare recipes on clips held out of target/train: train on one UCF group of HALVES, test on the other.
#
#     bash choose.sh CLIPS SEED
#
# Settings: those of few.sh, and variants of the second round: soft labels, mixup, 20 % of the images.
. "$(dirname "$0")/common.sh"
clips=$1 seed=$2
hold_out "$data/train.features.jsonl"
for group in "$one" "$two"; do
    other=$(other_group "$group")
    mkdir -p "$OUT/runs/choose"
    grep "_g${group}_" "$data/train.features.jsonl" > "$OUT/runs/choose/pool-$group-$clips-$seed.jsonl"
    grep "_g${other}_" "$data/train.features.jsonl" > "$OUT/runs/choose/test-$group-$clips-$seed.jsonl"
    list=$OUT/runs/choose/test-$group-$clips-$seed.jsonl study=choose-$group
    KEEP_MODELS=1 STUDY=$study POOL=$OUT/runs/choose/pool-$group-$clips-$seed.jsonl LIST=$list bash "$here/few.sh" "$clips" "$seed"
    work=$OUT/runs/$study/k$clips-s$seed
    variant() { # variant SETTING OPTION...
        local setting=$1
        shift
        learn "$work/variant.pth" "$work/target.jsonl" "$seed" "$@"
        evaluate "$work/variant.pth" "$study" "$setting" "$clips" "$seed" "$list"
    }
    variant second+soft --soft-labels --auxiliary "$work/second/image.jsonl" --auxiliary "$work/second/video.jsonl" \
        --ratio 2:2:1 # frames of long videos have no soft labels
    variant second+mixup --mixup cross $(all_sources "$work/second")
    variant second+20% $(all_sources "$work/best")
    rm "$work"/*.pth
done
