#!/usr/bin/env bash
# The effect of each part of the method on a 2D student: four labelled clips per class, one draw.
#
#     bash rules.sh SEED
#
# Sections, figures and tables are those of OmniSource.
#
#     sources     none, image, video, long, all                              (Table 2)
#     filtering   images: none, unfiltered, threshold, agree; query1, query2, ...: teachers of so many clips
#                                                                            (Sec. 5.2, Fig. 6)
#     budget      24 records: images, videos, half of each                 (Fig. 4)
#     ratio       target : images 4:1 to 1:4                               (Fig. 8)
#     resampling  images of unequal classes, weighted by power 1, 0.5, 0.2, or clipped  (Table 10)
#     mixup       none, intra, with images none, cross; ImageNet weights    (Table 9)
. "$(dirname "$0")/common.sh"
clips=4 seed=$1
work=$OUT/runs/rules/s$seed
mkdir -p "$work"/web
target=$work/target.jsonl
student() { # student STUDY SETTING OPTION...
    local study=$1 setting=$2
    shift 2
    learn "$work/student.pth" "$target" "$seed" "$@"
    evaluate "$work/student.pth" "$study" "$setting" "$clips" "$seed"
}

draw "$target" "$data/train.features.jsonl" "$clips" "$seed"
teach "$work/teacher.pth" "$target" "$seed"
score "$work/web" "$work/teacher.pth"
image=$work/web/image.jsonl video=$work/web/video.jsonl long=$work/web/long.jsonl

student sources none
student sources image --auxiliary "$image"
student sources video --auxiliary "$video"
student sources long --auxiliary "$long"
student sources all $(all_sources "$work/web")

same sources/none filtering/none mixup/none
student filtering unfiltered --auxiliary-label query --auxiliary "$data/image.features.jsonl"
omni filter --threshold 0.5 -q "$work/web/image.scored.jsonl" -o "$work/threshold.jsonl"
student filtering threshold --auxiliary "$work/threshold.jsonl"
omni filter --classes "$classes" --agree --threshold 0 -q "$work/web/image.scored.jsonl" -o "$work/agree.jsonl"
student filtering agree --auxiliary "$work/agree.jsonl"
for seen in $(printf "%d\n" 1 2 4 "${MOST:-9}" | sort -nu); do # teachers of so many clips
    draw "$work/seen.jsonl" "$data/train.features.jsonl" "$seen" "$seed"
    teach "$work/seen.pth" "$work/seen.jsonl" "$seed"
    omni filter --teacher "$work/seen.pth" --label-by query --keep-fraction 0.3 --per query -q "$data/image.features.jsonl" \
        -o "$work/seen.kept.jsonl"
    student filtering "query$seen" --auxiliary "$work/seen.kept.jsonl"
done

for share in image:4 video:4 both:2; do
    for source in image video; do
        omni filter --classes "$classes" --label-by query --top "${share#*:}" --per query -q "$work/web/$source.scored.jsonl" \
            -o "$work/$source.top.jsonl"
    done
    case ${share%:*} in
        image) cp "$work/image.top.jsonl" "$work/budget.jsonl" ;;
        video) cp "$work/video.top.jsonl" "$work/budget.jsonl" ;;
        both) cat "$work/image.top.jsonl" "$work/video.top.jsonl" > "$work/budget.jsonl" ;;
    esac
    student budget "${share%:*}" --auxiliary "$work/budget.jsonl"
done

same sources/image ratio/1:1
for ratio in 4:1 2:1 1:2 1:4; do
    student ratio "$ratio" --auxiliary "$image" --ratio "$ratio"
done

most=100 # at most 100, 40, 16, 6, 2 and 2 images per class
: > "$work/unequal.jsonl"
while read -r name; do
    grep -F "\"pseudo_class\":\"$name\"" "$image" | head -n "$most" >> "$work/unequal.jsonl" || true
    most=$((most * 2 / 5 > 2 ? most * 2 / 5 : 2))
done < "$classes"
balance() { # balance SETTING OPTION...
    local setting=$1
    shift
    omni balance "$@" -q "$work/unequal.jsonl" -o "$work/weighted.jsonl"
    student resampling "$setting" --auxiliary "$work/weighted.jsonl"
}
balance "power 1" --power 1
balance "power 0.5" --power 0.5
balance "power 0.2" --power 0.2
balance "clipped 5" --max-per-class 5

student mixup intra --mixup intra
same sources/image mixup/web
student mixup "web cross" --auxiliary "$image" --mixup cross
rm "$work"/*.pth
