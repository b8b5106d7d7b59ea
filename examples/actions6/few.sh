#!/usr/bin/env bash
# Few labelled clips (Fig. 7), and whether filtering is needed (Sec. 5.2): one draw of CLIPS clips of each class.
#
#     bash few.sh CLIPS SEED
#
#     target      the labelled clips alone
#     unfiltered  + every image and video of the crawl, labelled by its query
#     paper       + the most confident 30 % of images and videos, pseudo-labelled by the teacher; no long videos
#     query       + the best 30 % of the images and half of the videos of each query, and the long videos' frames
#     second      the same once more, with that student as the teacher
#     best        the second round with the best 20 % of the images and cross-dataset mixup: what choose.sh chose
. "$(dirname "$0")/common.sh"
clips=$1 seed=$2 study=${STUDY:-few} pool=${POOL:-$data/train.features.jsonl} val=${VAL:-}
work=$OUT/runs/$study/k$clips-s$seed
mkdir -p "$work"/{paper,first,second}
target=$work/target.jsonl

draw "$target" "$pool" "$clips" "$seed"
teach "$work/teacher.pth" "$target" "$seed"
judge "$work/teacher.pth" "$study" target "$clips" "$seed" $val

learn "$work/unfiltered.pth" "$target" "$seed" --auxiliary-label query --auxiliary "$data/image.features.jsonl" \
    --auxiliary "$data/video.features.jsonl" --auxiliary "$data/long.features.jsonl" --ratio 2:2:1:1
judge "$work/unfiltered.pth" "$study" unfiltered "$clips" "$seed" $val

look "$work/first" "$work/teacher.pth"
for source in image video; do
    omni filter --keep-fraction 0.3 -q "$work/first/$source.scored.jsonl" -o "$work/paper/$source.jsonl"
done
learn "$work/paper.pth" "$target" "$seed" --auxiliary "$work/paper/image.jsonl" --auxiliary "$work/paper/video.jsonl" \
    --ratio 2:2:1
judge "$work/paper.pth" "$study" paper "$clips" "$seed" $val

learn "$work/query.pth" "$target" "$seed" $(everything "$work/first")
judge "$work/query.pth" "$study" query "$clips" "$seed" $val
LONG_THRESHOLD=0.5 look "$work/second" "$work/query.pth"
learn "$work/second.pth" "$target" "$seed" $(everything "$work/second")
judge "$work/second.pth" "$study" second "$clips" "$seed" $val
mkdir -p "$work/best"
keep_by_query "$work/best/image.jsonl" "$work/second/image.scored.jsonl" 0.2
cp "$work/second/video.jsonl" "$work/second/long.jsonl" "$work/best"
learn "$work/best.pth" "$target" "$seed" --mixup cross $(everything "$work/best")
judge "$work/best.pth" "$study" best "$clips" "$seed" $val
[ -n "${KEEP_MODELS:-}" ] || rm "$work"/*.pth
