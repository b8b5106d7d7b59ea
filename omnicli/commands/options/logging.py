"""Options for what a command reports."""

from dataclasses import dataclass
from typing import Annotated

import typer

from omnicli.commands.options.groups import LOGGING, RARE
from omnicli.console import Console

DryRun = Annotated[
    bool, typer.Option("-n", "--dry-run", help="Print the resolved options as JSON and exit.", rich_help_panel=LOGGING)
]


@dataclass(frozen=True, kw_only=True)
class LoggingOptions:
    """What a command reports on stderr."""

    dry_run: DryRun = False
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print errors only.", rich_help_panel=LOGGING), RARE
    ] = False  # fmt: skip
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Print more details.", rich_help_panel=LOGGING), RARE
    ] = False  # fmt: skip

    def console(self, name: str) -> Console:
        """The command's output to stderr."""
        return Console(name, quiet=self.quiet, verbose=self.verbose)
