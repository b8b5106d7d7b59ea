"""Lines about what is about to go wrong, each with its remedy, from the counters of a run."""

from collections.abc import Mapping, Sequence

from omnicli.console import named
from omnicli.reasons import NO_CLASS

NO_QUERY = "index: no query"  # counts readable media without query or class
MIN_OF_QUERY = 10  # Ours: a query with fewer records says nothing
MAX_KEPT_SHARE = 0.05  # Ours: of a query of which hardly anything fits


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
    start = f"{count:,} of {counters['in']:,} records have no {what}"
    if counters["kept"] > (0 if labels else count):  # the folders below INPUT are right
        return [f"{start}: files beside the {what} folders, or samples of tars; rules by {what} reject them"]
    named = [name for name in inputs if name != "-"]
    above = folder_above(named[0]) if named else "FOLDER"
    return [
        f"{start}, because no folder below INPUT names one; if each {what} has a folder, give the folder above these: "
        f"omni index {option}{above}"
    ]


def scarce_queries(counters: Mapping[str, int]) -> list[str]:
    """Lines about queries of which hardly anything was kept, and about records without a query.

    Args:
        counters: of ``StageRun(by_query=True)``; without its keys there are no lines.
    """
    from omnicli.streams.stage_run import WITHOUT_QUERY

    totals = {key.removeprefix("query: "): count for key, count in counters.items() if key.startswith("query: ")}
    kept = {query: counters.get(f"kept query: {query}", 0) for query in totals}
    few = [query for query, count in totals.items() if count >= MIN_OF_QUERY and kept[query] <= MAX_KEPT_SHARE * count]
    lines = []
    if few:
        shown = named(
            f"{query} {kept[query]:,}/{totals[query]:,}" for query in sorted(few, key=lambda query: kept[query])
        )
        lines.append(
            f"hardly anything was kept of {len(few):,} of {len(totals):,} queries: {shown}; look at their records "
            "(--rejects, omni report), ask for them in other words, or label more clips for the teacher"
        )
    without, no_class = counters.get(WITHOUT_QUERY, 0), counters.get(f"rejected: {NO_CLASS}", 0)
    if without and no_class:
        lines.append(
            f"{without:,} of {counters['in']:,} records have no query, which the rule needs: omni index writes it from "
            "the names of the folders below its INPUT"
        )
    return lines
