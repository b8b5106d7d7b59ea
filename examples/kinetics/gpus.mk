# The GPUs of this machine, and what starts a training on all of them; included by the other files.

OMNI ?= omni
GPUS ?= $(or $(filter-out 0,$(shell nvidia-smi --list-gpus 2> /dev/null | wc -l)),1)
TRAIN_ON ?= $(if $(filter 1,$(GPUS)),$(OMNI),torchrun --standalone --nproc-per-node $(GPUS) -m omnicli)
