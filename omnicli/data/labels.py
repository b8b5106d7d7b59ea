"""Labelled records to examples; every label is checked before training."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from omnicli.data.dataloader import Example
from omnicli.data.example_table import ExampleTable, table_of
from omnicli.errors import InputError
from omnicli.streams.class_names import ClassIndex, normalise_class
from omnicli.streams.record import Record

ONE_CLASS = "expected one per record; omni train --multi-label takes several"


def class_name_of(record: Record) -> str | None:
    """The class name of a record; for a file found in a folder, the name of its folder, as in ``index --labels``.

    ``query`` of a record that was read from a list is a search query, not a label.
    """
    name = record.get("class_name")
    if isinstance(name, list):
        raise InputError(f"{record.where}: {len(name)} class names; {ONE_CLASS}")
    if name is None and record.get("label") is None and not record.line:
        name = record.get("query")
    return name


def read_examples(records: Iterable[Record], classes: Sequence[str]) -> ExampleTable:
    """Every record with its label in ``classes``; a name takes precedence over an integer.

    Raises:
        InputError: a record without a label, of an unknown class, with an integer outside [0, K), or whose name and
            integer disagree; names FILE:LINE.
    """
    index = ClassIndex(classes)
    return table_of(records, lambda record: (label_of(record, index),))


def labels_of(record: Record, index: ClassIndex) -> tuple[int, ...]:
    """All classes of a record with several labels, each once; see ``read_examples``."""
    if [] in (record.get("label"), record.get("class_name")):
        raise InputError(f"{record.where}: an empty list of labels; each record needs one at least")
    return tuple(dict.fromkeys(label_of(single, index) for single in one_class_each(record)))


def infer_classes(records: Iterable[Record]) -> list[str]:
    """The class names of labelled records, in the order of their integers if they have both, else sorted.

    Spellings of one name, as ``normalise_class`` compares them, are one class; the first one names it.

    Raises:
        InputError: a record without a class name; a name with two integers or an integer with two names; integers that
            do not run from 0 to K - 1.
    """
    names: dict[int, str] = {}
    labels: dict[str, tuple[int | None, Record]] = {}
    spelled: dict[str, str] = {}  # the first spelling by what all have in common
    for record in records:
        name, label = class_name_of(record), _integer_of(record)
        if name is None:
            if label is None:
                raise _without_label(record)
            raise InputError(
                f"{record.where}: label {label} but no class_name; give --classes FILE, one name per line, or name the "
                "classes"
            )
        name = spelled.setdefault(normalise_class(name), name)
        first, at = labels.setdefault(name, (label, record))
        if first != label or (label is not None and names.setdefault(label, name) != name):
            other = f"{name!r} is {_shown(first)}" if first != label else f"{label} is {names[label or 0]!r}"
            raise InputError(
                f"{record.where}: class {name!r} with {_shown(label)}, but {other} elsewhere (such as {at.where})"
            )
    if not names:
        return sorted(labels)
    if sorted(names) != list(range(len(names))):
        gap = next(label for label in range(len(names)) if label not in names)
        raise InputError(
            f"labels run to {max(names)} but no record has label {gap}; give --classes FILE, one name per line"
        )
    return [names[label] for label in range(len(names))]


def check_every_class_has_a_clip(examples: Sequence[Example], classes: Sequence[str]) -> None:
    """Check that every class has an example.

    Raises:
        InputError: names the classes without one.
    """
    seen = {label for example in examples for label in (example.label, *example.others)}
    empty = [name for label, name in enumerate(classes) if label not in seen]
    if empty:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        raise InputError(
            f"no readable clip of class {', '.join(map(repr, empty[:5]))}{more}; every class needs one: add a clip, or "
            "take the class out of --classes"
        )


def one_class_each(record: Record) -> list[Record]:
    """Copies of a record with one of its classes each, for training with ``--multi-label``.

    Raises:
        InputError: not as many names as integers; names FILE:LINE.
    """
    names, labels = (_as_list(record.get(field)) for field in ("class_name", "label"))
    if not names or not labels:
        made = [record.derive(class_name=name) for name in names] + [record.derive(label=label) for label in labels]
        return made or [record]
    if len(names) != len(labels):
        raise InputError(f"{record.where}: {len(names)} class names, but {len(labels)} labels")
    return [record.derive(class_name=name, label=label) for name, label in zip(names, labels, strict=True)]


def read_multi_label(records: Iterable[Record], classes: Sequence[str]) -> ExampleTable:
    """Every record with all of its labels; see ``read_examples``."""
    index = ClassIndex(classes)
    return table_of(records, lambda record: labels_of(record, index))


def class_probabilities(examples: Sequence[Example], num_classes: int, *, multi_label: bool = False) -> Tensor:
    """(N, K) float32: the shares of soft labels, else 1 at the label; with ``multi_label``, 1 at each label."""
    wanted = torch.zeros(len(examples), num_classes)
    for row, example in enumerate(examples):
        for label, share in example.scores or [(example.label, 1.0)]:
            wanted[row, label] = share
        if multi_label:
            wanted[row, list(example.others)] = 1.0
    return wanted


def _as_list(value: object) -> list[object]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def label_of(record: Record, index: ClassIndex) -> int:
    """The class of a record; see ``read_examples``."""
    name, label = class_name_of(record), _integer_of(record)
    if label is not None and not 0 <= label < len(index):
        raise InputError(f"{record.where}: label {label} is outside [0, {len(index)})")
    if name is None:
        if label is None:
            raise _without_label(record)
        return label
    found = index.find(name)
    if found is None:
        near = index.nearest(name)
        hint = f"; near: {', '.join(near)}" if near else f"; the classes are {', '.join(index.names[:5])} ..."
        raise InputError(f"{record.where}: class {name!r} is not among the {len(index)} classes{hint}")
    if label is not None and label != found:
        raise InputError(
            f"{record.where}: label {label} is {index.names[label]!r}, but class_name is {name!r}, label {found}"
        )
    return found


def _without_label(record: Record) -> InputError:
    """The error for a record without a class: a query is none, unless the user says so."""
    queries = record.get("query") or record.get("queries")
    remedy = "name its class, or give a folder per class"
    if queries:
        remedy = f"its query {queries!r} is not a label; if it is the class, run omni index with --labels"
    return InputError(f"{record.where}: no field 'class_name' or 'label'; {remedy}; has {', '.join(sorted(record))}")


def _integer_of(record: Record) -> int | None:
    label = record.get("label")
    if isinstance(label, list):
        raise InputError(f"{record.where}: {len(label)} labels; {ONE_CLASS}")
    return label


def _shown(label: int | None) -> str:
    return "no label" if label is None else f"label {label}"
