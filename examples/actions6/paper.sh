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
#     teacher    as paper, weighted by N^0.2    balanced (OmniSource Sec. 3.6): do large classes crowd out small ones?
#     query      the whole source, 30 %         query all
#     query      each query, 30 %               query each
#
# The scores are those of the teacher of few.sh for the same clips and seed.
. "$(dirname "$0")/common.sh"
clips=$1 seed=$2
few=$OUT/runs/few/k$clips-s$seed work=$OUT/runs/paper/k$clips-s$seed
same few/target paper/target
same few/paper paper/paper
student() { # student SETTING COMMAND OPTION...: train on what omni filter or balance makes of each source
    local setting=$1 source
    shift
    mkdir -p "$work/$setting"
    for source in image video; do
        case $1 in
            filter) omni "$@" --classes "$classes" -q "$few/first/$source.scored.jsonl" -o "$work/$setting/$source.jsonl" ;;
            balance) omni "$@" -q "$few/paper/$source.jsonl" -o "$work/$setting/$source.jsonl" ;;
        esac
    done
    learn "$work/student.pth" "$few/target.jsonl" "$seed" --auxiliary "$work/$setting/image.jsonl" \
        --auxiliary "$work/$setting/video.jsonl" --ratio 2:2:1
    evaluate "$work/student.pth" paper "$setting" "$clips" "$seed"
}
student tenth filter --keep-fraction 0.1
student "per class" filter --keep-fraction 0.3 --per class
student agree filter --agree --threshold 0
student "query all" filter --label-by query --keep-fraction 0.3
student "query each" filter --label-by query --keep-fraction 0.3 --per query
student balanced balance --power 0.2
rm "$work"/*.pth
