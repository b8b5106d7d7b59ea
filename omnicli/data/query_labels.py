"""Classes of the search queries of a record.

Of several queries of one record that name a class, one is drawn as its label, each with the same probability
(IG-65M Sec. 3.3: "randomly assigning one of the associated hashtags"), so a class named by two of three queries is
drawn twice as often as the other. Ours: a query that is given twice, in any spelling, counts once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omnicli.errors import InputError
from omnicli.rng import keyed_rng
from omnicli.streams.class_names import ClassIndex, normalise_class
from omnicli.streams.files.stored import read_file
from omnicli.streams.record import Record

MAX_SHOWN = 5


@dataclass(frozen=True)
class Queries:
    """The class of a record's query; of several, one is drawn, keyed by the record's id (IG-65M Sec. 3.3).

    Attributes:
        classes: of the teacher.
        query_map: class names by query.
        seed: of the draw.
        unknown: the first queries that named no class, with what ``query_map`` makes of them.
    """

    classes: ClassIndex
    query_map: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    unknown: dict[str, None] = field(default_factory=dict, compare=False)

    def find(self, record: Record) -> tuple[int, str] | None:
        """(class index, query) of the record; None if no query of it names a class."""
        found = self.find_all(record)
        if len(found) < 2:
            return found[0] if found else None
        rng = keyed_rng(self.seed, "filter", str(record.get("id")), 0, 0)
        return found[int(rng.integers(len(found)))]

    def find_all(self, record: Record) -> list[tuple[int, str]]:
        """(class index, query) of each query of the record that names a class; a class may occur twice."""
        queries = distinct_queries(record.get("query"), record.get("queries"))
        found = [(index, query) for query in queries if (index := self._class_of(query)) is not None]
        if not found and len(self.unknown) <= MAX_SHOWN:
            for query in queries:
                meant = _name_meant(query, self.query_map)
                self.unknown[query if meant == query else f"{query} (mapped to {meant})"] = None
        return found

    def advice(self) -> str:
        """What to do if no query names a class: the names that were compared, and what is missing or wrong."""
        compared = f"the classes are {_first_of(self.classes.names)}"
        if not self.unknown:
            return (
                "no record has a query: omni index writes it from the names of folders; give it the folder above these"
            )
        compared = f"the queries are {_first_of(list(self.unknown))}; {compared}"
        return f"{compared}; {'correct the file of --query-map' if self.query_map else 'give --query-map FILE'}"

    def _class_of(self, query: str) -> int | None:
        return self.classes.find(_name_meant(query, self.query_map))


@dataclass(frozen=True)
class QueryNames:
    """Class names of queries, as ``normalise_class`` spells them.

    Attributes:
        query_map: class names by query.
        classes: the allowed classes; None makes every query a class.
    """

    query_map: Mapping[str, str] = field(default_factory=dict)
    classes: ClassIndex | None = None

    def find_all(self, query: str | None, queries: Sequence[str] | None) -> list[str]:
        """The class name of each query that names a class; ``Queries`` draws from the same."""
        names = [_name_meant(text, self.query_map) for text in distinct_queries(query, queries)]
        is_known = self.classes.find if self.classes else normalise_class
        return [normalise_class(name) for name in names if is_known(name) is not None]


def distinct_queries(query: str | None, queries: Sequence[str] | None) -> list[str]:
    """The queries of a record, each once; ``queries`` takes precedence over ``query``.

    >>> distinct_queries(None, ["surfing", "Tai_Chi", "tai chi"])
    ['surfing', 'Tai_Chi']
    """
    found: dict[str, str] = {}
    for text in queries or (query,):
        if text and text.strip():
            found.setdefault(normalise_class(text), text)
    return list(found.values())


def _first_of(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_SHOWN]) + (", ..." if len(names) > MAX_SHOWN else "")


def _name_meant(query: str, query_map: Mapping[str, str]) -> str:
    return query_map.get(normalise_class(query), query)


def read_query_map(path: Path) -> dict[str, str]:
    """Class names by normalised query, from lines ``query<TAB>class name``.

    Raises:
        InputError: not UTF-8, a line without exactly one tab, or a query given twice.
    """
    query_map: dict[str, str] = {}
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start:,}; expected lines query<TAB>class name") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        query, tab, name = line.partition("\t")
        if not tab or "\t" in name or not query.strip() or not name.strip():
            raise InputError(f"{path}:{number}: expected query<TAB>class name, got {line!r}")
        if query_map.setdefault(normalise_class(query), name.strip()) != name.strip():
            raise InputError(f"{path}:{number}: query {query!r} is mapped twice")
    return query_map
