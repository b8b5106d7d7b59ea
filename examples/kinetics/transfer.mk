# Fine-tune on UCF101 or HMDB51, three splits each (OmniSource Table 4): the same command with and without web data.
#
#     make -f transfer.mk DATASET=ucf101 DATA=/data/ucf101 INIT=out/k400-ours/student-3d.all.pth
#     make -f transfer.mk DATASET=hmdb51 DATA=/data/hmdb51 INIT=out/k400-ours/teacher-3d.pth
#     make -f transfer.mk DATASET=ucf101 DATA=/data/ucf101 MODEL=2d INIT=out/k400-ours/student-2d.all.pth
#
# DATA has UCF-101/ and ucfTrainTestlist/, or videos/ and testTrainMulti_7030_splits/, as both are distributed.

here := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
DATASET ?= ucf101
DATA ?= /data/$(DATASET)
INIT ?=
MODEL ?= 3d
SPLITS ?= 1 2 3
include $(here)gpus.mk
ifeq ($(INIT),)
$(error give INIT=FILE, a model trained on Kinetics: a teacher for the left column of Table 4, a student for the right)
endif
OUT ?= out/$(DATASET)/$(notdir $(basename $(INIT)))

ifeq ($(DATASET),ucf101)
ROOT := $(DATA)/UCF-101
lists := $(DATA)/ucfTrainTestlist
list_of_classes := $(lists)/classInd.txt
class_names := sed 's/^[0-9]* //; s/\r$$//' $(list_of_classes)
train_list = $(lists)/trainlist0$(1).txt
test_list = $(lists)/testlist0$(1).txt
else ifeq ($(DATASET),hmdb51)
ROOT := $(DATA)/videos
lists := $(DATA)/testTrainMulti_7030_splits
list_of_classes := $(lists)
class_names := ls $(lists) | sed -n 's/_test_split1\.txt$$//p'
train_list = $(wildcard $(lists)/*_test_split$(1).txt) --split train
test_list = $(wildcard $(lists)/*_test_split$(1).txt) --split test
else
$(error DATASET=$(DATASET): expected ucf101 or hmdb51)
endif

# 3D: the released configuration. 2D: none was released; Ours: the schedule of the 3D row for the TSN of the paper.
RECIPE_3d := slowonly-8x4-$(DATASET)
RECIPE_2d := tsn-r50-3seg --lr 0.001 --epochs 40 --milestones 15,30
TEST_3d := --num-clips 10 --crops three --short-side 256 --crop-size 256
TEST_2d := --num-segments 25 --crops ten --short-side 256 --crop-size 224
TRAIN_OPTIONS ?=

.PHONY: all
.SECONDARY:
.DELETE_ON_ERROR:
all: $(OUT)/mean.jsonl
	tail -n 1 $<

$(OUT)/classes.txt: $(list_of_classes)
	mkdir -p $(OUT)
	$(class_names) > $@
$(OUT)/train%.jsonl: $(OUT)/classes.txt
	$(OMNI) index --classes $< --root $(ROOT) $(call train_list,$*) -o $@
$(OUT)/test%.jsonl: $(OUT)/classes.txt
	$(OMNI) index --classes $< --root $(ROOT) $(call test_list,$*) -o $@
$(OUT)/model%.pth: $(OUT)/train%.jsonl
	$(TRAIN_ON) teacher-train --recipe $(RECIPE_$(MODEL)) $(TRAIN_OPTIONS) --init $(INIT) --classes $(OUT)/classes.txt --root $(ROOT) $< -o $@ > $(OUT)/model$*.metrics.jsonl
$(OUT)/split%.jsonl: $(OUT)/model%.pth $(OUT)/test%.jsonl
	$(OMNI) eval --checkpoint $< $(TEST_$(MODEL)) --root $(ROOT) $(OUT)/test$*.jsonl -o $@
$(OUT)/mean.jsonl: $(SPLITS:%=$(OUT)/split%.jsonl)
	$(OMNI) eval $(SPLITS:%=--mean-of $(OUT)/split%.jsonl) -o $@
