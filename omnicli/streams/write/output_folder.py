"""``-o DIR/``: one output file per input file, and a marker for each finished one.

The marker ``NAME.done.json`` is written last. It contains the digest of the input, every option that changes the
output, and the number of shards. So a rerun processes only the missing files, and refuses to mix the results of two
different runs in one folder.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omnicli.errors import InputError, UsageError
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.urls import url_of
from omnicli.streams.partition import Part
from omnicli.streams.read.dispatch import JSONL_SUFFIXES, RECORD_SUFFIXES
from omnicli.streams.read.folder import walk_files
from omnicli.streams.read.identify import identify
from omnicli.streams.write.markers import is_done


class OutputFolders(NamedTuple):
    """The folders that a run writes to: ``-o DIR/``, ``--rejects`` and ``--shards``."""

    out: Path
    rejects: Path | None = None
    shards: Path | None = None


@dataclass(frozen=True)
class Job:
    """One input file and its outputs.

    Attributes:
        source: the input file.
        out: the output file.
        key: path below the common parent, which decides the part.
        rejects: file for rejects, or None.
        shards: folder for shards, or None.
        shard_prefix: of the shards' names; contains the path, since file names may be equal.
    """

    source: Path
    out: Path
    key: str
    rejects: Path | None
    shards: Path | None
    shard_prefix: str

    @property
    def marker(self) -> Path:
        """The file that marks the job as done."""
        return self.out.with_name(f"{self.out.name}.done.json")

    def further_outputs(self, num_shards: int) -> list[Path]:
        """The job's shards and its file of rejects."""
        prefix = self.shard_prefix
        shards = [self.shards / f"{prefix}{index:05d}.h5" for index in range(num_shards)] if self.shards else []
        return [*shards, self.rejects] if self.rejects else shards


def find_jobs(
    inputs: Sequence[str], folders: OutputFolders, *, part: Part | None, on_skip: Callable[[Path, str], None]
) -> list[Job]:
    """One job per input file: the given files, and JSONL files, shards and tars below the given folders.

    Folders that the run writes to are skipped below its inputs.

    Args:
        inputs: files and folders.
        folders: of the outputs.
        part: return only the jobs of this part.
        on_skip: called with each file below a folder that is neither records nor media, and what it is.

    Raises:
        UsageError: an input is a stream, a folder contains media or no record file, two inputs have the same output, or
            an output is an input of this run or of the next.
        InputError: an input does not exist, or a folder cannot be listed.
    """
    sources = [source for name in inputs for source in _record_files(name, folders, on_skip)]
    if not sources:
        raise UsageError(
            "-o DIR/ writes one output file per input file: give .jsonl, .h5 or .tar files, or folders of them"
        )
    absolute = [Path(os.path.abspath(source)) for source in sources]  # noqa: PTH100 (links are not followed)
    common = Path(os.path.commonpath([source.parent for source in absolute]))
    jobs: dict[Path, Job] = {}
    for source, full in zip(sources, absolute, strict=True):
        key = full.relative_to(common).as_posix()
        name = _output_name(key)
        out = folders.out / name
        if out in jobs and jobs[out].source != source:
            raise UsageError(f"{jobs[out].source} and {source} would both be written to {out}")
        rejects = folders.rejects / name if folders.rejects else None
        jobs[out] = Job(source, out, key, rejects, folders.shards, shard_prefix=f"{name.removesuffix('.jsonl')}-")
    _refuse_outputs_among_inputs(
        jobs.values(), [name for name in inputs if url_of(name) or Path(name).is_dir()], folders
    )
    return [job for job in jobs.values() if part is None or part.holds_key(job.key)]


def missing_array(jobs: Iterable[Job], options: Mapping[str, Any], *, parts: int) -> str:
    """The unfinished parts as an option of sbatch, ``--array=0,3-5``; "" if all jobs are done.

    Raises:
        OmniError: as ``is_done``.
    """
    open_jobs = [job for job in jobs if not is_done(job, options)]
    indices = [i for i in range(parts) if any(Part(i, parts).holds_key(job.key) for job in open_jobs)]
    return f"--array={_ranges(indices)}" if indices else ""


def _record_files(name: str, folders: OutputFolders, on_skip: Callable[[Path, str], None]) -> list[Path]:
    path = Path(name)
    if url := url_of(name):
        return _remote_record_files(url, folders, on_skip)
    if path.is_dir():
        _refuse_inputs_among_outputs(path, folders)
        without = [folder for folder in folders if folder and _lies_below(folder, path)]
        return list(_walk_record_files(name, without, on_skip))
    if name == "-" or (path.exists() and not path.is_file()):
        raise UsageError(
            f"-o DIR/ writes one output file per input file; {name} is a stream: write "
            "it to a file first, or use -o FILE"
        )
    if not path.exists():
        raise InputError(f"{name}: no such file or directory")
    return [path]


def _remote_record_files(url: str, folders: OutputFolders, on_skip: Callable[[Path, str], None]) -> list[Path]:
    from omnicli.streams.files.remote import is_folder, status  # noqa: PLC0415 (most inputs are local)

    try:
        if not is_folder(url):
            status(url)
            return [Path(url)]
    except OSError as error:
        raise InputError(f"{url}: {reason_of(error)}") from None
    return list(_walk_record_files(url, [folder for folder in folders if folder], on_skip))


def _walk_record_files(name: str, without: Sequence[Path], on_skip: Callable[[Path, str], None]) -> Iterator[Path]:
    for found in walk_files(name, without=without):
        path = Path(os.fsdecode(found.path))
        if found.problem:
            raise InputError(f"{path}: {found.problem}")
        if _has_records(path):
            yield path
            continue
        kind, problem, _ = identify(found.path)
        if kind is not None:
            raise UsageError(
                f"-o DIR/ writes one output file per file of records, and {path} is media ({kind}): "
                f"use -o FILE, or list the media first: omni index {name} -o list.jsonl"
            )
        on_skip(path, problem)


def _has_records(path: Path) -> bool:
    return path.name.lower().endswith(RECORD_SUFFIXES) and (url_of(path) is not None or path.is_file())


def _refuse_outputs_among_inputs(jobs: Iterable[Job], tops: Sequence[str], folders: OutputFolders) -> None:
    """Raise UsageError if an output would replace an input, or if the next run would read it as an input."""
    jobs = list(jobs)
    sources = {os.path.realpath(job.source) for job in jobs}
    walked = {
        folder: [os.path.realpath(top) for top in tops if not _lies_below(folder, Path(top))]
        for folder in folders
        if folder
    }
    for job in jobs:
        shard = job.shards / f"{job.shard_prefix}00000.h5" if job.shards else None
        for folder, path in zip(folders, (job.out, job.rejects, shard), strict=True):
            if path is None or folder is None:
                continue
            real = Path(os.path.realpath(path))
            if str(real) in sources:
                raise UsageError(f"{path} is an input and would be replaced; write to another folder")
            if any(real.is_relative_to(top) for top in walked[folder]):
                raise UsageError(f"{path} would be an input of the next run; write to another folder")


def _refuse_inputs_among_outputs(top: Path, folders: OutputFolders) -> None:
    """Raise UsageError if an output folder below ``top`` contains inputs and no outputs of an earlier run."""
    for folder in folders:
        if folder is None or not _lies_below(folder, top) or _has_marks(folders.out):
            continue
        for path in folder.rglob("*"):
            if _has_records(path):
                raise UsageError(
                    f"{path} is an input, and outputs would be written to {folder}; write to another folder"
                )


def _has_marks(folder: Path) -> bool:
    """True if the folder contains finished or unfinished outputs of ``-o DIR/``."""
    return any(path.name.endswith((".done.json", ".part", ".state")) for path in folder.rglob("*"))


def _lies_below(folder: Path, top: Path) -> bool:
    real, real_top = os.path.realpath(folder), os.path.realpath(top)
    return real != real_top and Path(real).is_relative_to(real_top)


def _output_name(key: str) -> str:
    """The name of the input with a suffix that ``open_atomic`` knows.

    >>> [_output_name(key) for key in ("a/b.ndjson.gz", "C.JSONL.ZST", "d.tar")]
    ['a/b.ndjson.gz', 'C.jsonl.zst', 'd.jsonl']
    """
    for suffix in JSONL_SUFFIXES:
        if key.lower().endswith(suffix):
            return key[: -len(suffix)] + suffix
    return str(Path(key).with_suffix(".jsonl"))


def _ranges(indices: Sequence[int]) -> str:
    """Integers in the notation of Slurm.

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
