"""``dedup --method census``: how the stage of signatures is run; and what both methods say of their target."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omnicli.commands.run.runner import StageSpec, digest_of
from omnicli.errors import InputError

if TYPE_CHECKING:
    from omnicli.streams.record import Record
    from omnicli.streams.stage_run import Stage


def census_run(targets: Sequence[str], within: bool, root: str | None, workers: int | None) -> StageSpec:
    """Footage in common (IG-65M A.2)."""
    counts: Counter[str] = Counter()
    unreadable: list[tuple[str, str]] = []

    def forget(record: "Record", why: str) -> None:
        unreadable.append((str(record.get("id")), why))

    def make() -> "Stage":
        from omnicli.stages.dedup.census_stage import census_targets, dedup_census_records
        from omnicli.streams.read.reader import read_records

        records = read_records(targets, root=root, on_drop=forget) if targets else []
        learnt = census_targets(records, root=root, workers=workers, on_drop=forget)
        return lambda records, on_drop: dedup_census_records(
            records, targets=learnt, within=within, root=root, workers=workers, counts=counts, on_drop=on_drop
        )

    def closing(counters: Mapping[str, int]) -> list[str]:
        found = [f"{count:,} {name.removeprefix('census: ')}" for name, count in sorted(counts.items()) if count]
        return say_unreadable(unreadable) + ([f"seen: {', '.join(found)}"] if found else [])

    return StageSpec(
        name="dedup",
        make=make,
        options={"method": "census", "target": describe_target(targets), "within": within},
        whole_stream="--within" if within else None,
        closing=closing,
        facts={"census": counts},
    )


def describe_target(targets: Sequence[str]) -> list[list[str]]:
    """Names with digests, for another target is another run. Raises InputError.

    Ours: of a folder its files' names and sizes, which takes no reading; media that a list names are not looked at.
    """
    described = []
    for name in targets:
        path = Path(name)
        if path.is_dir():
            described.append([name, _digest_of_folder(path)])
        else:
            described.append([name, *([digest_of(path, InputError)] if path.is_file() else [])])
    return described


def _digest_of_folder(folder: Path) -> str:
    """Of the names and sizes of all files in it, hex."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(os.fsencode(path.relative_to(folder)) + f"\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()


def say_unreadable(unreadable: Sequence[tuple[str, str]]) -> list[str]:
    """Holes in the target are said aloud: what cannot be read is not guarded."""
    if not unreadable:
        return []
    name, why = unreadable[0]
    return [f"{len(unreadable):,} target records cannot be read and are not guarded; the first: {name} ({why})"]
