"""Weight web records by class, so that training draws small classes more often and large ones less.

    omni balance --power 0.2 kept.jsonl > aux.jsonl

    omni filter --teacher tsn.pth web.jsonl | omni balance --max-per-class 5000 > aux.jsonl
    omni balance --auxiliary-label query --min-per-class 50 --sqrt crawl.jsonl -o aux.jsonl
    omni balance --keep-tail 19000000 --sqrt ig.jsonl.zst -o ig-19m.jsonl.zst

With N records in a class, --power draws the class as if it had N^P records, --max-per-class as if it had at most that
many. Weights have mean 1 per value of the field source (records without it count as one) and replace earlier ones.
balance decides over the whole stream: concatenate the parts of earlier stages first. The class histogram before and
after is printed at the end, by tenths of the classes, or for each class with -v.

--per-parent counts the clips of one video (one parent) as one record, as the released lists of OmniSource do.

Files are read twice, with --keep-tail, --resample or --per-parent three times; stdin is stored in TMPDIR. Memory grows
with the number of classes, and by 8 bytes per record of a class that --keep-tail cuts, or of every class under
--resample, or by 100 bytes per parent under --per-parent.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options.balance import BalanceOptions
from omnicli.commands.options.compute import Seed
from omnicli.commands.options.digests import digest_of_list
from omnicli.commands.options.groups import RARE, SELECTION, Adapt, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.model import QueryMap
from omnicli.commands.options.streams import OF_JOBS, OutputFile, StreamOptions
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.console import scarce_classes
from omnicli.errors import InputError, UsageError
from omnicli.streams.multipass.passes import MultipassStage
from omnicli.training.recipe_fields import AuxiliaryLabel

if TYPE_CHECKING:
    from omnicli.stages.balance.weights import GroupBalances

REMEDY = "keep more of them in omni filter, collect more, or leave them out with --min-per-class 5"


@takes_groups
def command(
    context: typer.Context,
    options: BalanceOptions,
    streams: Annotated[StreamOptions, Adapt(*OF_JOBS, "resume", output=OutputFile)],
    logging: LoggingOptions,
    auxiliary_label: Annotated[
        AuxiliaryLabel, typer.Option("--auxiliary-label", help="Field with the class of a record, as in training.",
                                     rich_help_panel=SELECTION),
    ] = "pseudo_label",
    query_map: QueryMap = None,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one per line: name those with hardly any "
                     "record, and reject records whose queries name none of them.", rich_help_panel=SELECTION), RARE,
    ] = None,
    seed: Seed = 0,
) -> None:  # fmt: skip
    options.check(context)
    if query_map and auxiliary_label != "query":
        raise UsageError("--query-map needs --auxiliary-label query")
    rule = options.rule(seed)
    lines: list[str] = []

    def make() -> "MultipassStage":
        from omnicli.data.query_labels import QueryNames, read_query_map
        from omnicli.stages.balance.histogram import histogram_lines
        from omnicli.stages.balance.scarce import class_sizes
        from omnicli.stages.balance.stage import balance_records
        from omnicli.streams.class_names import ClassIndex, read_classes

        names = read_classes(classes) if classes else []
        query_names = QueryNames(read_query_map(query_map) if query_map else {}, ClassIndex(names) if names else None)

        def describe(balances: "GroupBalances") -> None:
            lines.extend(histogram_lines(balances, every_class=logging.verbose))
            lines.extend(scarce_classes(class_sizes(balances, names), "records", REMEDY))

        return lambda passes: balance_records(
            passes, rule=rule, by=auxiliary_label, query_names=query_names, on_balance=describe
        )

    described = asdict(rule)
    if not rule.per_parent:  # as in earlier versions, which did not know it
        del described["per_parent"]
    deciding = {
        **described, "auxiliary_label": auxiliary_label, "query_map": digest_of_list(query_map),
        "classes": digest_of_list(classes),
    }  # fmt: skip

    def check(counts: Mapping[str, int]) -> None:
        from omnicli.reasons import NO_CLASS

        num_readable = counts.get("in", 0) - counts.get("unreadable", 0)
        if num_readable > 0 and counts.get(f"rejected: {NO_CLASS}", 0) == num_readable:
            raise InputError(f"none of {num_readable:,} records has {_remedy(auxiliary_label, classes)}")

    spec = StageSpec(
        name="balance", make=make, is_multipass=True, options=deciding, whole_stream="balance", check=check,
        closing=lambda counts: lines,
    )  # fmt: skip
    run_stage(spec, streams, logging)


def _remedy(label: AuxiliaryLabel, classes: Path | None) -> str:
    """What no record has, and what to do."""
    if classes and label == "query":
        return f"a query that names a class of {classes}; compare them, or give --query-map"
    others = ", ".join(other for other in ("pseudo_label", "query", "label") if other != label)
    return f"a {label}; give --auxiliary-label ({others}) or run filter first"
