# IG-65M: pre-train on hashtags, then fine-tune on the target, all weights and the classifier alone (Sec. 3.3 and 4).
#
#     make -f ig65m.mk TARGET=/data/k400 WEB=/data/instagram_videos
#     make -f ig65m.mk TARGET=/data/k400 PRETRAINED=r2plus1d_34_clip32_ig65m.pth         skip the pre-training
#
# TARGET has classes.txt, train/CLASS/ and val/CLASS/; WEB has one folder of videos per hashtag.

TARGET ?= /data/k400
WEB ?= /data/instagram_videos
OUT ?= out/ig65m
CLASSES ?= $(TARGET)/classes.txt
MODEL ?= r2plus1d-r34
FINE_TUNE ?= r2plus1d-34
PRE_TRAIN ?= ig65m-r2plus1d-34
PRETRAINED ?= $(OUT)/pretrained.pth
include $(dir $(abspath $(lastword $(MAKEFILE_LIST))))gpus.mk
TRAIN_OPTIONS ?=
TEST ?= --num-clips 10 --short-side 128 --crop-size 112

.PHONY: all
.SECONDARY:
.DELETE_ON_ERROR:
all: $(OUT)/full.eval.jsonl $(OUT)/fc-only.eval.jsonl
	tail -n 1 -q $^

$(OUT):
	mkdir -p $@
# Hashtags of every class (Sec. 3.1, A.1): what to crawl, and which class a hashtag stands for.
$(OUT)/tags.tsv: $(CLASSES) | $(OUT)
	$(OMNI) queries --hashtags --format map $< -o $@
$(OUT)/train.jsonl $(OUT)/val.jsonl: $(OUT)/%.jsonl: $(TARGET)/% | $(OUT)
	$(OMNI) index --labels --classes $(CLASSES) $< -o $@
$(OUT)/web.jsonl: $(WEB) | $(OUT)
	$(OMNI) index --source ig $< -o $@ --rejects $(OUT)/web.unreadable.jsonl
# Copies of target videos leave, with high recall (A.2); then square-root sampling, labels of 50 videos or more (3.1.1).
$(OUT)/web.unique.jsonl: $(OUT)/web.jsonl $(OUT)/val.jsonl
	$(OMNI) dedup --method census --target $(OUT)/val.jsonl $< -o $@ --rejects $(OUT)/web.duplicates.jsonl
$(OUT)/web.balanced.jsonl: $(OUT)/web.unique.jsonl $(OUT)/tags.tsv
	$(OMNI) balance --sqrt --min-per-class 50 --auxiliary-label query --query-map $(OUT)/tags.tsv $< -o $@ --rejects $(OUT)/web.scarce.jsonl
$(OUT)/pretrained.pth: $(OUT)/web.balanced.jsonl $(OUT)/tags.tsv
	$(TRAIN_ON) train --recipe $(PRE_TRAIN) --model $(MODEL) $(TRAIN_OPTIONS) --target $< --target-label query --query-map $(OUT)/tags.tsv -o $@ > $(OUT)/pretrained.metrics.jsonl

# All weights (A.4, Tables 8, 9 and 13), and L2 logistic regression on features (Sec. 4, "fc-only").
$(OUT)/full.pth: $(OUT)/train.jsonl $(PRETRAINED)
	$(TRAIN_ON) teacher-train --recipe $(FINE_TUNE) --model $(MODEL) --init $(PRETRAINED) $(TRAIN_OPTIONS) --classes $(CLASSES) $< -o $@ > $(OUT)/full.metrics.jsonl
$(OUT)/%.features.jsonl: $(OUT)/%.jsonl $(PRETRAINED)
	$(OMNI) features --checkpoint $(PRETRAINED) --num-clips 10 --shards $(OUT)/features/$* $< -o $@
$(OUT)/fc-only.pth: $(OUT)/train.features.jsonl
	$(OMNI) teacher-train --init $(PRETRAINED) --freeze backbone --classes $(CLASSES) $< -o $@ > $(OUT)/fc-only.metrics.jsonl
$(OUT)/full.eval.jsonl: $(OUT)/full.pth $(OUT)/val.jsonl
	$(OMNI) eval --checkpoint $< $(TEST) $(OUT)/val.jsonl -o $@
$(OUT)/fc-only.eval.jsonl: $(OUT)/fc-only.pth $(OUT)/val.features.jsonl
	$(OMNI) eval --checkpoint $< $(OUT)/val.features.jsonl -o $@
