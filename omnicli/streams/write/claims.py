"""Claims: files that say which process may publish an output, on file systems where locks of files say nothing.

A claim appears by ``link`` (or exclusive creation), which every network file system does atomically, and its holder
touches it every ten seconds. A process that finds the claim of another one refuses; it takes the claim over when its
holder is known to be dead, or has not touched it for two minutes. Ages are differences of times that the file system
wrote, so clocks of machines do not matter. A holder that was away for so long sees that the claim is lost, and does
not publish.
"""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import msgspec

from omnicli.errors import ClaimedError, OmniError
from omnicli.process import started_at

BEAT_SEC = 10.0  # Ours
STALE_SEC = 120.0  # Ours: twelve missed beats
POLL_SEC = 0.5
BOOT_ID, PID_NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


class Holder(msgspec.Struct, frozen=True):
    """The process that holds a claim. ``space``: where its number means something: a boot, and a PID namespace.

    ``driver``: the driver that gave it the work; it gives the same work to another process only when this one is gone.
    """

    host: str
    space: str
    pid: int
    started: str
    token: str
    driver: str = ""


class _Process:
    """The driver that this process works for; "" without one."""

    driver = ""


def work_for(driver: str) -> None:
    """Take over at once, from now on, what other processes of this driver have claimed."""
    _Process.driver = driver


class Claim:
    """A claim that this process holds until ``close``.

    Attributes:
        is_from_elsewhere: it was taken over from a silent process on another machine, which may come back.
    """

    def __init__(self, path: Path, holder: Holder, *, is_from_elsewhere: bool = False) -> None:
        self._path, self._holder = path, holder
        self.is_from_elsewhere = is_from_elsewhere
        _heart.add(self)

    def holds(self) -> bool:
        """Whether the claim is still this process's."""
        return _read(self._path) == self._holder

    def check(self, name: str) -> None:
        """Raises OmniError: another process has taken the claim over, and the output ``name`` with it."""
        if not self.holds():
            holder = _read(self._path)
            by = f" (process {holder.pid} on {holder.host})" if holder else ""
            raise OmniError(
                f"{name}: this process sent no heartbeat for {STALE_SEC:.0f} s, and another one{by} has taken the "
                "output over; nothing was published"
            )

    def beat(self) -> None:
        """Renew the claim, unless the claim is lost."""
        with contextlib.suppress(OSError):
            if self.holds():
                os.utime(self._path)

    def close(self) -> None:
        """End the claim; a lost one is left alone."""
        _heart.remove(self)
        if self.holds():
            self._path.unlink(missing_ok=True)


def take_claim(path: Path, name: str, *, waits: bool) -> Claim:
    """Claim an output.

    Args:
        path: of the claim, beside the output; its folder exists.
        name: of the output, for the message.
        waits: wait until a silent holder on another machine is known to be alive or dead; else refuse at once.

    Raises:
        ClaimedError: another process holds it.
        OSError: the folder cannot be written.
    """
    me = _this_process()
    is_from_elsewhere = False
    seen: float | None = None
    while True:
        now = _place(path, me)
        if now is None:
            return Claim(path, me, is_from_elsewhere=is_from_elsewhere)
        holder, age, touched = _read(path), now, _modified(path)
        if touched is None:
            continue  # it has just been released
        is_ours = holder is not None and bool(holder.driver) and holder.driver == me.driver
        if (_is_dead(holder) or is_ours or age > STALE_SEC) and _remove_stale(path, holder):
            is_from_elsewhere = is_from_elsewhere or not _is_dead(holder)
            continue
        if not waits or _is_here(holder) or (seen is not None and touched != seen):
            who = f"process {holder.pid} on {holder.host}" if holder else "another process"
            raise ClaimedError(
                f"{name}: another process is writing it ({who}, last heartbeat {max(0.0, age):.0f} s ago); wait for "
                "it or write elsewhere"
            )
        seen = touched
        time.sleep(POLL_SEC)


def _place(path: Path, me: Holder) -> float | None:
    """Put the claim at ``path``; if one is there, its age in seconds, by the clock of the file system."""
    mine = path.with_name(f".{me.token}.claim")  # short: the name of the output may be as long as names can be
    try:
        mine.write_bytes(msgspec.json.encode(me))
        now = mine.stat().st_mtime
        try:
            os.link(mine, path)
        except FileExistsError:
            return now - (_modified(path) or now)
        except OSError:  # no hard links
            try:
                with path.open("xb") as file:
                    file.write(msgspec.json.encode(me))
            except FileExistsError:
                return now - (_modified(path) or now)
    finally:
        mine.unlink(missing_ok=True)
    return None


def _remove_stale(path: Path, holder: Holder | None) -> bool:
    """Remove the claim of a dead process; False if somebody else was faster, or has a new claim there."""
    aside = path.with_name(f".{os.urandom(8).hex()}.claim")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return True
    if _read(aside) == holder:
        aside.unlink(missing_ok=True)
        return True
    with contextlib.suppress(OSError):
        os.link(aside, path)
    aside.unlink(missing_ok=True)
    return False


def _read(path: Path) -> Holder | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _this_process() -> Holder:
    return Holder(
        socket.gethostname(), _space(), os.getpid(), started_at(os.getpid()), os.urandom(8).hex(), _Process.driver
    )


def _space() -> str:
    try:
        return f"{BOOT_ID.read_text().strip()} {PID_NAMESPACE.readlink()}"
    except OSError:
        return ""


def _is_here(holder: Holder | None) -> bool:
    """Whether this process could see the holder if it lived."""
    return holder is not None and bool(holder.space) and holder.space == _space()


def _is_dead(holder: Holder | None) -> bool:
    return holder is not None and _is_here(holder) and started_at(holder.pid) != holder.started


class _Heart:
    """One thread that touches the claims of this process."""

    def __init__(self) -> None:
        self._claims: set[Claim] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, claim: Claim) -> None:
        with self._lock:
            self._claims.add(claim)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, daemon=True, name="claims")
                self._thread.start()

    def remove(self, claim: Claim) -> None:
        with self._lock:
            self._claims.discard(claim)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_SEC)
            with self._lock:
                claims = list(self._claims)
                if not claims:
                    self._thread = None
                    return
            for claim in claims:
                claim.beat()


_heart = _Heart()
