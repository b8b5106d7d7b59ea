# UCF101 split 1 and Google images: the RGB stream of a two-stream TSN (OmniSource Table 6).

DATA ?= /data/ucf101
WEB ?= /data/ucf101-web
LISTS ?= ours
CLASSES ?= $(DATA)/classes.txt
DIMENSIONS := 2d
RUNS ?= google
SOURCES_all := google
RECIPE_2D ?= tsn-r50-3seg
TRAIN_2D ?= --model tsn-bninception
TEST_2D ?= --num-segments 25 --crops ten --short-side 256 --crop-size 224

INPUT_train := $(DATA)/ucfTrainTestlist/trainlist01.txt
INPUT_val := $(DATA)/ucfTrainTestlist/testlist01.txt
ROOT := --root $(DATA)/UCF-101
INPUT_google := $(WEB)/google_images
POWER ?= 0.2
