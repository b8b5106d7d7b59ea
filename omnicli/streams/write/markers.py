"""Markers of ``-o DIR/``: ``NAME.done.json`` is written last, and says of which input and options an output is.

It also holds the size and digest of the output, so that one which was changed since is made again.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from omnicli.errors import OmniError
from omnicli.streams.files.input_digest import input_digest, is_same_input
from omnicli.streams.files.stored import file_exists, read_file, remove_file, size_and_time
from omnicli.streams.files.urls import shown, url_of
from omnicli.streams.read.file_records import escaped_name
from omnicli.streams.shards.ownership import find_shards
from omnicli.streams.write.atomic import named_errors, open_atomic
from omnicli.streams.write.resume import changed_options

if TYPE_CHECKING:
    from omnicli.streams.write.output_folder import Job


def is_done(job: "Job", options: Mapping[str, Any]) -> bool:
    """True if all outputs of the job exist, made from this input with these options.

    Raises:
        OmniError: they were made with other options (names them), or the input has changed.
    """
    try:
        marker = msgspec.json.decode(read_file(job.marker))
    except (OSError, msgspec.MsgspecError):
        return False
    if not file_exists(job.out):
        return False
    if what := changed_options(marker.get("options", {}), options):
        raise OmniError(f"{job.out}: was made with other options ({what}); write to another folder, or use --no-resume")
    if not all(file_exists(path) for path in job.further_outputs(marker.get("shards", 0))):
        earlier, now = marker.get("options", {}).get("shards"), options.get("shards")
        if earlier and earlier != now:
            raise OmniError(
                f"{job.out}: names shards in {earlier}, which are not in {now}; give their folder, or use --no-resume"
            )
        return False
    if (output := marker.get("output")) and not _is_as_marked(job.out, output):
        return False
    same_file = (marker.get("size"), marker.get("mtime_ns")) == size_and_time(job.source)
    if not same_file and not is_same_input(job.source, str(marker.get("digest"))):
        raise OmniError(f"{job.source}: has changed since {job.out} was made from it; use --no-resume to make it again")
    return True


def read_counts(job: "Job") -> Counter[str]:
    """The counters of a job that is done. Raises OSError."""
    return Counter(msgspec.json.decode(read_file(job.marker))["counts"])


def unmark(job: "Job") -> None:
    """Remove the marker, before any output is replaced. Raises OutputError."""
    with named_errors(str(job.marker)):
        remove_file(job.marker)


def mark_done(job: "Job", *, options: Mapping[str, Any], counters: Mapping[str, int]) -> None:
    """Write the marker, after all outputs. Raises OutputError."""
    size, mtime_ns = size_and_time(job.source)
    marker = {
        "input": escaped_name(str(job.source)) or shown(job.source),
        "size": size,
        "mtime_ns": mtime_ns,
        "digest": input_digest(job.source),
        "options": dict(options),
        "counts": dict(counters),
        "shards": len(find_shards(job.shards, job.shard_prefix)) if job.shards else 0,
        "output": _marked(job.out) if url_of(job.out) is None else None,  # a store does not change what it has
    }
    with open_atomic(job.marker) as file:
        file.write(msgspec.json.format(msgspec.json.encode(marker), indent=2) + b"\n")


def _marked(path: Path) -> dict[str, Any]:
    size, mtime_ns = size_and_time(path)
    return {"size": size, "mtime_ns": mtime_ns, "digest": input_digest(path)}


def _is_as_marked(path: Path, marked: Mapping[str, Any]) -> bool:
    """Whether an output is the one that its marker describes, and nobody has written to it since."""
    size, mtime_ns = size_and_time(path)
    return size == marked["size"] and (mtime_ns == marked["mtime_ns"] or is_same_input(path, str(marked["digest"])))
