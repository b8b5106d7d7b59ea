"""Lines about what is about to go wrong, each with its remedy, from the counters of a run."""

from collections.abc import Mapping, Sequence

from omnicli.reasons import NO_CLASS

NO_QUERY = "index: no query"  # counts readable media without query or class


def count_without_query(record: Mapping[str, object], counters: dict[str, int]) -> None:
    """Count a record that was made from a file and has neither query nor class: the ``observe`` of index."""
    if not getattr(record, "line", 0) and not any(record.get(name) for name in ("query", "queries", "class_name")):
        counters[NO_QUERY] += record.get("label") is None


def lines_without_query(counters: Mapping[str, int], *, inputs: Sequence[str], labels: bool) -> list[str]:
    """The line about media whose folder gives no query, or under ``--labels`` no class; none if all have one."""
    from omnicli.streams.read.input_queries import folder_above

    what, option = ("class", "--labels ") if labels else ("query", "")
    count = counters.get(f"rejected: {NO_CLASS}" if labels else NO_QUERY, 0)
    if not count:
        return []
    named = [name for name in inputs if name != "-"]
    above = folder_above(named[0]) if named else "FOLDER"
    return [
        f"{count:,} of {counters['in']:,} records have no {what}, because no folder below INPUT names one; if each "
        f"{what} has a folder, give the folder above these: omni index {option}{above}"
    ]
