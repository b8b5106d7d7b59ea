#!/usr/bin/env bash
# Few labelled clips (OmniSource Fig. 7), with and without filtering (OmniSource Sec. 5.2): one draw of CLIPS clips per class.
#
#     bash few.sh CLIPS SEED
#
#     target      the labelled clips only
#     unfiltered  + every image and video of the crawl, labelled by its query
#     paper       + the most confident 30 % of images and videos, pseudo-labelled by the teacher; no long videos
#     query       + the best 30 % of the images and half of the videos of each query, and frames of long videos
#     second      as query, with the student of query as the teacher
#     best        as second, with the best 20 % of the images and cross-dataset mixup (chosen by choose.sh)
. "$(dirname "$0")/common.sh"
clips=$1 seed=$2 study=${STUDY:-few} pool=${POOL:-$data/train.features.jsonl} list=${LIST:-}
work=$OUT/runs/$study/k$clips-s$seed
mkdir -p "$work"/{paper,first,second}
target=$work/target.jsonl

draw "$target" "$pool" "$clips" "$seed"
teach "$work/teacher.pth" "$target" "$seed"
evaluate "$work/teacher.pth" "$study" target "$clips" "$seed" $list

learn "$work/unfiltered.pth" "$target" "$seed" --auxiliary-label query --auxiliary "$data/image.features.jsonl" \
    --auxiliary "$data/video.features.jsonl" --auxiliary "$data/long.features.jsonl" --ratio 2:2:1:1
evaluate "$work/unfiltered.pth" "$study" unfiltered "$clips" "$seed" $list

score "$work/first" "$work/teacher.pth"
for source in image video; do
    omni filter --keep-fraction 0.3 -q "$work/first/$source.scored.jsonl" -o "$work/paper/$source.jsonl"
done
learn "$work/paper.pth" "$target" "$seed" --auxiliary "$work/paper/image.jsonl" --auxiliary "$work/paper/video.jsonl" \
    --ratio 2:2:1
evaluate "$work/paper.pth" "$study" paper "$clips" "$seed" $list

learn "$work/query.pth" "$target" "$seed" $(all_sources "$work/first")
evaluate "$work/query.pth" "$study" query "$clips" "$seed" $list
LONG_THRESHOLD=0.5 score "$work/second" "$work/query.pth"
learn "$work/second.pth" "$target" "$seed" $(all_sources "$work/second")
evaluate "$work/second.pth" "$study" second "$clips" "$seed" $list
mkdir -p "$work/best"
keep_by_query "$work/best/image.jsonl" "$work/second/image.scored.jsonl" 0.2
cp "$work/second/video.jsonl" "$work/second/long.jsonl" "$work/best"
learn "$work/best.pth" "$target" "$seed" --mixup cross $(all_sources "$work/best")
evaluate "$work/best.pth" "$study" best "$clips" "$seed" $list
[ -n "${KEEP_MODELS:-}" ] || rm "$work"/*.pth
