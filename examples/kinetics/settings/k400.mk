# Kinetics-400 and a crawl of your own (OmniSource Sec. 4, Tables 2 and 3). Queries for the crawl: make queries

DATA ?= /data/k400
WEB ?= /data/web
LISTS ?= ours
CLASSES ?= $(DATA)/classes.txt
RECIPE_2D ?= tsn-r50-3seg
RECIPE_3D ?= slowonly-r50-4x16
TEST_2D ?= --num-segments 25 --crops ten --short-side 256 --crop-size 224
TEST_3D ?= --num-clips 10 --crops three --short-side 256 --crop-size 256

INPUT_train := $(DATA)/train
INPUT_val := $(DATA)/val
INDEX_train := --labels
INDEX_val := --labels
INPUT_google := $(WEB)/google_images
INPUT_images := $(WEB)/google_images $(WEB)/instagram_images
INPUT_videos := $(WEB)/instagram_videos
# K400-untr: the raw videos without their labelled ten seconds (Sec. 4.1); labels come from the list of Kinetics
INPUT_long := $(DATA)/train.csv
INDEX_long := --raw-videos --classes $(CLASSES) --data-prefix $(DATA)/raw
SEGMENT := --cut-labelled
POWER ?= 0.2
JOINT_2D_all ?= --ratio 2:1:1:1
JOINT_3D_all ?= --ratio 2:1:1:1
