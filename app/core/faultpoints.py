"""Points in our own code where a test kills, stops or holds this process; off, as always, each costs one test for None.

`O2C_FAULTPOINTS` names a folder. A file `NAME.armed` in it says as JSON what happens where, for example
`{"point": "outcome.before", "label": "books", "passage": 2, "action": "kill"}`; without a label every one fits. The
process that comes to the point for the n-th time renames the file to `NAME.hit`, so that nobody else is hit as well,
adds a line to `hits.jsonl`, and acts. docs/reliability.md lists the points.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

VARIABLE = "O2C_FAULTPOINTS"
_PAUSE = 0.02
_LONGEST = 120.0
"""Seconds that anybody is held: whoever should let it go may have died."""


class Armed(msgspec.Struct, frozen=True):
    """One fault that waits for somebody to come by."""

    point: str
    action: Literal["kill", "stop", "hold"]
    """SIGKILL, SIGSTOP, or only this task waits until the file `NAME.go` is there."""
    label: str = ""
    passage: int = 1


class Points:
    """The faults of one folder, as this process meets them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._passed = Counter[str]()

    async def reach(self, point: str, label: str) -> None:
        """Come to *point*; does not return from where the process is killed."""
        for name, armed in self._armed():
            if armed.point != point or armed.label not in {"", label}:
                continue
            self._passed[name] += 1
            if self._passed[name] >= armed.passage and self._take(name, point, label):
                await self._act(name, armed)

    def _armed(self) -> list[tuple[str, Armed]]:
        found = []
        for path in sorted(self._folder.glob("*.armed")):
            try:
                found.append((path.stem, msgspec.json.decode(path.read_bytes(), type=Armed)))
            except FileNotFoundError:  # taken by another process in this moment
                continue
        return found

    def _take(self, name: str, point: str, label: str) -> bool:
        try:
            (self._folder / f"{name}.armed").rename(self._folder / f"{name}.hit")
        except FileNotFoundError:
            return False
        line = {"name": name, "point": point, "label": label, "pid": os.getpid(), "at": time.time()}
        with (self._folder / "hits.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        return True

    async def _act(self, name: str, armed: Armed) -> None:
        if armed.action == "hold":
            await asyncio.to_thread(_until_there, self._folder / f"{name}.go")
        else:
            os.kill(os.getpid(), signal.SIGKILL if armed.action == "kill" else signal.SIGSTOP)


def _until_there(go: Path) -> None:
    until = time.monotonic() + _LONGEST
    while not go.exists() and time.monotonic() < until:
        time.sleep(_PAUSE)


class _Nothing:
    async def __aenter__(self) -> None:
        return

    async def __aexit__(self, *_: object) -> None:
        return


class _Around:
    def __init__(self, points: Points, step: str, label: str) -> None:
        self._points, self._step, self._label = points, step, label

    async def __aenter__(self) -> None:
        await self._points.reach(f"{self._step}.before", self._label)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del error, trace
        if kind is None:
            await self._points.reach(f"{self._step}.after", self._label)


_NOTHING = _Nothing()
_points: Points | None = None


def around(step: str, label: str = "") -> _Nothing | _Around:
    """Return a context whose begin and end, if it ends well, are the points `STEP.before` and `STEP.after`."""
    return _NOTHING if _points is None else _Around(_points, step, label)


def switch_on(folder: str) -> None:
    """Look for faults in *folder* from now on; "" switches off."""
    global _points  # noqa: PLW0603 - a switch of the process, off unless a test says so
    _points = Points(Path(folder)) if folder else None
