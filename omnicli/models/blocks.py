"""The blocks of a transformer: their order, their drop path, and their gradient checkpoints."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from omnicli.errors import UsageError

BLOCKS = {
    "MultiscaleBlock", "SwinTransformerBlock", "VideoMAELayer", "TimesformerLayer", "VivitLayer", "VJEPA2Layer",
    "Block", "ResPostBlock",
}  # fmt: skip # of torchvision, transformers and timm


class Checkpointed:
    """Put before a block's class, it keeps no activations of the block for the backward pass."""

    def forward(self, *inputs: Any) -> Any:
        """As the block's."""
        forward = super().forward  # type: ignore[misc]
        if not (torch.is_grad_enabled() and self.training):  # type: ignore[attr-defined]
            return forward(*inputs)
        return checkpoint(forward, *inputs, use_reentrant=False)


def find_blocks(backbone: nn.Module) -> dict[str, nn.Module]:
    """Names and blocks, from the input to the output; empty for convolutional models."""
    return {name: module for name, module in backbone.named_modules() if type(module).__name__ in BLOCKS}


def layer_numbers(backbone: nn.Module) -> dict[str, int]:
    """For every parameter, 0 before the first block, i in block i (from 1), and one more than the last after it."""
    blocks = {name: number for number, name in enumerate(find_blocks(backbone), start=1)}
    numbers, reached = {}, 0
    for name, _ in backbone.named_parameters():
        inside = next((number for block, number in blocks.items() if name.startswith(f"{block}.")), None)
        if inside is None and reached == len(blocks):
            inside = len(blocks) + 1
        numbers[name] = inside if inside is not None else reached
        reached = max(reached, min(numbers[name], len(blocks)))
    return numbers


def set_drop_path(backbone: nn.Module, rate: float, *, name: str) -> None:
    """Let samples skip blocks in training, more of them in later blocks. Raises UsageError: the model cannot."""
    blocks = list(find_blocks(backbone).values())
    count = 0
    for number, block in enumerate(blocks):
        share = rate * number / max(len(blocks) - 1, 1)
        for module in block.modules():
            for attribute in ("p", "drop_prob"):
                if type(module).__name__.endswith(("StochasticDepth", "DropPath")) and hasattr(module, attribute):
                    setattr(module, attribute, share)
                    count += 1
    if not count:
        raise UsageError(f"--drop-path: {name} has no stochastic depth; remove it")


def checkpoint_gradients(backbone: nn.Module, *, name: str) -> None:
    """Compute the blocks again in the backward pass. Raises UsageError: the model has no such blocks."""
    blocks = find_blocks(backbone)
    if not blocks:
        raise UsageError(f"--gradient-checkpointing: {name} is not a transformer whose blocks omni knows; remove it")
    for block in blocks.values():
        if hasattr(block, "gradient_checkpointing"):  # transformers has its own switch
            block.gradient_checkpointing = True  # type: ignore[assignment]
            block._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)  # type: ignore[assignment]
        else:
            block.__class__ = type(type(block).__name__, (Checkpointed, type(block)), {})
