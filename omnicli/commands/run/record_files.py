"""``index --records-per-file N -o DIR/``: one stream of records as numbered files, which later stages take as jobs.

The records are written to one hidden file first, resumable like any output, and divided when they are complete. So
files never hold half a crawl, and the marker ``records.done.json`` says how many belong together.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from omnicli.commands.invocation import refuse_to_prepare
from omnicli.commands.options.streams import StreamOptions, is_folder
from omnicli.errors import OutputError, TooManyBad, UsageError

if TYPE_CHECKING:
    from typing import BinaryIO

OPTION = "--records-per-file"


@dataclass(frozen=True)
class RecordFiles:
    """The files of one run.

    Attributes:
        folder: they are in.
        prefix: of their names; differs between the parts of ``--part``.
        per_file: records in each but the last.
        whole: the file of all records, until it is divided.
    """

    folder: Path
    prefix: str
    per_file: int
    whole: Path

    @property
    def marker(self) -> Path:
        """The file that names the number of files, written last."""
        return self.folder / f"{self.prefix}records.done.json"

    @property
    def _note(self) -> Path:
        """The number of files that may exist, while there is no marker."""
        return self.marker.with_name(f".{self.marker.name}")

    def path(self, index: int) -> Path:
        """The file of this number."""
        return self.folder / f"{self.prefix}{index:05d}.jsonl"

    def refuse_files_of_others(self) -> None:
        """Raises OutputError: files of these names exist, and no run of ``index`` wrote them."""
        from omnicli.streams.files.stored import folder_names
        from omnicli.streams.files.urls import shown

        name = re.compile(rf"{re.escape(self.prefix)}[0-9]{{5,}}\.jsonl")
        if self.whole.exists() or self._num_files() is not None:
            return
        for found in sorted(filter(name.fullmatch, folder_names(str(self.folder)))):
            raise OutputError(
                f"{shown(self.folder / found)} exists, and no index {OPTION} wrote it; write to another folder, or use "
                "--no-resume"
            )

    def divide(self) -> None:
        """Write the files from the whole, then the marker. Raises OutputError."""
        from omnicli.streams.files.stored import remove_file
        from omnicli.streams.write.atomic import named_errors, open_atomic

        num_files = num_records = 0
        with named_errors(str(self.folder)):
            with self.whole.open("rb") as records:
                num_now = -(-sum(1 for _ in records) // self.per_file)
            num_before = max(self._num_files() or 0, num_now)
            with open_atomic(self._note) as file:  # a killed run has written some of these
                file.write(msgspec.json.encode({"files": num_before}))
            remove_file(self.marker)
            with self.whole.open("rb") as records:
                while first := records.readline():
                    with open_atomic(self.path(num_files)) as file:
                        num_records += self._copy(first, records, file)
                    num_files += 1
            for index in range(num_files, num_before):
                remove_file(self.path(index))
            with open_atomic(self.marker) as file:
                content = {"files": num_files, "records": num_records, "records_per_file": self.per_file}
                file.write(msgspec.json.encode(content) + b"\n")
            remove_file(self._note)
            self.whole.unlink()

    def _copy(self, first: bytes, records: "BinaryIO | Any", file: "BinaryIO") -> int:
        """Write the lines of one file, and return their number."""
        file.write(first)
        count = 1
        for line in islice(records, self.per_file - 1):
            file.write(line)
            count += 1
        return count

    def _num_files(self) -> int | None:
        """The number of files that an earlier run wrote, or began to write; None without a marker."""
        from omnicli.streams.files.stored import read_file

        for path in (self.marker, self._note):
            try:
                return int(msgspec.json.decode(read_file(path))["files"])
            except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
                continue
        return None


def run_in_files(run: Callable[[StreamOptions], None], streams: StreamOptions, per_file: int, *, is_dry: bool) -> None:
    """Run a stage whose output is divided into files.

    Args:
        run: writes one output.
        streams: with ``-o DIR/``.
        per_file: records in each file but the last.
        is_dry: ``run`` writes nothing.

    Raises:
        UsageError: options that do not fit.
        OmniError: of ``run``, or the files cannot be written.
    """
    from omnicli.streams.files.stored import make_folder
    from omnicli.streams.partition import parse_part
    from omnicli.streams.write.atomic import named_errors
    from omnicli.streams.write.staging import local_twin

    if not streams.to_folder:
        raise UsageError(f"{OPTION} needs -o DIR/, the folder of the files")
    refuse_to_prepare(OPTION)
    clashes = {"--missing": streams.missing, "--engine": streams.engine, "--part next": streams.takes_next,
               "--rejects DIR/ (give a file)": is_folder(streams.rejects)}  # fmt: skip
    if clash := next((option for option, is_given in clashes.items() if is_given), None):
        raise UsageError(
            f"{OPTION} makes the files that -o DIR/ of other commands takes; it cannot be used with {clash}"
        )
    part = parse_part(streams.part) if streams.part else None
    prefix = f"{part.index}of{part.total}-" if part else ""
    folder = Path(streams.output or "")
    with named_errors(str(folder)):
        if not is_dry:
            make_folder(folder)
        files = RecordFiles(folder, prefix, per_file, local_twin(folder / f".{prefix}records.jsonl"))
        if streams.resume and not is_dry:
            files.refuse_files_of_others()
    try:
        run(replace(streams, output=str(files.whole)))
    except TooManyBad:  # its output is complete
        files.divide()
        raise
    if not is_dry and files.whole.exists():
        files.divide()
