"""Every case in every way it can come in, and whether what became of it is what the case demands."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from aiohttp.http_parser import HttpRequestParser

from app import platforms
from app.core import topics
from app.planning.telling import neutral
from schemas.cloudevents import Headers
from schemas.errors import DecodeError
from schemas.events import ChangeEvent
from schemas.jsonlimits import check_json
from schemas.jsontext import read_json
from schemas.soundness import check_event
from tests.hostile import shapes
from tests.hostile.cases import Case
from tests.hostile.door import KEY, SLUGS, Door, connection, path_of, signed
from tests.hostile.table import Table, home, placed
from tests.hostile.wire import Said, post, send

LIMIT = 1.0
"""Seconds of this thread's processor for one play; who else was busy on the machine does not count."""
BEARER = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/cloudevents+json"}
HEADERS = (("ce_type", b"o2c.order.changed.v1"), ("ce_specversion", b"1.0"), ("ce_id", b"e-1"))
_REFUSED = frozenset(("rejected", "dead letter"))
_KEPT = frozenset(("accepted", "held"))
_ANY = _REFUSED | _KEPT
ALLOWED = {
    "reject": _REFUSED,
    "either": _ANY,
    "reject-or-accept": _ANY,
    "reject-or-normalise": _ANY,
    "reject-or-quarantine": _REFUSED | {"held"},
    "accept-or-quarantine": _KEPT | {"dead letter"},
    "no-resolve": _ANY,
}
"""What may become of a case; a demand that begins with `accept` and is not here allows only what is kept."""
WITHOUT_OFFSET = frozenset(("order-json/dst-gap", "order-json/leap-second"))
"""POST /events answers 400: the contract wants RFC 3339 with an offset, and the sender is told at once."""
SAID_SO_THERE = {
    *(("order-json/amount-arabic-digits", slug) for slug in ("shopify", "hubspot")),
    ("made-up/sen", "hubspot"),
    *(
        (f"order-json/{name}", "hubspot")
        for name in ("epoch-ms-vs-s", "float-third", "long-decimal", "currency-jpy-cents")
    ),
}
"""No doubt about it there: other digits are the same amount; HubSpot's own times are milliseconds, its amounts are often
calculated, and rounded to what the currency has."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one case in one way; `wrong` says why it should not have."""

    case: Case
    way: str
    verdict: str
    seconds: float
    wrong: str = ""
    memory: int = 0
    """Bytes by which it raised the process."""


async def play(case: Case, door: Door, table: Table) -> AsyncIterator[Outcome]:
    """Yield what becomes of *case* in each way that its file is meant for."""
    if case.file == "http":
        yield await _raw(case, door)
        return
    if case.file == "strings":
        async for outcome in _text(case, door, table):
            yield outcome
        return
    for slug in SLUGS:
        yield await _hook(case, slug, door)
    yield await _strange(case, door)
    if case.file == "json":
        yield await _posted(case, "events, beside", shapes.beside(case), (door, table))
    if case.file == "order-json":
        async for outcome in _order(case, door, table):
            yield outcome


def _judged(case: Case, way: str, verdict: str, began: float, wrong: str = "") -> Outcome:
    seconds = time.thread_time() - began
    allowed = ALLOWED.get(case.expect, _KEPT)
    if not wrong and verdict not in allowed:
        wrong = f"{verdict}, not {case.expect}"
    if not wrong and seconds > LIMIT:
        wrong = f"took {seconds:.1f} s"
    return Outcome(case, way, verdict, seconds, wrong)


def _answered(said: Said) -> str:
    if not said.statuses:
        return "no answer"
    return f"{said.status}" if said.status >= 500 else ""


async def _hook(case: Case, slug: str, door: Door) -> Outcome:
    """Post the bytes as *slug* would, rightly signed; a hint names what must be read, so nothing of the body counts."""
    began = time.thread_time()
    said = await send(door.port, post(path_of(slug), signed(slug, case.body), case.body), 10)
    events, hints, dead = door.kept.taken()
    wrong = _answered(said) or ("the body became an observation" if events else "")
    if dead and dead[0][0] != case.body:
        wrong = "the dead letter holds other bytes"
    verdict = "dead letter" if dead else "rejected" if said.status >= 400 else "held"
    if case.file == "xml" and verdict in _REFUSED:  # nothing here reads XML: kept unread is all that can be
        return Outcome(case, f"hook {slug}", verdict, time.thread_time() - began, wrong)
    if case.expect.startswith("accept") or hints:  # no record of that platform
        return Outcome(case, f"hook {slug}", verdict, time.thread_time() - began, wrong)
    return _judged(case, f"hook {slug}", verdict, began, wrong)


async def _strange(case: Case, door: Door) -> Outcome:
    """Post the bytes themselves as an event: none of them is one."""
    began = time.thread_time()
    said = await send(door.port, post("/events", BEARER, case.body), 10)
    wrong = _answered(said) or ("it became an event" if door.kept.taken()[0] else "")
    verdict = "rejected" if 400 <= said.status < 500 else "accepted"
    wrong = wrong or ("" if verdict == "rejected" else f"{said.status} for what is no event")
    return Outcome(case, "events, as it is", verdict, time.thread_time() - began, wrong)


async def _posted(
    case: Case, way: str, body: bytes, at: tuple[Door, Table], right: Callable[[ChangeEvent], bool] | None = None
) -> Outcome:
    door, table = at
    began = time.thread_time()
    said = await send(door.port, post("/events", BEARER, body), 10)
    events, _, _ = door.kept.taken()
    wrong = _answered(said)
    if events and right is not None and not right(events[0]):
        wrong = "the value is not what was sent"
    if case.name in WITHOUT_OFFSET and said.status == 400:
        return Outcome(case, way, "rejected", time.thread_time() - began, wrong)
    if events and case.file == "order-json" and not wrong:  # accepted is not yet on a ledger
        folded = await _folded(case, way, table, (home(events[0].object.id), HEADERS, msgspec.json.encode(events[0])))
        return Outcome(case, way, folded.verdict, time.thread_time() - began, folded.wrong)
    return _judged(case, way, "accepted" if events else "rejected", began, wrong)


async def _order(case: Case, door: Door, table: Table) -> AsyncIterator[Outcome]:
    data = shapes.contract(case)
    yield await _posted(
        case, "events, as an order", shapes.envelope(data), (door, table), lambda event: _exact(case, event)
    )
    yield await _folded(case, "topic", table, (home("7"), HEADERS, data))
    for slug, shape in shapes.RECORDS.items():
        began = time.thread_time()
        try:
            check_json(body := shape.of(case.body))
            source = platforms.load(slug).source(connection(slug))
            events = source.parse(shape.type, read_json(body))
            for event in events:
                check_event(event)
        except DecodeError:
            events = []
        if not events:
            yield _judged_parse(case, f"parse {slug}", began)
        for event in events[:1]:
            folded = await _folded(case, f"parse {slug}", table, placed(event), topics.ORDER_FACTS)
            meant = (case.name, slug) in SAID_SO_THERE
            yield msgspec.structs.replace(folded, wrong="" if meant else folded.wrong)


def _judged_parse(case: Case, way: str, began: float) -> Outcome:
    """A platform's record may lack what this case leaves out: nothing is lost, it is no order of that platform."""
    return Outcome(case, way, "rejected", time.thread_time() - began)


async def _folded(
    case: Case, way: str, table: Table, record: tuple[bytes, Headers, bytes], topic: str = topics.CRM_CHANGES
) -> Outcome:
    began = time.thread_time()
    outs, dead = await table.take(*record, kept=case.file == "strings", topic=topic)
    planned = any(out.topic == topics.COMMANDS for out in outs)
    verdict = "dead letter" if dead else "accepted" if planned else "held"
    return _judged(case, way, verdict, began)


def _exact(case: Case, event: ChangeEvent) -> bool:
    """Tell whether id and total are to the last sign what the case says."""
    with contextlib.suppress(ValueError):
        sent = read_json(case.body)
        id_ = str(sent.get("id", "7"))
        same_id = id_ == event.object.id and getattr(event.facts, "number", "") in {
            id_,
            "" if "id" not in sent else id_,
        }
        return same_id and str(sent.get("total", "None")) == str(getattr(event.facts, "payable_amount", None))
    return False


async def _text(case: Case, door: Door, table: Table) -> AsyncIterator[Outcome]:
    text = case.body.decode()
    data = shapes.named(text)
    yield await _posted(
        case, "events, every text", shapes.envelope(data), (door, table), lambda event: _is_everywhere(text, event)
    )
    yield await _folded(case, "topic, every text", table, (home("7"), HEADERS, data))
    began = time.thread_time()
    data = shapes.numbered(text)
    said = await send(door.port, post("/events", BEARER, shapes.envelope(data)), 10)
    events, _, _ = door.kept.taken()
    right = not events or events[0].object.id == getattr(events[0].facts, "number", "") == text
    wrong = _answered(said) or ("" if right else "the name is not what was sent")
    if text and text.isprintable() and not events:
        wrong = "a name that can be printed was refused"
    yield Outcome(case, "events, as a name", "accepted" if events else "rejected", time.thread_time() - began, wrong)
    cell = neutral(text)
    wrong = (
        "a spreadsheet runs it" if cell[:1] in "=+-@\t\r\n" and cell else "" if text in cell else "the cell lost text"
    )
    yield Outcome(case, "spreadsheet", "accepted", 0, wrong)


def _is_everywhere(text: str, event: ChangeEvent) -> bool:
    facts: Any = event.facts
    shown = {facts.note, facts.po_number, facts.stage, facts.customer.name, facts.customer.email, facts.lines[0].sku}
    return shown == {text}


_GOOD = shapes.envelope(b'{"tenant":"acme",' + shapes._REF + b',"facts":{"type":"order","currency":"EUR"}}')
BEHIND = post("/events", BEARER, _GOOD)
"""A whole good request: behind a hostile one it must not be taken."""
PURE = HttpRequestParser.__module__ == "aiohttp.http_parser"
"""Whether aiohttp's pure-Python parser reads (AIOHTTP_NO_EXTENSIONS=1): some chunks it waits for instead of refusing them."""


async def _raw(case: Case, door: Door) -> Outcome:
    """Send the bytes; afterwards a new connection must be served, and none of the bytes be another request."""
    began = time.thread_time()
    if case.raw:
        with_key = f"/events HTTP/1.1\r\nAuthorization: {BEARER['Authorization']}".encode()
        request = case.body.replace(b"/webhooks/test HTTP/1.1", with_key)
    else:
        request = post("/events", {**BEARER, "Content-Encoding": case.coding}, case.body)
    said = await send(door.port, request, 2, finish=case.expect == "no-event")
    events, hints, dead = door.kept.taken()
    again = await send(door.port, post("/events", BEARER, _GOOD), 10)
    door.kept.taken()
    allowed = {int(part) for part in case.expect.replace("-or-", " ").split() if part.isdigit()}
    allowed |= {408} if PURE and "chunk" in case.name and allowed else set()
    wrong = ""
    if events or hints or dead:
        wrong = "something was published"
    elif allowed and said.status not in allowed:
        wrong = f"{said.status or 'no answer'}, not {case.expect}"
    elif case.raw and len(said.statuses) > 1:
        wrong = "one request was answered twice"
    elif case.raw and allowed and not said.closed and said.status != 408 and "accept" not in case.expect:
        wrong = "the connection stays open"
    elif again.status != 202:
        wrong = "the next good request is not served"
    return Outcome(case, "socket, pure Python" if PURE else "socket", "rejected", time.thread_time() - began, wrong)
