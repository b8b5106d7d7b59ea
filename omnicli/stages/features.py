"""Features of a backbone (OmniSource Sec. 3.3: frame-level features; also input of fc-only training).

    in    records: images, videos, folders of frames
    out   the same records in the same order, each with the arrays `features` (F, D) float16 and `times` (F,) seconds

Paper: pooled features of an ImageNet ResNet-50, of each frame.
Ours: videos at 1 frame a second unless `--fps` says otherwise; float16 on disk, and every later verdict is taken on the
rounded values.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from omnicli.inference.protocols import ExtractFeatures
from omnicli.inference.scorer import half_precision
from omnicli.streams.record import OnDrop, Record


def feature_records(records: Iterable[Record], *, extract: ExtractFeatures, on_drop: OnDrop) -> Iterator[Record]:
    """Attach features to every record that can be read.

    Args:
        records: media.
        extract: ``inference.scorer.extract_features`` with its model.
        on_drop: takes what cannot be read.

    Yields:
        Records whose ``arrays`` hold ``features`` and ``times``; ``num_frames`` is left alone.

    Raises:
        ModelError: a feature is not finite, or too large for float16.
    """
    for record, features, times in extract(records, on_drop=on_drop):
        made = record.derive()
        made.arrays = {"features": half_precision(features, record.where), "times": times.astype(np.float64)}
        yield made
