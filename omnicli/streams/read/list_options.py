"""How annotation lists are read."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from omnicli.errors import UsageError
from omnicli.streams.record import Record, normalise_id


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """How annotation lists are read; None and False stand for what the list itself says.

    Attributes:
        list_format: one of ``LIST_FORMATS``; None recognises it.
        split: "train", "val" or "test": only this part of lists that hold several (HMDB51, Kinetics).
        each_clip: of raw videos, one record per positive clip.
        raw_videos: a Kinetics list gives whole videos with the labelled interval, not trimmed clips.
        data_prefix: folder that the paths of the list start from; it becomes part of them.
    """

    list_format: str | None = None
    split: str | None = None
    each_clip: bool = False
    raw_videos: bool = False
    data_prefix: str | None = None

    def refuse_for(self, name: str) -> None:
        """Raise UsageError if an option is given that only lists have; ``name`` is another input."""
        given = {"--split": self.split, "--each-clip": self.each_clip, "--raw-videos": self.raw_videos,
                 "--data-prefix": self.data_prefix}  # fmt: skip
        for option in (option for option, value in given.items() if value):
            raise UsageError(f"{option} is for annotation lists, and {name} is not one; remove it")

    def root_of_list(self, root: str | None) -> str | None:
        """The folder that paths of a list start from.

        >>> ListOptions(data_prefix="train").root_of_list("/data"), ListOptions().root_of_list("/data")
        ('/data/train', '/data')
        """
        return root if self.data_prefix is None else os.path.join(root or "", self.data_prefix)  # noqa: PTH118

    def placed(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield records of a list with ``data_prefix`` before their relative paths."""
        for record in records:
            path = record.get("path")
            if self.data_prefix is not None and path is not None:
                record["path"] = os.path.join(self.data_prefix, path)  # noqa: PTH118 (as given)
                record["id"] = normalise_id(record["path"])
                if record.get("parent") is not None:
                    record["parent"] = normalise_id(os.path.join(self.data_prefix, record["parent"]))  # noqa: PTH118
            yield record


NO_LIST_OPTIONS = ListOptions()
