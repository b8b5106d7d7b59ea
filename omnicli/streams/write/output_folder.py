"""Many input files to a folder: one output file each, and a marker that says it is done.

The marker ``NAME.done.json`` is written last. It holds the digest of the input, every deciding option, and how many
shards there are, so a rerun does exactly what is missing, and refuses to mix the results of two different runs in one
folder.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from omnicli.errors import InputError, OmniError, UsageError
from omnicli.streams.partition import Part
from omnicli.streams.read.dispatch import JSONL_SUFFIXES, RECORD_SUFFIXES, look
from omnicli.streams.read.file_records import shown_name
from omnicli.streams.read.folder import walk_files
from omnicli.streams.shards.ownership import find_shards
from omnicli.streams.write.atomic import named_errors, open_atomic

READ_BYTES = 1 << 20


class OutputFolders(NamedTuple):
    """The folders that a run writes to: ``-o DIR/``, and those of ``--rejects`` and ``--shards``."""

    out: Path
    rejects: Path | None = None
    shards: Path | None = None


@dataclass(frozen=True)
class Job:
    """One input file and where its output goes.

    Attributes:
        key: path below the common parent, what ``--shard`` hashes.
        rejects: where its rejects go, or None.
        shards: the folder of its shards, or None.
        shard_prefix: of their names: names of files may be equal, paths are not.
    """

    source: Path
    out: Path
    key: str
    rejects: Path | None
    shards: Path | None
    shard_prefix: str

    @property
    def marker(self) -> Path:
        """The file that says this job is done."""
        return self.out.with_name(f"{self.out.name}.done.json")

    def beside(self, num_shards: int) -> list[Path]:
        """What is made beside the output: its rejects and so many shards."""
        shards = (
            [self.shards / f"{self.shard_prefix}{index:05d}.h5" for index in range(num_shards)] if self.shards else []
        )
        return [*shards, self.rejects] if self.rejects else shards


def plan_jobs(
    inputs: Sequence[str], places: OutputFolders, *, shard: Part | None, on_leave_out: Callable[[Path, str], None]
) -> list[Job]:
    """One job an input file: files as given, folders walked for JSONL, shards and tars as every reader walks them.

    A folder that the run itself writes to may lie below one of its inputs; it is passed over.

    Args:
        inputs: files and folders.
        places: where the run writes.
        shard: take only this part.
        on_leave_out: told of each file below a folder that is neither records nor media, and what it is.

    Raises:
        UsageError: an input is a stream, a folder holds media or no record file, two inputs would write one output, or
            an output would be an input, of this run or the next.
        InputError: an input does not exist, or a folder cannot be listed.
    """
    sources = [source for name in inputs for source in _record_files(name, places, on_leave_out)]
    if not sources:
        raise UsageError(
            "-o DIR/ makes one output file an input file: give .jsonl, .h5 or .tar files, or folders of them"
        )
    absolute = [Path(os.path.abspath(source)) for source in sources]  # noqa: PTH100 (links are not followed)
    common = Path(os.path.commonpath([source.parent for source in absolute]))
    jobs: dict[Path, Job] = {}
    for source, full in zip(sources, absolute, strict=True):
        key = full.relative_to(common).as_posix()
        name = _output_name(key)
        out = places.out / name
        if out in jobs and jobs[out].source != source:
            raise UsageError(f"{jobs[out].source} and {source} would both be written to {out}")
        rejects = places.rejects / name if places.rejects else None
        jobs[out] = Job(source, out, key, rejects, places.shards, shard_prefix=f"{name.removesuffix('.jsonl')}-")
    _refuse_outputs_among_inputs(jobs.values(), [name for name in inputs if Path(name).is_dir()], places)
    return [job for job in jobs.values() if shard is None or shard.holds_key(job.key)]


def is_done(job: Job, options: Mapping[str, Any]) -> bool:
    """True if the job's output is there with its rejects and shards, made from this input with these options.

    Raises:
        OmniError: it was made with other options (names them), or the input has changed since.
    """
    try:
        marker = msgspec.json.decode(job.marker.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return False
    if not job.out.exists():
        return False
    ours = msgspec.json.decode(msgspec.json.encode(dict(options)))
    theirs = marker.get("options", {})
    changed = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    if changed:
        what = ", ".join(f"{key} {theirs.get(key)!r} then, {ours.get(key)!r} now" for key in changed)
        raise OmniError(f"{job.out}: was made with other options ({what}); write to another folder, or use --no-resume")
    if not all(path.exists() for path in job.beside(marker.get("shards", 0))):
        return False
    stat = job.source.stat()
    same_file = marker.get("size") == stat.st_size and marker.get("mtime_ns") == stat.st_mtime_ns
    if not same_file and marker.get("digest") != file_digest(job.source):
        raise OmniError(f"{job.source}: has changed since {job.out} was made of it; use --no-resume to make it again")
    return True


def unmark(job: Job) -> None:
    """Forget that the job was done, before any of its files is replaced. Raises OutputError."""
    with named_errors(str(job.marker)):
        job.marker.unlink(missing_ok=True)


def mark_done(job: Job, *, options: Mapping[str, Any], counters: Mapping[str, int]) -> None:
    """Write the marker, last of all. Raises OutputError."""
    stat = job.source.stat()
    marker = {
        "input": shown_name(str(job.source)) or str(job.source),
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "digest": file_digest(job.source),
        "options": dict(options),
        "counts": dict(counters),
        "shards": len(find_shards(job.shards, job.shard_prefix)) if job.shards else 0,
    }
    with open_atomic(job.marker) as file:
        file.write(msgspec.json.format(msgspec.json.encode(marker), indent=2) + b"\n")


def missing_array(jobs: Iterable[Job], options: Mapping[str, Any], *, shards_total: int) -> str:
    """The shards that still have work, as Slurm writes them: ``--array=0,3-5``; empty when all is done.

    Raises:
        OmniError: as ``is_done``.
    """
    open_jobs = [job for job in jobs if not is_done(job, options)]
    indices = [i for i in range(shards_total) if any(Part(i, shards_total).holds_key(job.key) for job in open_jobs)]
    return f"--array={_ranges(indices)}" if indices else ""


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, hex."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _record_files(name: str, places: OutputFolders, on_leave_out: Callable[[Path, str], None]) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        _refuse_inputs_among_outputs(path, places)
        return list(
            _walk_record_files(name, [place for place in places if place and _lies_below(place, path)], on_leave_out)
        )
    if name == "-" or (path.exists() and not path.is_file()):
        raise UsageError(f"-o DIR/ makes one output file an input file; {name} is a stream")
    if not path.exists():
        raise InputError(f"{name}: no such file or directory")
    return [path]


def _walk_record_files(name: str, without: Sequence[Path], on_leave_out: Callable[[Path, str], None]) -> Iterator[Path]:
    for found in walk_files(name, without=without):
        path = Path(os.fsdecode(found.path))
        if found.problem:
            raise InputError(f"{path}: {found.problem}")
        if _holds_records(path):
            yield path
            continue
        kind, problem, _ = look(found.path)
        if kind is not None:
            raise UsageError(
                f"-o DIR/ makes one output file a file of records, and {path} is media ({kind}): "
                f"use -o FILE, or first list what lies there: omni index {name} -o list.jsonl"
            )
        on_leave_out(path, problem)


def _holds_records(path: Path) -> bool:
    return path.name.lower().endswith(RECORD_SUFFIXES) and path.is_file()


def _refuse_outputs_among_inputs(jobs: Iterable[Job], folders: Sequence[str], places: OutputFolders) -> None:
    """Check that no output replaces an input, or lies where the next run takes it for one. Raises UsageError."""
    jobs = list(jobs)
    sources = {os.path.realpath(job.source) for job in jobs}
    walked = {
        place: [os.path.realpath(top) for top in folders if not _lies_below(place, Path(top))]
        for place in places
        if place
    }
    for job in jobs:
        shard = job.shards / f"{job.shard_prefix}00000.h5" if job.shards else None
        for place, path in zip(places, (job.out, job.rejects, shard), strict=True):
            if place is None or path is None:
                continue
            real = Path(os.path.realpath(path))
            if str(real) in sources:
                raise UsageError(f"{path} is an input and would be replaced; write to another folder")
            if any(real.is_relative_to(top) for top in walked[place]):
                raise UsageError(f"{path} would be an input of the next run; write to a folder of its own")


def _refuse_inputs_among_outputs(top: Path, places: OutputFolders) -> None:
    """Check that the folders passed over below ``top`` hold what a run like this has written. Raises UsageError."""
    for place in places:
        if place is None or not _lies_below(place, top) or _has_marks(places.out):
            continue
        for path in place.rglob("*"):
            if _holds_records(path):
                raise UsageError(
                    f"{path} is an input, and outputs would be written to {place}; give them another folder"
                )


def _has_marks(folder: Path) -> bool:
    """True if a run over many files has finished one here or is at it."""
    return any(path.name.endswith((".done.json", ".part", ".state")) for path in folder.rglob("*"))


def _lies_below(place: Path, top: Path) -> bool:
    real, real_top = os.path.realpath(place), os.path.realpath(top)
    return real != real_top and Path(real).is_relative_to(real_top)


def _output_name(key: str) -> str:
    """The input's own name where that is JSONL, with its suffix as ``open_atomic`` knows it.

    >>> [_output_name(key) for key in ("a/b.ndjson.gz", "C.JSONL.ZST", "d.tar")]
    ['a/b.ndjson.gz', 'C.jsonl.zst', 'd.jsonl']
    """
    for suffix in JSONL_SUFFIXES:
        if key.lower().endswith(suffix):
            return key[: -len(suffix)] + suffix
    return str(Path(key).with_suffix(".jsonl"))


def _ranges(indices: Sequence[int]) -> str:
    """Whole numbers as Slurm writes them.

    >>> _ranges([0, 3, 4, 5, 9])
    '0,3-5,9'
    """
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
