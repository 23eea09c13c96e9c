"""What a play takes of this process: memory, and whether it connects to anybody or opens a file."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

MEMORY = 64 * 1_048_576
"""Bytes by which one play may raise the process, its sender included."""
_PEAK, _NOW = re.compile(rb"VmHWM:\s+(\d+)"), re.compile(rb"VmRSS:\s+(\d+)")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CODE = (sys.prefix, sys.base_prefix, "/usr/share/zoneinfo")
"""Where modules are with what they say about themselves, and time zones."""
_looking: list[Watch] = []
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""Of glibc: give free memory back, without which what is taken of it again does not raise the process."""


class Watch:
    """Looks at one play after another; memory is 0 where the system does not tell it (Linux does)."""

    def __init__(self, port: int) -> None:
        """Connections to *port* are the plays' own."""
        self._port, self._before = port, 0
        self.reached: list[str] = []

    def begin(self) -> None:
        """Begin to look."""
        _looking.clear()
        self.reached = []
        if _RESET.exists():
            if _trim:
                _trim(0)
            _RESET.write_bytes(b"5")  # the peak begins anew
            self._before = _kilobytes(_NOW)
        _looking[:] = [self]

    def end(self) -> Taken:
        """Return what was taken since `begin`."""
        _looking.clear()
        grown = max(0, _kilobytes(_PEAK) - self._before) * 1024 if self._before else 0
        return Taken(grown, tuple(self.reached))

    def saw(self, event: str, about: tuple[Any, ...]) -> None:
        """Take note of an audit event of the interpreter."""
        if event == "socket.connect" and about[1] != ("127.0.0.1", self._port):
            self.reached.append(f"connected to {about[1]}")
        elif event == "socket.getaddrinfo" and about[0] != "127.0.0.1":
            self.reached.append(f"asked for the address of {about[0]}")
        elif event == "open" and not str(about[0]).startswith(_CODE) and not str(about[0]).endswith((".py", ".pyc")):
            self.reached.append(f"opened {about[0]}")
        elif event in {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"}:
            self.reached.append(f"started {about[0]}")


class Taken(msgspec.Struct, frozen=True):
    """What one play took."""

    memory: int
    reached: tuple[str, ...]

    @property
    def wrong(self) -> str:
        """Return what is beyond the bounds, "" for nothing."""
        if self.reached:
            return self.reached[0]
        return f"took {self.memory / 1_048_576:.0f} MB" if self.memory > MEMORY else ""


def _kilobytes(which: re.Pattern[bytes]) -> int:
    found = which.search(_STATUS.read_bytes()) if _STATUS.exists() else None
    return int(found[1]) if found else 0


def _heard(event: str, about: tuple[Any, ...]) -> None:
    for watch in _looking:
        watch.saw(event, about)


sys.addaudithook(_heard)
