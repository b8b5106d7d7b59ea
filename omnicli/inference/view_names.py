"""What a model was shown, in a few words: an accuracy means little without them."""

from collections.abc import Mapping
from typing import Any

from omnicli.inference.views import ViewOptions
from omnicli.models.loading import LoadedModel
from omnicli.streams.files.media_files import media_path
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import open_shard

CROPS = {"three": "3 crops", "ten": "10 crops", "full": "full frames"}


def view_of_media(model: LoadedModel, views: ViewOptions) -> str:
    """The views of media: "3 segments, bfloat16", "10 clips, 3 crops, float32".

    Ours: what is as in training (the centre crop, its size) is not said.
    """
    count, word = views.num_clips, "clip"
    if model.network.is_2d:
        count, word = views.num_segments or model.spec.num_segments, "segment"
    said = [f"{count} {word}{'s' * (count != 1)}"]
    if views.crops != "centre":
        said.append(CROPS[views.crops])
    if views.crop_size or views.short_side:
        said.append(f"{views.crop_size or model.spec.crop_size} of {views.short_side or model.spec.short_side} pixels")
    if views.fully_convolutional:
        said.append("fully convolutional")
    if views.generation != "1.x":
        said.append(f"frames of mmaction {views.generation}")
    return ", ".join([*said, str(model.precision).removeprefix("torch.")])


def view_of_features(attributes: Mapping[str, Any], *, is_2d: bool) -> str:
    """The views behind the rows of a shard: "features at 1 fps", "features of 10 clips".

    Args:
        attributes: of the shard, as ``omni features`` wrote them.
        is_2d: the backbone takes frames, not clips.
    """
    if is_2d:
        return f"features at {float(attributes.get('fps') or 1):g} fps"
    return f"features of {int(attributes.get('num_clips') or 10)} clips"


class SeenViews:
    """The views of the records that a model has scored.

    Args:
        model: that model.
        views: of media.
    """

    def __init__(self, model: LoadedModel, views: ViewOptions) -> None:
        self._is_2d, self._root = model.network.is_2d, views.root
        self._of_media = view_of_media(model, views)
        self._seen: dict[str, None] = {}
        self._of_shard: dict[str, str] = {}

    def note(self, record: Record) -> None:
        """Count the views of one record."""
        self._seen.setdefault(self.of(record))

    def of(self, record: Record) -> str:
        """The views of one record."""
        if record.get("media") != "features":
            return self._of_media
        path = media_path(record, self._root)
        if path not in self._of_shard:
            self._of_shard[path] = view_of_features(open_shard(path).attributes, is_2d=self._is_2d)
        return self._of_shard[path]

    def __str__(self) -> str:
        """All views: "features at 1 fps", or several with "and"."""
        return " and ".join(self._seen)
