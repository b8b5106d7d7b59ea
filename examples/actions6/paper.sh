#!/usr/bin/env bash
# Why does the paper's rule gain less than ranking each query? Images and short videos, the same 30 % of each source.
#
#     bash paper.sh CLIPS SEED
#
#     label      ranked over                    setting
#     teacher    the whole source, 30 %         paper (of few.sh), OmniSource Sec. 3.2
#     teacher    the whole source, 10 %         tenth: is the rest of the 30 % too uncertain?
#     teacher    each class, 30 %               per class: do classes without images lose?
#     teacher    where the query agrees, all    agree: do wrong labels harm?
#     query      the whole source, 30 %         query all
#     query      each query, 30 %               query each
#
# The scores are those of the teacher of few.sh for the same clips and seed.
. "$(dirname "$0")/common.sh"
clips=$1 seed=$2
few=$OUT/runs/few/k$clips-s$seed work=$OUT/runs/paper/k$clips-s$seed
same few/target paper/target
same few/paper paper/paper
student() { # student SETTING FILTER_OPTION...
    local setting=$1 source
    shift
    mkdir -p "$work/$setting"
    for source in image video; do
        omni filter --classes "$classes" "$@" -q "$few/first/$source.scored.jsonl" -o "$work/$setting/$source.jsonl"
    done
    learn "$work/student.pth" "$few/target.jsonl" "$seed" --auxiliary "$work/$setting/image.jsonl" \
        --auxiliary "$work/$setting/video.jsonl" --ratio 2:2:1
    evaluate "$work/student.pth" paper "$setting" "$clips" "$seed"
}
student tenth --keep-fraction 0.1
student "per class" --keep-fraction 0.3 --per class
student agree --agree --threshold 0
student "query all" --label-by query --keep-fraction 0.3
student "query each" --label-by query --keep-fraction 0.3 --per query
rm "$work"/*.pth
