# Shared by the studies: paths, training of 2D and 3D models, evaluation.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export OMP_NUM_THREADS=1 OMNI_WORKERS=1 OMNI_PRECISION=float32
data=$OUT/data classes=$OUT/data/classes.txt test=${TEST:-test}
. "$here/warm.sh"

# 2D: a TSN on a frozen ImageNet EfficientNet-Lite0. The features are stored; only the classifier is trained.
frozen=(--classes "$classes" --model tsn-tf_efficientnet_lite0 --init "$WEIGHTS" --freeze backbone -q)
epochs() { # epochs TARGET: more epochs for fewer clips
    echo $((${EPOCHS_2D:-40} + ${EPOCHS_2D:-40} * 12 / $(wc -l < "$1")))
}
teach() { # teach OUT TARGET SEED
    omni teacher-train "$2" "${frozen[@]}" --epochs "$(epochs "$2")" --seed "$3" --no-resume -o "$1"
}
learn() { # learn OUT TARGET SEED OPTION...: train a student on the target and every --auxiliary
    local out=$1 target=$2 seed=$3
    shift 3
    note_empty "$out" "$@"
    omni train --target "$target" "${frozen[@]}" --epochs "$(epochs "$target")" --seed "$seed" --no-resume -o "$out" \
        "$@"
}

# 3D: a small SlowOnly, trained from scratch on packed frames of 80 pixels.
small=(--model slowonly-r18w16 --num-frames 4 --frame-interval 8 --short-side 80 --crop-size 72 --batch-size 8 --lr 0.05
    --lr-schedule cosine --warmup-epochs 2 -q)
learn_3d() { # learn_3d OUT TARGET SEED OPTION...
    local out=$1 target=$2 seed=$3
    shift 3
    note_empty "$out" "$@"
    omni train --target "$target" "${small[@]}" --seed "$seed" --no-resume -o "$out" "$@"
}

# omni train leaves out a source of which the filter kept nothing. nothing-kept.txt and RESULTS.md list these students.
note_empty() { # note_empty OUT OPTION...: note every --auxiliary file that is empty
    local student=$1 before='' word
    shift
    for word; do
        if [ "$before" = --auxiliary ] && ! [ -s "$word" ]; then
            echo "${student#"$OUT/"} learns without ${word#"$OUT/"}, where nothing was kept" \
                | tee -a "$OUT/nothing-kept.txt" >&2
        fi
        before=$word
    done
}

draw() { # draw OUT POOL CLIPS SEED: CLIPS labelled clips of every class, by a hash of their ids and the seed
    local num_classes
    num_classes=$(grep -o '"class_name":"[^"]*"' "$2" | sort -u | wc -l)
    omni balance --auxiliary-label label --keep-tail $(($3 * num_classes)) --seed "$4" -q "$2" -o "$1"
}
evaluate() { # evaluate CHECKPOINT STUDY SETTING CLIPS SEED [LIST [OPTION...]]
    local checkpoint=$1 file=$OUT/eval/$2/$3/k$4-s$5.jsonl list=${6:-$data/$test.features.jsonl}
    shift $(($# < 6 ? $# : 6))
    mkdir -p "$(dirname "$file")"
    omni eval --checkpoint "$checkpoint" -q "$list" -o "$file" "$@"
}
same() { # same STUDY/SETTING OTHER/SETTING...: use one student of this draw in several studies
    local file=$OUT/eval/$1/k$clips-s$seed.jsonl
    shift
    for other; do
        mkdir -p "$OUT/eval/$other"
        cp "$file" "$OUT/eval/$other/k$clips-s$seed.jsonl"
    done
}
hold_out() { # hold_out LIST: set one and two to the UCF groups of HALVES; end the script where LIST lacks one
    local group
    read -r one two <<< "${HALVES:-08 09}"
    for group in "$one" "$two"; do
        if ! grep -q "_g${group}_" "$1"; then
            echo "$(basename "$0"): no file of target/train has _g${group}_ in its name, so no group can be held out; give HALVES" >&2
            exit 0 # the other studies continue
        fi
    done
}
other_group() { # other_group GROUP: the one of HALVES that GROUP is not
    [ "$1" = "$one" ] && echo "$two" || echo "$one"
}
same_ids() { # same_ids FILE OTHER: the lines of OTHER whose records are in FILE
    grep -o '"id":"[^"]*"' "$1" | grep -Ff - "$2" || true
}

# Filter by query: the search engine proposes the class, the teacher ranks the results of each query.
keep_by_query() { # keep_by_query OUT SCORED FRACTION
    omni filter --classes "$classes" --label-by query --keep-fraction "$3" --per query -q "$2" -o "$1"
}
score() { # score DIR TEACHER: score every auxiliary source, and filter it by query
    omni filter --teacher "$2" --score-only -q "$data/image.features.jsonl" -o "$1/image.scored.jsonl"
    omni filter --teacher "$2" --score-only -q "$data/video.features.jsonl" -o "$1/video.scored.jsonl"
    omni segment --teacher "$2" --label-by query --threshold "${LONG_THRESHOLD:-0.3}" -q "$data/long.features.jsonl" \
        -o "$1/long.jsonl"
    keep_by_query "$1/image.jsonl" "$1/image.scored.jsonl" 0.3
    keep_by_query "$1/video.jsonl" "$1/video.scored.jsonl" 0.5
}
all_sources() { # all_sources DIR: the --auxiliary options of the three sources
    echo --auxiliary "$1/image.jsonl" --auxiliary "$1/video.jsonl" --auxiliary "$1/long.jsonl" --ratio 2:2:1:1
}
