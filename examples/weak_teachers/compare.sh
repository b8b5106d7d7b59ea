#!/usr/bin/env bash
# The default rule of omni filter with weak teachers, against no filter and the paper's rule.
#
#     OUT=DIR WEIGHTS=FILE bash compare.sh [CLIPS...]       (default: 1 2 4; SEEDS="0 1 2")
#
# DIR/data holds classes.txt and stored features of a frozen backbone: train, val, and any of image, video and long,
# each as NAME.features.jsonl. README.md says how they are made. Every setting trains with omni's defaults on the same
# labelled clips:
#
#     target      the labelled clips only
#     unfiltered  + the whole crawl, labelled by query
#     paper       + what omni filter --rule paper and omni segment --rule paper keep
#     default     + what omni filter and omni segment keep
#     second      the student of default ranks each query, of which the share stays that default kept
TEST=val # the clips of DIR/data/val are the test clips
. "$(dirname "$0")/../actions6/common.sh"
[ $# -gt 0 ] || set -- 1 2 4
web=()
for source in image video long; do
    [ ! -e "$data/$source.features.jsonl" ] || web+=("$source")
done
keep() { # keep DIR TEACHER OPTION...: what each source keeps
    local dir=$1 teacher=$2 source command
    shift 2
    mkdir -p "$dir"
    for source in "${web[@]}"; do
        command=$([ "$source" = long ] && echo segment || echo filter)
        omni "$command" --teacher "$teacher" -q "$@" "$data/$source.features.jsonl" --no-resume -o "$dir/$source.jsonl" \
            --rejects "$dir/$source.rejects.jsonl" --summary "$dir/$source.json"
    done
}
share() { # share SUMMARY: the share of each query that omni filter kept
    sed -n '/"shares"/,$s/.*"kept": \([0-9.]*\).*/\1/p' "$1"
}
student() { # student SETTING DIR OPTION...
    local setting=$1 dir=$2 auxiliary=() source
    shift 2
    for source in "${web[@]}"; do auxiliary+=(--auxiliary "$dir/$source.jsonl"); done
    note_empty "$work/$setting.pth" "${auxiliary[@]}"
    omni train --target "$target" "${frozen[@]}" --seed "$seed" --no-resume -o "$work/$setting.pth" "${auxiliary[@]}" "$@"
    evaluate "$work/$setting.pth" weak "$setting" "$clips" "$seed"
}
for clips; do
    for seed in ${SEEDS:-0 1 2}; do
        work=$OUT/runs/weak/k$clips-s$seed target=$OUT/runs/weak/k$clips-s$seed/target.jsonl
        mkdir -p "$work/unfiltered"
        draw "$target" "$data/train.features.jsonl" "$clips" "$seed"
        omni teacher-train "$target" "${frozen[@]}" --seed "$seed" --no-resume -o "$work/target.pth"
        evaluate "$work/target.pth" weak target "$clips" "$seed"
        for source in "${web[@]}"; do cp "$data/$source.features.jsonl" "$work/unfiltered/$source.jsonl"; done
        student unfiltered "$work/unfiltered" --auxiliary-label query
        keep "$work/paper" "$work/target.pth" --rule paper
        student paper "$work/paper"
        keep "$work/default" "$work/target.pth"
        student default "$work/default"
        mkdir -p "$work/second"
        for source in "${web[@]}"; do
            command=filter options=(--label-by query --per query --keep-fraction "$(share "$work/default/$source.json")")
            if [ "$source" = long ]; then command=segment options=(); fi
            omni "$command" --teacher "$work/default.pth" -q "${options[@]}" "$data/$source.features.jsonl" --no-resume \
                -o "$work/second/$source.jsonl"
        done
        student second "$work/second"
    done
done
