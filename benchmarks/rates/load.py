"""A load generator that costs little: prepared bytes over kept connections, one request at a time on each.

`python -m benchmarks.rates.load URL --kind shopify --seconds 10` is a process of its own: what it costs is known, and
what is measured shares no interpreter with it. With --rate requests leave when they are due, whoever is still waiting,
and an answer's time counts from then; without it each connection sends as soon as it was answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from benchmarks.rates import hooks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Answers(msgspec.Struct, kw_only=True):
    """What came of one run; times are milliseconds."""

    seconds: float
    sent: int
    statuses: dict[str, int]
    from_due: dict[str, float]
    """Quantiles from when a request was due to its answer."""
    from_wire: dict[str, float]
    """Quantiles from when it left."""
    late: dict[str, float]
    """Quantiles of how late requests left because the generator itself was busy; without a rate there are none."""
    cpu_share: float
    """Of one processor, this process."""
    drained: float = 0.0
    """Seconds from the last due time to the last answer."""

    @property
    def fine(self) -> int:
        """Return how many were answered with 200."""
        return self.statuses.get("200", 0)


@dataclass
class Log:
    """Every answer."""

    statuses: Counter[str] = field(default_factory=Counter)
    from_due: list[float] = field(default_factory=list)
    from_wire: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)


class Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._got = b""
        self._due = self._left = 0.0
        self.transport: asyncio.Transport | None = None
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  what create_connection gives
        self.transport = transport

    def send(self, due: float, request: bytes) -> None:
        """Send *request*, which was due at *due*."""
        if self.transport is None:
            raise RuntimeError("The line is not connected.")
        self.busy, self._due, self._left = True, due, time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take an answer apart as far as needed: its status, and where it ends."""
        self._got += data
        head = self._got.find(_END)
        if head < 0 or len(self._got) < head + len(_END) + _length(self._got[:head]):
            return
        status, self._got = self._got[9:12].decode(), b""
        self._done(status)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count what was under way as unanswered."""
        del exc
        self.transport = None
        if self.busy:
            self._done("lost")

    def _done(self, status: str) -> None:
        now = time.perf_counter()
        self.busy = False
        log = self._load.log
        log.statuses[status] += 1
        log.from_due.append(now - self._due)
        log.from_wire.append(now - self._left)
        self._load.free(self)


class Load:
    """Sends prepared requests over a number of lines."""

    def __init__(self, url: str, requests: Sequence[bytes], lines: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._requests: Iterator[bytes] = itertools.cycle(requests)
        self._count = lines
        self._idle: deque[Line] = deque()
        self._waiting: deque[float] = deque()
        self._under_way = 0
        self._closed_loop = False
        self._quiet = asyncio.Event()
        self.log = Log()

    async def _connect(self) -> Line:
        _, line = await asyncio.get_running_loop().create_connection(lambda: Line(self), self._host, self._port)
        return line

    async def connect(self) -> None:
        """Open every line."""
        self._idle.extend([await self._connect() for _ in range(self._count)])

    def free(self, line: Line) -> None:
        """Use a line that was answered for the next request."""
        self._under_way -= 1
        if line.transport is None:
            self._hush()
        elif self._waiting:
            self._go(line, self._waiting.popleft())
        elif self._closed_loop:
            self._go(line, time.perf_counter())
        else:
            self._idle.append(line)
            self._hush()

    def _hush(self) -> None:
        if not self._under_way and not self._waiting:
            self._quiet.set()

    def _go(self, line: Line, due: float) -> None:
        self._under_way += 1
        line.send(due, next(self._requests))

    def _offer(self, due: float) -> None:
        if self._idle:
            self._go(self._idle.popleft(), due)
        else:
            self._waiting.append(due)

    async def closed(self, seconds: float) -> Answers:
        """Let every line send as soon as it was answered."""
        began, spent = time.perf_counter(), time.process_time()
        self._closed_loop = True
        for line in list(self._idle):
            self._go(line, began)
        self._idle.clear()
        await asyncio.sleep(seconds)
        self._closed_loop = False
        await self._rest()
        return self._answers(began, spent, time.perf_counter())

    async def open(self, rate: float, seconds: float, patience: float) -> Answers:
        """Send *rate* requests a second, each when it is due; then wait for the rest for at most *patience*."""
        began, spent = time.perf_counter(), time.process_time()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            elif not number % 64:  # behind its own pace: let answers be read
                await asyncio.sleep(0)
            self.log.late.append(max(0.0, time.perf_counter() - due))
            self._offer(due)
        last = time.perf_counter()
        await self._rest(patience)
        return self._answers(began, spent, last)

    async def _rest(self, patience: float = 60.0) -> None:
        self._quiet.clear()
        if self._under_way or self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._quiet.wait(), patience)
        self.log.statuses["none"] += self._under_way + len(self._waiting)

    def _answers(self, began: float, spent: float, last: float) -> Answers:
        now, log = time.perf_counter(), self.log
        return Answers(
            seconds=now - began,
            sent=sum(log.statuses.values()),
            statuses={name: count for name, count in log.statuses.items() if count},
            from_due=quantiles(log.from_due),
            from_wire=quantiles(log.from_wire),
            late=quantiles(log.late),
            cpu_share=(time.process_time() - spent) / (now - began),
            drained=now - last,
        )


def _length(head: bytes) -> int:
    at = head.lower().find(_LENGTH)
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def quantiles(times: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the longest of *times* (seconds) in milliseconds; nothing of none."""
    ordered = sorted(times)
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    places = {name: min(len(ordered) - 1, int(len(ordered) * share)) for name, share in shares.items()}
    return {name: ordered[place] * 1000 for name, place in places.items()} if ordered else {}


def prepared(kind: str, url: str, count: int) -> list[bytes]:
    """Return *count* different signed requests of *kind*, ready for the wire."""
    host = url.removeprefix("http://")
    found = {"shopify": hooks.shopify, "hubspot": lambda n: hooks.hubspot(n, url), "stripe": hooks.stripe}
    return [delivery.bytes(host) for delivery in found[kind](count)]


async def run(given: argparse.Namespace) -> Answers:
    """Prepare, send, and return what came of it."""
    load = Load(given.url, prepared(given.kind, given.url, given.different), given.lines)
    await load.connect()
    if given.rate:
        return await load.open(given.rate, given.seconds, given.patience)
    return await load.closed(given.seconds)


def main() -> None:
    """Read the arguments, run, and print the answers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--kind", choices=("shopify", "hubspot", "stripe"), default="shopify")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0 = as fast as they are answered")
    parser.add_argument("--lines", type=int, default=64, help="connections")
    parser.add_argument("--different", type=int, default=2000, help="how many different deliveries there are")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for the last answers")
    answers = asyncio.run(run(parser.parse_args()))
    sys.stdout.buffer.write(msgspec.json.encode(answers))


if __name__ == "__main__":
    main()
