# Youtube-car: 196 types of cars, untrimmed videos, Google images and YouTube videos (OmniSource Table 5).

DATA ?= /data/youtube-car
WEB ?= /data/car-web
LISTS ?= ours
CLASSES ?= $(DATA)/classes.txt
DIMENSIONS := 2d
RUNS ?= google videos all
SOURCES_all := google videos
RECIPE_2D ?= tsn-r50-3seg
TRAIN_2D ?= --num-segments 4
TEST_2D ?= --num-segments 25 --crops ten --short-side 256 --crop-size 224

INPUT_train := $(DATA)/train
INPUT_val := $(DATA)/test
INDEX_train := --labels
INDEX_val := --labels
INPUT_google := $(WEB)/google_images
INPUT_videos := $(WEB)/youtube_videos
# A 2D teacher filters the videos, too: their cars are seen in every frame.
TEACHER_videos := teacher-2d
POWER ?= 0.2
