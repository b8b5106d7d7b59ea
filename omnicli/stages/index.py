"""Media files and annotation lists as records: the first stage of every pipe.

    in    records as the reader finds them: id, path, media, query
    out   the same, in the same order, with source, human labels and media facts as asked for

The reader has already separated media from web pages; here names become labels. Names take precedence over
integers: a label is written only where a classes file fixes the order, so that train and val cannot disagree.

Ours: all of it; the paper begins with data that is indexed already.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from omnicli.errors import InputError
from omnicli.media.record_map import Dropped, map_records
from omnicli.reasons import NO_CLASS
from omnicli.streams.class_map import ClassMap
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import OnDrop, Record

Measure = Callable[[Record], Mapping[str, Any]]
AHEAD_PER_WORKER = 8


def index_records(
    records: Iterable[Record],
    *,
    labels: bool = False,
    classes: ClassIndex | None = None,
    class_map: ClassMap | None = None,
    source: str | None = None,
    measure: Measure | None = None,
    workers: int = 1,
    on_drop: OnDrop,
) -> Iterator[Record]:
    """The records with source, labels and media facts.

    Args:
        records: as the reader gives them.
        labels: ``query``, the name of the folder, becomes ``class_name``; records without either are rejected.
        classes: gives ``label`` to names and names to labels, and the file's spelling to both.
        class_map: gives new classes to labels or names, before ``classes``; records of other classes are rejected.
        source: the crawl they come from; replaces what a record says.
        measure: media facts of one record; MediaError makes it a counted reject.
        workers: threads that call ``measure``.
        on_drop: called with "no class" or "unreadable: ...".

    Raises:
        InputError: a class that ``classes`` does not know, or a label that contradicts its name; names file and line.
    """
    label = partial(_label, labels=labels, classes=classes, class_map=class_map, source=source)
    labelled = map(label, records)
    if measure is None:
        return map_records(lambda record: record, labelled, workers=0, on_drop=on_drop)
    return map_records(
        lambda record: record.derive(**measure(record)),
        labelled,
        workers=workers,
        ahead=AHEAD_PER_WORKER,
        on_drop=on_drop,
    )


def _label(
    record: Record, *, labels: bool, classes: ClassIndex | None, class_map: ClassMap | None, source: str | None
) -> Record | Dropped:
    """The record with its source, class name and label."""
    made = record.derive() if source is None else record.derive(source=source)
    if labels:
        folder = made.pop("query", None)
        if made.get("class_name") is None and folder is not None:
            made["class_name"] = folder
        if made.get("class_name") is None and made.get("label") is None:
            return Dropped(record, NO_CLASS)
    if class_map is not None:
        mapped = class_map.apply(made)
        if mapped is None:
            return Dropped(record, NO_CLASS)
        made = mapped
    return made if classes is None else _resolve(made, classes)


def _resolve(record: Record, classes: ClassIndex) -> Record:
    """``label`` and ``class_name`` as the classes file has them; a record with neither stays. Raises InputError."""
    names, labels = record.get("class_name"), record.get("label")
    if names is None and labels is None:
        return record
    is_list = isinstance(names if names is not None else labels, list)
    given: list[int] | None = None if labels is None else labels if isinstance(labels, list) else [labels]
    if names is None:
        found = given or []
        for label in found:
            if not 0 <= label < len(classes):
                raise InputError(f"{record.where}: label {label} is outside the {len(classes)} classes (0-based)")
    else:
        found = [_find(name, classes, record.where) for name in (names if is_list else [names])]
        if given is not None and given != found:
            expected = found if is_list else found[0]
            raise InputError(
                f"{record.where}: label {labels} contradicts class {names!r}, label {expected} of the classes file"
            )
    spelled = [classes.names[label] for label in found]
    return record.derive(label=found if is_list else found[0], class_name=spelled if is_list else spelled[0])


def _find(name: str, classes: ClassIndex, where: str) -> int:
    label = classes.find(name)
    if label is None:
        nearest = ", ".join(classes.nearest(name))
        hint = f"; nearest: {nearest}" if nearest else ""
        raise InputError(f"{where}: class {name!r} is not in the classes file{hint}")
    return label
