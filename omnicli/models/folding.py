"""Batch-norms folded into convolutions: the same function in about three quarters of the time on a CPU."""

import contextlib
import copy
from collections import Counter

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
NORMS = nn.modules.batchnorm._BatchNorm
SMALL_SIDE = 96  # Ours: pixels
TOLERANCE = 1e-3  # relative to the largest output; rounding gives 1e-6, a wrong pair gives 1


def fold_by_shape(backbone: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """``fold_batch_norms`` by random numbers; of frames by a small one, if the backbone takes it, in less time.

    Args:
        backbone: as ``model`` there.
        shape: of its input: (1, C, H, W), or (1, C, T, H, W) which is taken as it is.
    """
    if len(shape) == 4 and min(shape[2:]) > SMALL_SIDE:
        with contextlib.suppress(Exception):  # whatever a backbone raises at another size
            return fold_batch_norms(backbone, _random((*shape[:2], SMALL_SIDE, SMALL_SIDE)))
    return fold_batch_norms(backbone, _random(shape))


def _random(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def fold_batch_norms(model: nn.Module, example: Tensor) -> nn.Module:
    """A copy whose batch-norms are folded into the convolutions before them, for inference in float32.

    Pairs of convolution and batch-norm are found by running ``example``, so any architecture works. The outputs before
    and after are compared.

    Args:
        model: in ``eval`` mode, float32; does not change.
        example: input of ``model``, any batch size.

    Returns:
        The folded copy; ``model`` itself if nothing can be folded or the outputs would differ.
    """
    if not any(isinstance(module, NORMS) for module in model.modules()):
        return model
    folded = copy.deepcopy(model)
    before, pairs = _find_pairs(folded, example)
    names = {norm: name for name, norm in folded.named_modules() if isinstance(norm, NORMS)}
    for norm, convolution in pairs.items():
        _fold(norm, convolution)
        _replace(folded, names[norm], _activation_of(norm))
    after = folded(example)
    is_same = (after - before).abs().max() <= TOLERANCE * before.abs().max()
    return folded if pairs and is_same else model


def _find_pairs(model: nn.Module, example: Tensor) -> tuple[Tensor, dict[NORMS, nn.Conv2d | nn.Conv3d]]:
    """The output, and for each norm the convolution that computed its input; both must have run exactly once."""
    made_by: dict[int, nn.Conv2d | nn.Conv3d] = {}
    alive: list[Tensor] = []  # a new tensor could reuse the id of a freed one
    readers: dict[NORMS, nn.Conv2d | nn.Conv3d] = {}
    runs: Counter[nn.Module] = Counter()

    def after_convolution(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        runs[module] += 1
        made_by[id(output)] = module  # type: ignore[assignment]
        alive.append(output)

    def before_norm(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        runs[module] += 1
        convolution = made_by.get(id(inputs[0]))
        if convolution is not None:
            readers[module] = convolution  # type: ignore[index]

    handles = [
        module.register_forward_hook(after_convolution)
        if isinstance(module, CONVOLUTIONS)
        else module.register_forward_pre_hook(before_norm)
        for module in model.modules()
        if isinstance(module, (*CONVOLUTIONS, NORMS))
    ]
    try:
        output: Tensor = model(example)
    finally:
        for handle in handles:
            handle.remove()
    shared = Counter(readers.values())
    return output, {
        norm: convolution
        for norm, convolution in readers.items()
        if runs[norm] == runs[convolution] == shared[convolution] == 1 and norm.track_running_stats
    }


def _fold(norm: NORMS, convolution: nn.Conv2d | nn.Conv3d) -> None:
    """W' = W γ / sqrt(σ² + ε), b' = (b - μ) γ / sqrt(σ² + ε) + β."""
    if norm.running_mean is None or norm.running_var is None:
        return
    gain = torch.rsqrt(norm.running_var.double() + norm.eps)  # (C,)
    if norm.affine:
        gain = gain * norm.weight.double()
    bias = -norm.running_mean.double() if convolution.bias is None else convolution.bias.double() - norm.running_mean
    bias = bias * gain + (norm.bias.double() if norm.affine else 0.0)
    weight = convolution.weight
    weight.copy_(weight.double() * gain.view(-1, *[1] * (weight.dim() - 1)))
    convolution.bias = nn.Parameter(bias.to(weight.dtype), requires_grad=False)


def _activation_of(norm: NORMS) -> nn.Module:
    """The activation that timm's norms include, or the identity."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
