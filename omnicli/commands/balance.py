"""Give every web record a weight, so that training draws small classes more often and large ones less.

    omni balance --power 0.2 kept.jsonl > aux.jsonl

    omni filter --teacher tsn.pth web.jsonl | omni balance --max-per-class 5000 > aux.jsonl
    omni balance --auxiliary-label query --min-per-class 50 --sqrt crawl.jsonl -o aux.jsonl
    omni balance --keep-tail 19000000 --sqrt ig.jsonl.zst -o ig-19m.jsonl.zst

Of N records in a class, --power draws the class as if it had N^p, --max-per-class as if it had no more than so many.
Weights have mean 1 over each source (the field source). Files are read twice and stdin waits in TMPDIR; memory grows
with the number of classes, by 8 bytes a record of a class that is cut under --keep-tail, of any under --resample. Run
again, it replaces the weights. It decides over the whole stream: cat the shards of earlier stages first. The class
histogram before and after is shown at the end, by tenths of the classes; -v shows each.
"""

from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options import shared as o
from omnicli.commands.options.checks import StreamOptions
from omnicli.commands.run.runner import StageSpec, digest_of, run_stage
from omnicli.errors import InputError, UsageError

if TYPE_CHECKING:
    from omnicli.streams.multipass.passes import MultipassStage

DEFAULT_POWER = 0.2  # Table 10
DECIDE = "How classes are balanced"


class AuxiliaryLabel(StrEnum):
    """Which class a record counts for."""

    pseudo_label = "pseudo_label"
    query = "query"
    label = "label"


def command(
    context: typer.Context,
    inputs: o.Inputs = None,
    power: Annotated[
        float | None,
        typer.Option("--power", min=0.0, max=1.0, metavar="P", help="Draw a class of N records in proportion to N^P: "
                     "0 makes classes equal, 1 leaves them.", show_default=str(DEFAULT_POWER), rich_help_panel=DECIDE),
    ] = None,
    sqrt: Annotated[
        bool, typer.Option("--sqrt", help="Instead: --power 0.5, square-root sampling.", rich_help_panel=DECIDE)
    ] = False,
    max_per_class: Annotated[
        int | None,
        typer.Option("--max-per-class", min=1, metavar="N", help="Instead: draw a class in proportion to its records, "
                     "but to no more than N.", rich_help_panel=DECIDE),
    ] = None,
    min_per_class: Annotated[
        int,
        typer.Option("--min-per-class", min=1, metavar="N", help="Reject the records of smaller classes.",
                     rich_help_panel=DECIDE),
    ] = 1,
    keep_tail: Annotated[
        int | None,
        typer.Option("--keep-tail", min=0, metavar="N", help="Keep N records in all: every one of small classes, large "
                     "ones cut to one size; by hash of the id. Of the classes of a record, the smallest decides.",
                     rich_help_panel=DECIDE),
    ] = None,
    resample: Annotated[
        int | None,
        typer.Option("--resample", min=0, metavar="N", help="Write a balanced list of N lines, records left out or "
                     "repeated, for who cannot draw by weight.", rich_help_panel=DECIDE),
    ] = None,
    auxiliary_label: Annotated[
        AuxiliaryLabel,
        typer.Option("--auxiliary-label", help="Which class a record counts for: the teacher's, the one searched for, "
                     "or a person's; as training will take it.", rich_help_panel=DECIDE),
    ] = AuxiliaryLabel.pseudo_label,
    query_map: Annotated[
        Path | None,
        typer.Option("--query-map", metavar="FILE", help="Lines `query<TAB>class name`, for queries that are no class "
                     "name, as training takes it.", rich_help_panel=DECIDE),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one a line: reject records whose queries mean "
                     "none of them. Without, a query that is not mapped is its own class.", rich_help_panel=DECIDE),
    ] = None,
    seed: o.Seed = 0,
    files_from: o.FilesFrom = None,
    null_separated: o.NullSeparated = False,
    root: o.Root = None,
    limit: o.Limit = None,
    out: o.Out = None,
    rejects: o.Rejects = None,
    summary: o.Summary = None,
    max_bad: o.MaxBad = None,
    dry_run: o.DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:  # fmt: skip
    _check_rule(context, {"--power": power is not None, "--sqrt": sqrt, "--max-per-class": max_per_class is not None},
                draws=keep_tail is not None or resample is not None)  # fmt: skip
    if (query_map or classes) and auxiliary_label is not AuxiliaryLabel.query:
        raise UsageError(f"{'--query-map' if query_map else '--classes'} goes with --auxiliary-label query")
    from omnicli.reasons import NO_CLASS
    from omnicli.stages.balance.weights import BalanceRule

    rule = BalanceRule(
        power=0.5 if sqrt else DEFAULT_POWER if power is None else power,
        max_per_class=max_per_class,
        min_per_class=min_per_class,
        keep_tail=keep_tail,
        resample=resample,
        seed=seed,
    )
    histogram: list[str] = []

    def make() -> "MultipassStage":
        from omnicli.data.query_labels import QueryNames, read_query_map
        from omnicli.stages.balance.stage import balance_records, histogram_lines
        from omnicli.streams.class_names import ClassIndex, read_classes

        query_names = QueryNames(
            read_query_map(query_map) if query_map else {}, ClassIndex(read_classes(classes)) if classes else None
        )
        return lambda passes: balance_records(
            passes,
            rule=rule,
            by=auxiliary_label.value,
            query_names=query_names,
            on_plan=lambda shares: histogram.extend(histogram_lines(shares, every_class=verbose)),
        )

    def check(counts: Mapping[str, int]) -> None:
        num_readable = counts.get("in", 0) - counts.get("unreadable", 0)
        if num_readable > 0 and counts.get(f"rejected: {NO_CLASS}", 0) == num_readable:
            raise InputError(f"none of {num_readable:,} records has {_remedy(auxiliary_label, classes)}")

    run = StageSpec(
        name="balance",
        make=make,
        in_passes=True,
        options={
            **asdict(rule),
            "auxiliary_label": auxiliary_label.value,
            "query_map": digest_of(query_map, InputError) if query_map else None,
            "classes": digest_of(classes, InputError) if classes else None,
        },
        whole_stream="balance",
        check=check,
        closing=lambda counts: histogram,
    )
    run_stage(run, StreamOptions(
        inputs=inputs, files_from=files_from, null_separated=null_separated, root=root, limit=limit,
        out=out, rejects=rejects, summary=summary, max_bad=max_bad,
        dry_run=dry_run, quiet=quiet, verbose=verbose,
    ))  # fmt: skip


def _check_rule(context: typer.Context, given: Mapping[str, bool], *, draws: bool) -> None:
    """One way to balance, and a seed only where something is drawn. Raises UsageError."""
    chosen = [name for name, is_given in given.items() if is_given]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} balance in different ways: give one")
    seed_source = context.get_parameter_source("seed")
    if not draws and seed_source is not None and seed_source.name == "COMMANDLINE":
        raise UsageError("--seed goes with --keep-tail or --resample: weights are not drawn")


def _remedy(label: AuxiliaryLabel, classes: Path | None) -> str:
    """What no record has, and what to do."""
    if classes:
        return f"a query that names a class of {classes}; compare them, or give --query-map"
    others = ", ".join(other for other in AuxiliaryLabel if other != label)
    return f"a {label}; give --auxiliary-label ({others}) or run filter first"
