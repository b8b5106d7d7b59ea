"""What people read: stderr. Progress, warnings, and one closing line whose numbers add up."""

import contextlib
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from omnicli.printable import printable

TERMINAL_TICK_SEC = 0.25
LOG_TICK_SEC = 30.0
SCARCE = 5  # Ours: a class with fewer records is named; a student cannot learn it from them
NUM_NAMED = 8  # classes or queries that one line names


class Console:
    """The voice of one command on stderr.

    Args:
        name: the subcommand; every line begins with it.
        quiet: say nothing but errors. Codecs are mute anyway (``media.codecs``), and stderr stays open for the message
            of a process that dies.
        verbose: also say what is read, loaded and written.
    """

    def __init__(self, name: str, *, quiet: bool = False, verbose: bool = False) -> None:
        self.name = name
        self.quiet = quiet
        self.verbose = verbose and not quiet
        if quiet:
            warnings.simplefilter("ignore")

    def say(self, text: str) -> None:
        """One line for people; nothing under ``-q``. Where stderr cannot take it, the work goes on."""
        if self.quiet:
            return
        with contextlib.suppress(OSError):
            print(printable(f"{self.name}: {text}"), file=sys.stderr, flush=True)  # noqa: T201

    def detail(self, text: str) -> None:
        """One line for the curious: ``-v``."""
        if self.verbose:
            self.say(text)

    @contextlib.contextmanager
    def progress(self, describe: Callable[[], str]) -> Iterator[None]:
        """Show ``describe()`` while the block runs: a live line on a terminal, else a log line every 30 s."""
        if self.quiet:
            yield
            return
        done = threading.Event()
        show = _live_line if sys.stderr.isatty() else _log_lines
        ticker = threading.Thread(target=show, args=(self, describe, done), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()


def closing_line(counters: Mapping[str, int], *, seconds: float, num_now: int) -> str:
    """The sum of a run: ``1,000 in = 231 kept + 762 rejected (low confidence 760, no class 2) + 7 unreadable, 81/s``.

    Args:
        counters: of a Flow.
        seconds: how long this process worked.
        num_now: records this process settled (fewer than ``in`` for a resumed run).

    >>> closing_line(Counter({"in": 3, "kept": 1, "out": 1, "rejected: low confidence": 2}), seconds=1.5, num_now=3)
    '3 in = 1 kept + 2 rejected (low confidence 2) + 0 unreadable, 2/s'
    """
    reasons = rejected_by_reason(counters)
    by_reason = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
    detail = f" ({by_reason})" if reasons else ""
    rate = num_now / seconds if seconds > 0 else 0.0
    records = f" ({counters['out']:,} records)" if counters.get("out", 0) != counters.get("kept", 0) else ""
    return (
        f"{counters.get('in', 0):,} in = {counters.get('kept', 0):,} kept{records} + {sum(reasons.values()):,} "
        f"rejected{detail} + {counters.get('unreadable', 0):,} unreadable, {rate:,.0f}/s"
    )


def rejected_by_reason(counters: Mapping[str, int]) -> dict[str, int]:
    """Counts of the reasons, most frequent first."""
    prefix = "rejected: "
    reasons = Counter({key.removeprefix(prefix): count for key, count in counters.items() if key.startswith(prefix)})
    return dict(reasons.most_common())


def scarce_classes(counts: Mapping[str, int], what: str, remedy: str) -> list[str]:
    """A line about classes with no or hardly any record; none if all have ``SCARCE`` or more.

    Args:
        counts: records of every class, 0 included.
        what: the records, as "kept records".
        remedy: what to do.

    >>> scarce_classes({"archery": 80, "tai chi": 0, "surfing": 3}, "kept records", "collect more")
    ['2 of 3 classes have fewer than 5 kept records, 1 none: tai chi 0, surfing 3; collect more']
    """
    scarce = [name for name, count in counts.items() if count < SCARCE]
    if not scarce:
        return []
    none = sum(counts[name] == 0 for name in scarce)
    shown = named(f"{name} {counts[name]:,}" for name in scarce)
    return [
        f"{len(scarce):,} of {len(counts):,} classes have fewer than {SCARCE} {what}, {none:,} none: {shown}; {remedy}"
    ]


def named(texts: Iterable[str]) -> str:
    """A few texts with commas, for a line that may have to name thousands."""
    shown = list(islice(texts, NUM_NAMED + 1))
    return ", ".join(shown[:NUM_NAMED]) + (", ..." if len(shown) > NUM_NAMED else "")


def _log_lines(console: Console, describe: Callable[[], str], done: threading.Event) -> None:
    while not done.wait(LOG_TICK_SEC):
        console.say(f"{time.strftime('%H:%M:%S')} {describe()}")


def _live_line(console: Console, describe: Callable[[], str], done: threading.Event) -> None:
    from rich.console import Console as RichConsole  # noqa: PLC0415 (0.1 s that pipelines need not pay)
    from rich.text import Text  # noqa: PLC0415

    rich = RichConsole(stderr=True, highlight=False)
    with rich.status(f"{console.name}: …") as status:
        while not done.wait(TERMINAL_TICK_SEC):
            status.update(Text(printable(f"{console.name}: {describe()}")))
