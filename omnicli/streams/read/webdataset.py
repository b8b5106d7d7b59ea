"""Records of a tar in WebDataset layout: consecutive members with the same key are one record."""

import posixpath
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from omnicli.errors import InputError
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.sniff import HEAD_BYTES, sniff
from omnicli.streams.files.stored import close_file, pread
from omnicli.streams.files.tar_headers import Member, open_tar, walk_members
from omnicli.streams.read.file_records import escaped_name, file_fields, unreadable_file
from omnicli.streams.read.sidecar import OTHER_FIELDS, parse_sidecar
from omnicli.streams.record import Record

if TYPE_CHECKING:
    from omnicli.streams.files.remote_file import RemoteFile

_SIDECARS = (".json", ".txt", ".cls")
MAX_SIDECAR_BYTES = 64 << 20
MAX_DIGITS = 10  # of a label


def read_tar(path: str, *, root: str | None) -> Iterator[Record]:
    """Yield one record per media member, in stored order, with the fields of its ``.json`` member.

    The key is the name up to the first dot after the last slash. ``.txt`` becomes ``caption`` and ``.cls``, an integer,
    ``label`` unless the ``.json`` has one. Other members are skipped if their key has media. Ours: two media members of
    one key are two records with the same fields; the folder inside the tar is the ``query``, as for files; a member
    that is truncated, sparse or a link is a reject, and so are a sample whose ``.json`` is not JSON and the rest of a
    tar behind a damaged header.

    Raises:
        InputError: it cannot be read.
    """
    try:
        handle = open_tar(path)
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}") from None
    try:
        for _, members in groupby(walk_members(path, None if isinstance(handle, int) else handle), key=_key):
            yield from _read_group(list(members), handle, path, root)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason_of(error)}") from None
    finally:
        close_file(handle)


def _key(member: Member) -> str:
    """``a/b.c/0001`` for ``a/b.c/0001.left.jpg``; the dot of a hidden file is part of its key."""
    folder, _, base = member.name.rpartition("/")
    stem = base[:1] + base[1:].partition(".")[0]
    return f"{folder}/{stem}"


def _read_group(members: list[Member], handle: "int | RemoteFile", tar: str, root: str | None) -> Iterator[Record]:
    sidecars = [member for member in members if member.name.endswith(_SIDECARS)]
    others = [member for member in members if not member.name.endswith(_SIDECARS)]
    cut = next((sidecar.problem for sidecar in sidecars if sidecar.problem), "")
    shared = Record()
    try:
        shared = shared if cut else _read_sidecars(sidecars, handle)
    except InputError as error:
        cut = str(error)
    kinds = [_sniff_member(member, handle) for member in others]
    found_media = False
    for member, (kind, problem) in zip(others, kinds, strict=True):
        problem = cut or problem
        if kind is not None or member.problem:
            found_media = True
            yield _media_record(member, kind, problem, shared, tar, root)
    if not found_media:
        first = (others or members)[0]
        problem = cut or (kinds[0][1] if kinds else "no media member")
        yield _media_record(first, None, problem, shared, tar, root)


def _sniff_member(member: Member, handle: "int | RemoteFile") -> tuple[str | None, str]:
    """The media kind or None, and why the member is not readable media or ""."""
    if member.problem:
        return None, member.problem
    kind, description = sniff(pread(handle, min(HEAD_BYTES, member.size), member.offset))
    if kind is None:
        return None, description if member.size == 0 else f"not media ({description})"
    return kind, ""


def _media_record(member: Member, kind: str | None, problem: str, shared: Record, tar: str, root: str | None) -> Record:
    odd = escaped_name(member.name)
    fields: dict[str, Any] = file_fields(f"{tar}#{odd or member.name}" if member.name else tar, root)
    if odd is not None:
        return unreadable_file("name is not UTF-8", {"id": fields["id"]}, origin=tar)
    if kind is not None:
        fields["media"] = kind
    if folder := posixpath.basename(posixpath.dirname(posixpath.normpath(member.name))):
        fields["query"] = folder
    fields |= {name: value for name, value in shared.items() if name not in fields or name in ("id", "query")}
    if problem:
        return unreadable_file(problem, fields, origin=tar)
    return Record(fields, origin=tar)


def _read_sidecars(sidecars: list[Member], handle: "int | RemoteFile") -> Record:
    """The fields of the ``.json`` members, and the ``caption``. Raises InputError."""
    shared = Record()
    for member in sorted(sidecars, key=lambda sidecar: not sidecar.name.endswith(".json")):
        where = escaped_name(member.name) or member.name
        if member.size > MAX_SIDECAR_BYTES:
            raise InputError(f"{where}: {member.size:,} bytes are too many for the fields of one record")
        content = pread(handle, member.size, member.offset)
        if member.name.endswith(".json"):
            shared.update(parse_sidecar(content, origin=where))
        elif member.name.endswith(".cls"):
            _set_class(shared, content.decode("utf-8", "replace").strip())
        elif shared.get("caption") is None:
            shared["caption"] = content.decode("utf-8", "replace").strip()
    return Record({name: value for name, value in shared.items() if not (name in ("id", "query") and value is None)})


def _set_class(shared: Record, text: str) -> None:
    """The class of a sample: an integer is its ``label``; other text is kept in the field ``sidecar``, as ``cls``."""
    if text.isascii() and text.isdigit() and len(text) < MAX_DIGITS:
        if shared.get("label") is None:
            shared["label"] = int(text)
    elif text and isinstance(other := shared.get(OTHER_FIELDS, {}), dict):
        shared[OTHER_FIELDS] = {"cls": text, **other}
