# MiniKinetics-200 and the web data released with OmniSource (2.9 TB), unpacked into one folder.
# The only published numbers that can still be checked: the crawls of the paper itself are gone.
#
#   LISTS=released    records that the authors' teachers kept (the shortest way to 77.4 -> 81.3 and 78.6 -> 82.9)
#   LISTS=ours        the whole crawl, de-duplicated and filtered here by our teachers

DATA ?= /data/OmniSource
ROOT := --root $(DATA)
OFFERED := released ours
LISTS ?= released
lists := $(DATA)/annotations
CLASSES ?= $(lists)/k200_actions.txt
RECIPE_2D ?= minikinetics-tsn-8seg
RECIPE_3D ?= minikinetics-slowonly-8x8
TEST_2D ?= --num-segments 25 --crops three --short-side 256 --crop-size 256
TEST_3D ?= --num-clips 10 --crops three --short-side 256 --crop-size 256

INPUT_train := $(lists)/kinetics_200/k200_train.txt
INPUT_val := $(lists)/kinetics_200/k200_val.txt
INDEX_train := --list-format mmaction --data-prefix kinetics_200_train
INDEX_val := --list-format mmaction --data-prefix kinetics_200_val

ifeq ($(LISTS),released)
INPUT_google := $(lists)/googleimage_200/tsn_8seg_googleimage_200_wodup.txt
INPUT_images := $(lists)/webimage_200/tsn_8seg_webimage_200_wodup.txt
INPUT_videos := $(lists)/insvideo_200/slowonly_8x8_insvideo_200_wodup.txt
INPUT_long := $(lists)/kinetics_raw_200/slowonly_8x8_kinetics_raw_200.json
INDEX_google := --list-format mmaction --data-prefix googleimage_200
INDEX_images := --list-format mmaction
INDEX_videos := --list-format mmaction --data-prefix insvideo_200
INDEX_long := --data-prefix kinetics_raw_200_train
LABEL_OF_WEB := label
# As released: images are shown still, and Google images alone are not balanced.
INFLATE ?= still
BALANCE_google ?= --power 1
else
INPUT_google := $(DATA)/googleimage_200
INPUT_images := $(DATA)/googleimage_200 $(DATA)/insimage_200
INPUT_videos := $(DATA)/insvideo_200
# Raw videos are stored as clips of ten seconds, DIR/part_0.mp4 and on. The released list gives their labels; our 3D teacher
# chooses among all of their clips, for both students.
INPUT_long := $(OUT)/raw_videos.json
INDEX_long := --each-clip --data-prefix kinetics_raw_200_train
LONG_FOR_2D := long.3d
EVERY_CLIP := import json, sys; videos = json.load(open(sys.argv[1])); print(json.dumps([{**video, \
    "positive_clip_inds": list(range(video["num_clips"]))} for video in videos]))
$(OUT)/raw_videos.json: $(lists)/kinetics_raw_200/slowonly_8x8_kinetics_raw_200.json | $(OUT)
	python3 -c '$(EVERY_CLIP)' $< > $@
endif
POWER ?= 0.5

# The released runner: an update per source batch; a TSN takes 64 images per GPU.
JOINT_2D_google ?= --joint alternate --ratio 1:1 --auxiliary-batch-size 64
JOINT_2D_images ?= $(JOINT_2D_google)
JOINT_2D_videos ?= --joint alternate --ratio 1:1
JOINT_2D_long ?= $(JOINT_2D_videos)
JOINT_2D_all ?= --joint alternate --ratio 2:1:1:1 --auxiliary-batch-size 64 --auxiliary-batch-size 12 --auxiliary-batch-size 12
JOINT_3D_one ?= --joint alternate --ratio 1:1
JOINT_3D_all ?= --joint alternate --ratio 2:1:1:1
