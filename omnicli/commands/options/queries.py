"""Options of queries: which queries are written."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from omnicli.commands.options.groups import SELECTION
from omnicli.errors import UsageError
from omnicli.stages.queries import Query

DATE = ["%Y-%m-%d"]


@dataclass(frozen=True, kw_only=True)
class QueryOptions:
    """Which queries are written."""

    verbs: Annotated[
        Path | None,
        typer.Option("--verbs", metavar="FILE", help="Instead of class names: verbs, one per line, to combine with "
                     "--nouns. Each pair is a class (IG-Verb+Noun).", rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    nouns: Annotated[
        Path | None,
        typer.Option("--nouns", metavar="FILE", help="Nouns to combine with --verbs, one per line.",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    keep_labels: Annotated[
        int | None,
        typer.Option("--keep-labels", min=1, metavar="N", help="Only N of the classes, by hash of the name: those of a "
                     "smaller N are among those of a larger one.", show_default="all", rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    hashtags: Annotated[
        bool, typer.Option("--hashtags", help="Write hashtags instead of search queries.", rich_help_panel=SELECTION)
    ] = False  # fmt: skip
    max_tags: Annotated[
        int | None,
        typer.Option("--max-tags", min=1, metavar="N", help="At most N tags per class, those closest to its name.",
                     show_default="all", rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=DATE, metavar="YYYY-MM-DD", help="First day of the results.",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    before: Annotated[
        datetime | None,
        typer.Option("--before", formats=DATE, metavar="YYYY-MM-DD", help="Day after the last day of the results.",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    window_days: Annotated[
        int | None,
        typer.Option("--window-days", min=1, metavar="N", help="Repeat each query for every N days in between.",
                     show_default="one window", rich_help_panel=SELECTION),
    ] = None  # fmt: skip

    def check(self) -> None:
        """Raises UsageError: options without effect, or a window without both ends."""
        if (self.verbs is None) != (self.nouns is None):
            raise UsageError("--verbs and --nouns are combined: give both")
        if self.max_tags and not self.hashtags:
            raise UsageError("--max-tags needs --hashtags")
        if self.hashtags and (self.since or self.before or self.window_days):
            raise UsageError("--since, --before and --window-days are for search engines: remove --hashtags")
        if (self.since is None) != (self.before is None) or (self.window_days and self.since is None):
            raise UsageError("a window of days needs both --since and --before")
        if self.since and self.before and self.since >= self.before:
            raise UsageError(f"--since {self.since:%Y-%m-%d} is not before --before {self.before:%Y-%m-%d}")

    def names(self, source: Callable[[], str], seed: int) -> list[str]:
        """The class names: of the file that ``source`` names, or of all pairs; with --keep-labels so many of them.

        Raises:
            InputError: a file that is not one name per line.
            UsageError: --keep-labels is more than there are.
        """
        from omnicli.stages.queries import nested_subset, product_names
        from omnicli.streams.class_names import read_classes

        if self.verbs and self.nouns:
            names = product_names(read_classes(self.verbs), read_classes(self.nouns))
        else:
            names = read_classes(source())
        if self.keep_labels is None:
            return names
        if self.keep_labels > len(names):
            raise UsageError(f"--keep-labels {self.keep_labels:,}: there are {len(names):,} classes")
        return nested_subset(names, self.keep_labels, seed)

    def queries(self, names: list[str]) -> "tuple[list[Query], int]":
        """The queries of all classes, and the number of tags omitted because several classes share them."""
        from omnicli.stages.queries import date_windows, hashtag_queries, search_queries

        if self.hashtags:
            return hashtag_queries(names, max_tags=self.max_tags)
        first, end = (self.since.date(), self.before.date()) if self.since and self.before else (date.min, date.min)
        windows = date_windows(first, end, self.window_days or (end - first).days) if self.since else []
        return list(search_queries(names, windows)), 0
