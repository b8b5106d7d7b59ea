"""Views scored again in float32, where bfloat16 is too coarse to decide.

A model in bfloat16 gives scores that are off by an error. Where a decision could be another one within this error, the
views are scored again by the same model in float32, in batches of the same size, so that these scores are those of a
run in float32.

Ours: how large the error is. It is measured once per model, on views made by a fixed seed: random textures, so that it
does not depend on the data, their order, or the cut of a stream into parts. The largest distance between two logits'
errors, relative to the largest distance of a logit from their mean, times ``MULTIPLE``, bounds the error of any view,
relative to its own logits: confident views have larger errors. No two log-odds of one view are further off than that.
Averages over views and models are off by no more than the worst of them.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from omnicli.inference.batcher import Batcher, Forward
from omnicli.inference.switching import Compiled
from omnicli.models.loading import LoadedModel

MULTIPLE = 2.0  # Ours: of the largest error that is measured; real images stayed within 1.6 times that error
NUM_VIEWS = {True: 8, False: 4}  # Ours: measured, of a 2D and of a 3D model
MAX_WAIT = 32  # Ours: batches that records wait for others to fill the batch in float32
CELLS = (2, 4, 8, 16, 32, 64)  # of the textures, per side

Key = TypeVar("Key")
Index = slice | np.ndarray


class ErrorBound:
    """How far the log-odds of scores may be off.

    Args:
        models: at work.
        forwards: of these models.
        exact: the same ones in float32.
    """

    def __init__(self, models: Sequence[LoadedModel], forwards: Sequence[Forward], exact: Sequence[Forward]) -> None:
        self._models = models
        self._pairs = list(zip(forwards, exact, strict=True))
        self._relative: list[float] = []

    def of(self, outputs: Sequence[np.ndarray], views: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each model (V,): the bound of the error of the log-odds from its logits (V, K) of these views."""
        if not self._relative:
            self._relative = [
                _relative_error(model, *pair, own.shape[1:])
                for model, pair, own in zip(self._models, self._pairs, views, strict=True)
            ]
        return [
            MULTIPLE * relative * _spread(logits, model) / model.temperature
            for logits, model, relative in zip(outputs, self._models, self._relative, strict=True)
        ]


def error_bounds(
    models: Sequence[LoadedModel], forwards: Sequence[Forward], compiled: Compiled[Key] | None, exact: Sequence[Forward]
) -> Callable[[Key], ErrorBound]:
    """The bound for a key: that of the models, or of their programs."""
    plain = ErrorBound(models, forwards, exact)
    if compiled is None:
        return lambda key: plain
    ours, holds = ErrorBound(models, compiled.forwards, exact), compiled.holds
    return lambda key: ours if holds(key) else plain


class Again(NamedTuple, Generic[Key]):
    """What is scored again.

    Attributes:
        choose: which of the views, from key, outputs and views; None for none of them.
        forwards: of the models in float32.
    """

    choose: Callable[[Key, Sequence[np.ndarray], Sequence[np.ndarray]], Index | None]
    forwards: Sequence[Forward]


class SecondPass(Generic[Key]):
    """Runs the models in float32 over chosen views, and keeps the order; others wait until a batch is full.

    Args:
        again: what is scored again.
        batch_size: views in one forward pass.
        keep_in_flight: as of ``Batcher``.
    """

    def __init__(self, again: Again[Key], batch_size: int, keep_in_flight: int) -> None:
        self._again = again
        self._max_views = MAX_WAIT * batch_size
        self._batchers = [Batcher(forward, batch_size, keep_in_flight) for forward in again.forwards]
        self._held: deque[tuple[Key, list[np.ndarray], Index | None]] = deque()
        self._num_views = 0  # that came since the first of the held

    def push(self, key: Key, outputs: list[np.ndarray], views: Sequence[np.ndarray]) -> None:
        """Take in the outputs (V, D) of one key, and its views (V, T, H, W, 3) uint8, of each model."""
        chosen = self._again.choose(key, outputs, views)
        if chosen is not None:
            for batcher, own in zip(self._batchers, views, strict=True):
                batcher.push(own[chosen])
        self._held.append((key, outputs, chosen))
        self._num_views += max(map(len, views))
        if self._num_views >= self._max_views:
            self.flush()

    def flush(self) -> None:
        """Run incomplete batches."""
        for batcher in self._batchers:
            batcher.flush()
        self._num_views = 0

    def ready(self) -> Iterator[tuple[Key, list[np.ndarray]]]:
        """The keys that wait for nothing, in order, with their outputs."""
        while self._held:
            key, outputs, chosen = self._held[0]
            if chosen is not None:
                if not all(batcher.is_next_done for batcher in self._batchers):
                    return
                for own, batcher in zip(outputs, self._batchers, strict=True):
                    own[chosen] = batcher.pop()
            self._held.popleft()
            yield key, outputs
        self._num_views = 0


def made_views(num_views: int, shape: Sequence[int]) -> Tensor:
    """Random textures (V, T, H, W, C) uint8 that move: the same ones for the same arguments.

    Args:
        num_views: V.
        shape: T, H, W, C.
    """
    num_frames, height, width, channels = shape
    rng = torch.Generator().manual_seed(0)
    views = []
    for _ in range(num_views):
        texture = torch.zeros(1, channels, height, width)
        for cells in CELLS:
            noise = torch.rand((1, channels, cells, cells), generator=rng) - 0.5
            amplitude = torch.rand((), generator=rng)
            texture += amplitude * functional.interpolate(noise, (height, width), mode="bilinear", align_corners=False)
        contrast, level = torch.rand((2,), generator=rng).tolist()
        pixels = (texture[0] - texture.mean()) / texture.std() * (20 + 60 * contrast) + 64 + 128 * level
        frame = pixels.clamp(0, 255).to(torch.uint8).permute(1, 2, 0)  # (H, W, C)
        views.append(torch.stack([frame.roll(4 * step, dims=1) for step in range(num_frames)]))
    return torch.stack(views)


def _relative_error(model: LoadedModel, forward: Forward, exact: Forward, shape: Sequence[int]) -> float:
    """The largest error of the logits of one view, relative to their spread."""
    if forward is exact:
        return 0.0
    views = made_views(NUM_VIEWS[model.network.is_2d], shape)
    with torch.inference_mode():
        coarse, fine = (run(views).float().cpu().numpy() for run in (forward, exact))
    errors = coarse - fine
    is_multi = model.spec.multi_label  # then each class has an error of its own
    distances = 2.0 * np.abs(errors).max(axis=1) if is_multi else np.ptp(errors, axis=1)
    return float((distances / np.maximum(_spread(fine, model), 1e-12)).max())


def _spread(logits: np.ndarray, model: LoadedModel) -> np.ndarray:
    """(V,) the largest distance of a logit (V, K) from their mean; of independent classes from 0."""
    centre = 0.0 if model.spec.multi_label else logits.mean(axis=1, keepdims=True)
    return np.abs(logits - centre).max(axis=1)  # type: ignore[no-any-return]
