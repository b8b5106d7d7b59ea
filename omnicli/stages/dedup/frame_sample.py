"""A sample of frames drawn by key: the same frames in the same order, whatever order the records came in."""

import numpy as np

from omnicli.rng import keyed_rng


class KeyedSample:
    """The frames of highest keyed priority among all that are offered, in bounded memory.

    Args:
        size: frames kept; memory holds twice as many.
        seed: of the draw.
        stage: whose draw it is.
    """

    def __init__(self, size: int, *, seed: int, stage: str) -> None:
        self._size = size
        self._seed = seed
        self._stage = stage
        self._priorities: list[np.ndarray] = []  # (F,) each
        self._frames: list[np.ndarray] = []  # (F, D) each
        self._positions: list[np.ndarray] = []  # (F, 2) each: owner, frame
        self._num_held = 0

    def offer(self, record_id: str, owner: int, frames: np.ndarray) -> None:
        """Offer the frames (F, D) of one record; ``owner`` is the caller's number for it."""
        self._priorities.append(keyed_rng(self._seed, self._stage, record_id).random(len(frames)))
        self._frames.append(frames)
        self._positions.append(np.stack([np.full(len(frames), owner), np.arange(len(frames))], axis=1))
        self._num_held += len(frames)
        if self._num_held > 2 * self._size:
            self._keep_best()

    def take(self, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The best (S, D) frames and their (S, 2) positions (owner, frame), highest priority first.

        Args:
            size: at most so many; default all that were kept.
        """
        self._keep_best()
        if not self._frames:
            raise ValueError("no frame was offered")
        return self._frames[0][:size], self._positions[0][:size]

    def _keep_best(self) -> None:
        """Forget all but the best."""
        if not self._frames:
            return
        priorities = np.concatenate(self._priorities)
        best = np.argsort(-priorities, kind="stable")[: self._size]
        self._priorities = [priorities[best]]
        self._frames = [np.concatenate(self._frames)[best]]
        self._positions = [np.concatenate(self._positions)[best]]
        self._num_held = len(best)
