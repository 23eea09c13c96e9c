"""Writes against sandboxes: `python -m benchmarks.delivery [--kafka HOST:PORT] [--short] [--json FILE]`.

The real connectors role owns five systems at once; commands go onto its topic, results come back. With quotas fifty
times as wide: how full bulk requests are, what a document that changes ten times costs, and whether one order that
changes all the time or one system that refuses nine calls of ten slows anybody else. Then, with each sandbox's true
quota and in real time: how much of it is used while work waits. Exit: 0 all goals met, 1 one missed, 2 not measured.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.command import arguments, run
from benchmarks.figures import Figure
from benchmarks.rates.connecting import Call, Rig, rigged
from benchmarks.rates.documents import KINDS, Document
from benchmarks.rates.judging import Judge
from benchmarks.rates.load import quantiles
from benchmarks.rates.running import told
from schemas.commands import Result

JUDGE = Judge("delivery")
WIDE = 50.0
"""Times the sandboxes' quota where quota is not what is measured."""
BATCHES = {"books": (50, "/Invoices?"), "qbo": (30, "/batch?"), "crm": (50, "/deals/batch/")}
"""Connection -> the most documents of one request, and what is in its path."""
KNOWN = 20
"""Documents that are made first: customers and fields are there when it counts."""
CHANGES = 10
COLLAPSED = ("books", "crm")
THROTTLED = "crm"
HOT = "pay"
HOT_CHANGES = 175
LATENCY = 0.1
"""Seconds that each sandbox takes for an answer where others' pace is measured."""
FILLED, USED, SLOWER = 0.9, 0.95, 1.1
STARVED = 2_000.0
"""Milliseconds after which others would say that they wait for a hot order."""


class Quota(NamedTuple):
    """What a sandbox allows of calls: so many in so many seconds; the share that makes our limits the same."""

    calls: int
    seconds: float
    share: float


QUOTAS = {
    "books": Quota(60, 60.0, 1.0),
    "qbo": Quota(500, 60.0, 1.0),
    "crm": Quota(190, 10.0, 1.9),  # what a paid portal allows; without a share o2c keeps to the smallest plan's 100
    "pay": Quota(100, 1.0, 4.0),  # live mode; without a share o2c keeps to the test mode's 25
}
POINTS = 100.0
"""Points a second that the shop restores."""


class Sizes(NamedTuple):
    """How much is measured; times in seconds."""

    documents: int
    rate: float
    window: float
    windows: int
    waiting: int
    minutes: int


FULL = Sizes(documents=1_000, rate=5.0, window=20.0, windows=3, waiting=60, minutes=2)
SHORT = Sizes(documents=100, rate=3.0, window=5.0, windows=1, waiting=40, minutes=1)


# ------------------------------------------------------------------------------------------------ batches and changes


async def made(rig: Rig, count: int, first: int = 0) -> dict[str, list[Document]]:
    """Have *count* documents made in each system."""
    numbers = range(first, first + count)
    documents = {one: [Document(one, number, rig.prefix[6:14]) for number in numbers] for one in KINDS}
    for connection in KINDS:
        await rig.order(document.create() for document in documents[connection])
    for connection in KINDS:
        await rig.confirmed(documents[connection], f"making {count} documents in {connection}")
    return documents


async def filled(rig: Rig, count: int) -> tuple[dict[str, list[Document]], list[Figure]]:
    """Have documents made; return them, and how full bulk requests were."""
    await made(rig, KNOWN, first=count)
    began = time.time()
    documents = await made(rig, count)
    figures = []
    for connection, (most, path) in BATCHES.items():
        calls = [call for call in await rig.calls(connection) if call.at >= began and call.mutating]
        mean = count / max(1, sum(path in call.path for call in calls))
        figure = JUDGE.plain(f"{connection}: documents in a bulk request, mean", mean, "documents")
        figures.append(JUDGE.share(figure, "most", most, FILLED))
    return documents, figures


async def collapsed(rig: Rig, documents: dict[str, list[Document]]) -> list[Figure]:
    """Change every document ten times while its connection is paused, and count the writes that it costs after that."""
    figures = []
    for connection in COLLAPSED:
        told(f"{len(documents[connection])} documents of {connection} change {CHANGES} times")
        await rig.say("paused", connection, "benchmark")
        await asyncio.sleep(1)
        began, superseded = time.time(), rig.outcomes[connection, "superseded"]
        for _ in range(CHANGES):
            await rig.order(document.change() for document in documents[connection])
        wanted = superseded + (CHANGES - 1) * len(documents[connection])
        await rig.until(lambda c=connection, n=wanted: rig.outcomes[c, "superseded"] >= n, "changes to collapse")  # type: ignore[misc]
        taken = time.time() - began
        await rig.say("paused", connection, "")
        await rig.confirmed(documents[connection], f"changing documents in {connection}")
        writes = [call for call in await rig.calls(connection) if call.mutating and call.at >= began]
        right = sum(_shows(document) for document in documents[connection])
        figures += [
            JUDGE.at_most(
                f"{connection}: writes for {CHANGES} changes of each", len(writes), "writes", len(documents[connection])
            ),
            JUDGE.at_least(
                f"{connection}: documents that show the last change", right, "documents", len(documents[connection])
            ),
            JUDGE.plain(f"{connection}: changes taken in", CHANGES * len(documents[connection]) / taken, "1/s"),
        ]
    return figures


def _shows(document: Document) -> bool:
    pair = document.made.get(KINDS[document.connection].field)
    return pair is not None and pair.sent == document.value


# ------------------------------------------------------------------------------------------------ others' pace


async def pace(
    rig: Rig, documents: dict[str, list[Document]], connections: Sequence[str], rate: float, seconds: float
) -> list[float]:
    """Change documents at a steady *rate* in each of *connections*; return seconds from when due to the result."""
    began, sent = time.time() + 0.1, list[str]()

    async def steady(connection: str, offset: float) -> None:
        turns = itertools.cycle(documents[connection][1:])
        for number in range(int(rate * seconds)):
            due = began + offset + number / rate
            await asyncio.sleep(max(0.0, due - time.time()))
            command = next(turns).change()
            sent.append(command.id)
            await rig.order([command], due)

    await asyncio.gather(*(steady(one, place / len(connections) / rate) for place, one in enumerate(connections)))
    await rig.until(lambda: all(id_ in rig.told for id_ in sent), "others' writes")
    for connection in connections:
        for document in documents[connection]:
            if document.newest in rig.told:
                document.confirmed(rig.told[document.newest].result)
    return [rig.told[id_].at - rig.due[id_] for id_ in sent]


async def compared(
    rig: Rig,
    documents: dict[str, list[Document]],
    connections: Sequence[str],
    sizes: Sizes,
    trouble: Callable[[], Awaitable[None]],
    peace: Callable[[], Awaitable[None]],
) -> tuple[float, float]:
    """Return the others' p99 (milliseconds) without and with *trouble*, measured in turns."""
    quiet, loud = list[float](), list[float]()
    await pace(rig, documents, connections, sizes.rate, min(3.0, sizes.window))
    for _ in range(sizes.windows):
        quiet += await pace(rig, documents, connections, sizes.rate, sizes.window)
        await trouble()
        loud += await pace(rig, documents, connections, sizes.rate, sizes.window)
        await peace()
    return quantiles(quiet)["p99"], quantiles(loud)["p99"]


async def throttled(rig: Rig, documents: dict[str, list[Document]], sizes: Sizes) -> list[Figure]:
    """Let one system refuse nine calls of ten while the others work on."""
    told(f"{THROTTLED} answers 429 to nine calls of ten")
    others = [one for one in KINDS if one != THROTTLED]
    victims = documents[THROTTLED][: sizes.waiting]
    before = {row["id"] for row in await rig.books(THROTTLED)}
    spans: list[tuple[float, float]] = []

    async def trouble() -> None:
        await rig.faults(THROTTLED, rate_429=0.9)
        spans.append((time.time(), time.time()))
        await rig.order(document.change() for document in victims)

    async def peace() -> None:
        spans[-1] = (spans[-1][0], time.time())
        await rig.faults(THROTTLED, rate_429=0.0)
        await rig.confirmed(victims, f"{THROTTLED} to recover")

    quiet, loud = await compared(rig, documents, others, sizes, trouble, peace)
    asked = [call for call in await rig.calls(THROTTLED) if any(a <= call.at <= b for a, b in spans)]
    after = {row["id"] for row in await rig.books(THROTTLED)}
    return [
        JUDGE.plain("p99 of four others while all answer", quiet, "ms"),
        _paced("p99 of four others while one answers 429 to 90 %", loud, quiet),
        JUDGE.plain("calls a second to the one that refuses", len(asked) / sum(b - a for a, b in spans), "1/s"),
        JUDGE.at_least("its documents that show the last change", sum(map(_shows, victims)), "documents", len(victims)),
        JUDGE.at_most("its documents that came or went", len(after ^ before), "documents", 0),
    ]


async def hot(rig: Rig, documents: dict[str, list[Document]], sizes: Sizes) -> list[Figure]:
    """Change one order 175 times at once while others of the same connection change at a steady pace."""
    told(f"one order of {HOT} changes {HOT_CHANGES} times at once")
    document = documents[HOT][0]
    began = time.time()

    async def trouble() -> None:
        await rig.order(document.change() for _ in range(HOT_CHANGES))

    async def peace() -> None:
        await rig.confirmed([document], "the hot order")

    quiet, loud = await compared(rig, documents, [HOT], sizes, trouble, peace)
    calls = [
        call for call in await rig.calls(HOT) if call.mutating and call.at >= began and document.bound in call.path
    ]
    most = HOT_CHANGES * sizes.windows
    return [
        JUDGE.plain("p99 of other orders without a hot one", quiet, "ms"),
        JUDGE.at_most(f"p99 of other orders while one changes {HOT_CHANGES} times at once", loud, "ms", STARVED),
        JUDGE.at_most(f"writes of the hot order for {most} changes", len(calls), "writes", most),
        JUDGE.at_least("the hot order shows its last change", float(_shows(document)), "", 1.0),
    ]


# ------------------------------------------------------------------------------------------------ quota


async def used(rig: Rig, sizes: Sizes) -> list[Figure]:
    """Keep work waiting in every system for minutes and return how much of each quota was used."""
    told("making documents at true quotas")
    documents = await made(rig, sizes.waiting)
    newest: dict[str, Document] = {}
    jobs: set[asyncio.Task[None]] = set()
    busy = True

    def again(result: Result) -> None:
        document = newest.pop(result.command, None)
        if document is None or not busy:
            return
        document.confirmed(result)
        command = document.change()
        newest[command.id] = document
        job = asyncio.ensure_future(rig.order([command]))
        jobs.add(job)
        job.add_done_callback(jobs.discard)

    rig.heard.append(again)
    refused = {one: await rig.refused(one) for one in KINDS}
    later = rig.logged("write.later")
    told(f"work waits for {sizes.minutes} min at true quotas")
    began = time.time()
    for rows in documents.values():
        for document in rows:
            command = document.change()
            newest[command.id] = document
            await rig.order([command])
    points = await _points(rig, sizes.minutes * 60.0)
    ended = time.time()
    figures = [_share("shop", points, "points restored")]
    for connection, quota in QUOTAS.items():
        calls = [call for call in await rig.calls(connection) if began <= call.at <= ended]
        figures.append(_share(connection, _used(calls, quota, ended), f"{quota.calls} calls in {quota.seconds:g} s"))
    count = {one: await rig.refused(one) - refused[one] for one in KINDS}
    figures += [
        JUDGE.at_most(f"{one}: refused for too many calls", number, "calls", 0) for one, number in count.items()
    ]
    figures.append(JUDGE.plain("writes put off for any reason", rig.logged("write.later") - later, "writes"))
    busy = False
    rig.heard.remove(again)
    return figures


def _used(calls: Sequence[Call], quota: Quota, ended: float) -> float:
    """Return the share of *quota* used over as many whole windows as there were from the first call on."""
    first = min(call.at for call in calls)
    windows = int((ended - first) / quota.seconds)
    return sum(call.at < first + windows * quota.seconds for call in calls) / (windows * quota.calls)


async def _points(rig: Rig, seconds: float) -> float:
    """Return the share of the points that the shop restored and that did not run over its full bucket.

    Counts from when what it was full of at first is spent; looks each two seconds by a query of one point.
    """
    kept = restored = 0.0
    _, _, at = await _look(rig)
    deadline, low = time.time() + seconds, False
    while time.time() < deadline:
        await asyncio.sleep(2)
        now, full, moment = await _look(rig)
        low = low or now < full / 2
        if low:
            restored += (moment - at) * POINTS
            kept += (moment - at) * POINTS - 1 if now < full - 1 else 0.0
        at = moment
    return kept / restored if restored else 0.0


async def _look(rig: Rig) -> tuple[float, float, float]:
    headers = {"X-Shopify-Access-Token": "shpat_sandbox"}
    url = f"{rig.stack.urls['shop']}/admin/api/2026-07/graphql.json"
    async with rig.session.post(url, json={"query": "{ shop { name } }"}, headers=headers) as reply:
        cost = (await reply.json())["extensions"]["cost"]["throttleStatus"]
    return float(cost["currentlyAvailable"]), float(cost["maximumAvailable"]), time.time()


def _paced(what: str, loud: float, quiet: float) -> Figure:
    return JUDGE.slower(JUDGE.plain(what, loud, "ms"), "without", quiet, SLOWER)


def _share(connection: str, share: float, quota: str) -> Figure:
    figure = JUDGE.plain(f"{connection}: quota used while work waits", 100 * share, "%")
    return JUDGE.share(figure, quota, 100.0, USED)


async def measured(bootstrap: str, folder: Path, sizes: Sizes, only: str) -> list[Figure]:
    """Return all figures."""
    figures: list[Figure] = []
    for part in ("wide", "true"):
        (folder / part).mkdir()
    if only != "quota":
        async with rigged(folder / "wide", bootstrap, WIDE, dict.fromkeys(KINDS, WIDE)) as rig:
            told(f"making {sizes.documents} documents in each of {len(KINDS)} systems")
            documents, figures = await filled(rig, sizes.documents)
            if only in {"", "changes"}:
                figures += await collapsed(rig, documents)
            for connection in KINDS:
                await rig.faults(connection, latency_s=LATENCY)
            if only in {"", "throttled"}:
                figures += await throttled(rig, documents, sizes)
            if only in {"", "hot"}:
                figures += await hot(rig, documents, sizes)
    if only in {"", "quota"}:
        shares = {"shop": 1.0, **{name: quota.share for name, quota in QUOTAS.items()}}
        async with rigged(folder / "true", bootstrap, 1.0, shares) as rig:
            figures += await used(rig, sizes)
    return figures


def main() -> int:
    """Read the arguments, measure, print."""
    parser = arguments("delivery", __doc__)
    parser.add_argument("--only", default="", choices=("", "changes", "throttled", "hot", "quota"), help="one part")
    given = parser.parse_args()
    sizes = SHORT if given.short else FULL
    return run("delivery", given, lambda kafka, folder: measured(kafka, folder, sizes, given.only))


if __name__ == "__main__":
    sys.exit(main())
