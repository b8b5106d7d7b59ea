"""The forward pass of one model: from views of bytes to its outputs."""

from torch import Tensor

from omnicli.data.transforms import normalise
from omnicli.inference.batcher import Forward
from omnicli.inference.compiled import CompiledFunction
from omnicli.models.loading import LoadedModel
from omnicli.models.recogniser import ClipFunction


class ModelForward:
    """A function of normalised clips, applied to views with the model's normalisation and device.

    Args:
        function: maps clips (N, C, T, H, W) to outputs (N, D).
        model: its ``compiler`` is not used here.
    """

    def __init__(self, function: ClipFunction, model: LoadedModel) -> None:
        self._function = function
        self._model = model
        self._variants: dict[ClipFunction, ModelForward] = {}

    def __call__(self, views: Tensor) -> Tensor:
        """Outputs (B, D) of views (B, T, H, W, 3) uint8."""
        spec, model = self._model.spec, self._model
        clips = normalise(views, mean=spec.mean, std=spec.std, dtype=model.precision, device=model.device)
        return self._function(clips)

    def variants(self) -> "list[ModelForward]":
        """The pass itself, or those that its outputs of now may come from; the same objects at every call."""
        if not isinstance(self._function, CompiledFunction):
            return [self]
        functions = self._function.variants()
        return [self._variants.setdefault(one, ModelForward(one, self._model)) for one in functions]


def variants_of(forward: Forward) -> list[Forward]:
    """All passes that the outputs of this one may come from by now."""
    return [*forward.variants()] if isinstance(forward, ModelForward) else [forward]
