"""The records of the target with their classes: labels, or the queries that they were found by (IG-65M Sec. 3.3)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from omnicli.data.auxiliary import read_queried
from omnicli.data.example_table import ExampleTable
from omnicli.data.labels import infer_classes, one_class_each, read_examples, read_multi_label
from omnicli.data.query_labels import Queries, QueryNames
from omnicli.errors import InputError
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import OnDrop, Record

ADVICE = "omni index writes it from the names of folders; or learn from --target-label label"


@dataclass(frozen=True, kw_only=True)
class TargetReader:
    """How the target, and the validation set, are labelled.

    Attributes:
        by: ``label``, or ``query``, of whose classes one is drawn per visit.
        classes: names in the order of the labels; None takes them from the target.
        query_map: class names of other queries.
        multi_label: a record may have several labels, all of which are true.
    """

    by: Literal["label", "query"] = "label"
    classes: Sequence[str] | None = None
    query_map: Mapping[str, str] = field(default_factory=dict)
    multi_label: bool = False

    def class_names(self, records: Sequence[Record]) -> list[str]:
        """The classes: as given, else those of the target. Ours: of queries, the sorted names, each in one spelling.

        Raises:
            InputError: a record without a class; integers and names that do not fit.
        """
        if self.classes is not None:
            return list(self.classes)
        if self.by == "query":
            names = QueryNames(self.query_map)
            return sorted({name for record in records for name in names.find_all(*_queries_of(record))})
        single = (one for record in records for one in one_class_each(record)) if self.multi_label else records
        return infer_classes(single)

    def read(self, records: Iterable[Record], classes: Sequence[str], on_drop: OnDrop) -> ExampleTable:
        """Every record with its class or classes; those whose queries are none are dropped.

        Raises:
            InputError: a label that does not fit, or no query of any record is a class.
        """
        if self.by == "label":
            return (read_multi_label if self.multi_label else read_examples)(records, classes)
        queries = Queries(ClassIndex(list(classes)), self.query_map)
        examples = read_queried(records, queries, on_drop=on_drop, advice=ADVICE)
        if not examples and queries.unknown:
            raise InputError(f"none of the queries is one of the {len(classes)} classes; {queries.advice()}")
        return examples


def _queries_of(record: Record) -> tuple[str | None, list[str] | None]:
    return record.get("query"), record.get("queries")
