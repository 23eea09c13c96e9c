"""A look that shows nothing new is not told again, unless the stream asked for it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec
import pytest

from app.connectors.known import Known
from app.connectors.reading import Reader
from app.core.talk import Request, Response
from schemas.commands import SWEEP
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.refs import ObjectRef
from streams.sources.platforms.xero import XeroSource

ACCOUNT = "00000000-0000-4000-8000-000000000001"
REF = ObjectRef("books", ACCOUNT, "invoice", "00000000-0000-4000-8000-000000000009")


class Ledger:
    """Answers the read of one invoice; people change its reference."""

    def __init__(self) -> None:
        self.reference, self.paid = "R-1", ""

    async def __call__(self, _request: Request) -> Response:
        invoice: dict[str, Any] = {
            "Type": "ACCREC", "InvoiceID": REF.id, "InvoiceNumber": "INV-9", "Status": "AUTHORISED", "Total": 1,
            "AmountDue": 1, "CurrencyCode": "EUR", "Reference": self.reference,
            "UpdatedDateUTC": "/Date(1772442000000+0000)/",
        }  # fmt: skip
        if self.paid:
            invoice["Payments"] = [
                {"PaymentID": f"{ACCOUNT[:-1]}7", "Date": "/Date(1772442000000+0000)/", "Amount": self.paid},
            ]
        return Response(status=200, body=msgspec.json.encode({"Invoices": [invoice]}))


@pytest.mark.parametrize(("reason", "told"), [("INVOICE.UPDATE", 1), ("tie", 2), ("parent", 2), ("expired", 2)])
async def test_an_unchanged_object_is_told_again_only_when_asked_for(reason: str, told: int) -> None:
    events, ledger = list[ChangeEvent](), Ledger()
    reader = _reader(ledger, events)
    for _ in range(2):
        await reader._read([Hint(tenant="acme", object=REF, reason=reason)])
    assert len(events) == told
    ledger.reference = "R-2"
    await reader._read([Hint(tenant="acme", object=REF, reason="INVOICE.UPDATE")])
    assert len(events) == told + 1


async def test_what_a_write_showed_is_not_told_again_and_counts_once_as_an_echo() -> None:
    events, ledger, known, echoes = list[ChangeEvent](), Ledger(), Known(), list[str]()
    hint = Hint(tenant="acme", object=REF, reason="INVOICE.UPDATE")
    await _reader(ledger, events)._read([hint])
    known.note(events.pop(), "shop")
    reader = _reader(ledger, events, known=known, echo=echoes.append)
    for _ in range(2):
        await reader._read([hint])
    assert (events, echoes) == ([], ["shop"])
    ledger.reference = "R-2"
    await reader._read([hint])
    assert (len(events), echoes) == (1, ["shop"])


async def test_of_what_a_tie_reads_only_its_object_and_what_changed_is_told() -> None:
    events, ledger = list[ChangeEvent](), Ledger()
    ledger.paid = "1.00"
    reader = _reader(ledger, events)
    tie = Hint(tenant="acme", object=REF, reason="tie")
    await reader._read([tie])
    assert [event.object.type for event in events] == ["invoice"]
    await reader._read([msgspec.structs.replace(tie, reason="INVOICE.UPDATE")])
    assert [event.object.type for event in events] == ["invoice", "payment"]
    ledger.paid = "0.50"
    await reader._read([tie])
    assert sorted(event.object.type for event in events[2:]) == ["invoice", "payment"]


async def test_what_a_webhook_hinted_at_is_told_with_all_its_parts_although_ties_are_read_beside_it() -> None:
    events, ledger = list[ChangeEvent](), Ledger()
    ledger.paid = "1.00"
    reader = _reader(ledger, events)
    other = msgspec.structs.replace(REF, id="00000000-0000-4000-8000-000000000010")
    hints = [Hint(tenant="acme", object=other, reason="tie"), Hint(tenant="acme", object=REF, reason="INVOICE.UPDATE")]
    assert await reader.read_all(hints) == []
    assert "payment" in {event.object.type for event in events}


async def test_only_the_unreadable_object_of_a_batch_is_put_aside_with_its_reason() -> None:
    events, ledger, aside = list[ChangeEvent](), Ledger(), list[tuple[str, str]]()

    async def put_aside(hint: Hint, why: str) -> None:
        aside.append((hint.object.id, why))

    reader = _reader(ledger, events, put_aside=put_aside)
    strange = ObjectRef("books", ACCOUNT, "unheard_of", "7")
    again = await reader.read_all([Hint(tenant="acme", object=ref) for ref in (strange, REF)])
    assert (again, len(events)) == ([], 1)
    assert [(id_, bool(why)) for id_, why in aside] == [("7", True)]


async def test_what_is_named_by_no_printable_name_is_put_aside_and_the_rest_is_told() -> None:
    events, ledger, aside = list[ChangeEvent](), Ledger(), list[str]()
    ledger.paid = "1.00"

    async def put_aside(hint: Hint, why: str) -> None:
        aside.append(f"{hint.object.type}: {why}")

    reader = _reader(ledger, events, put_aside=put_aside)
    shown = await reader._talk(reader._source.read(Hint(tenant="acme", object=REF)), SWEEP)
    strange = [msgspec.structs.replace(shown[0], object=msgspec.structs.replace(REF, id="a\r\nb")), *shown[1:]]
    await reader._publish_all(strange, 1)
    assert [event.object.type for event in events] == ["payment"]
    assert aside == ["invoice: The name of an object has a character that cannot be printed."]


@pytest.mark.parametrize(("changed", "origin"), [("12:00:06", "sweep"), ("12:00:07", "sweep"), ("12:00:05", "read")])
async def test_what_changed_in_the_very_second_of_the_last_pass_was_found_by_a_sweep(changed: str, origin: str) -> None:
    reader = _reader(Ledger(), [])
    (shown, *_) = await reader._talk(reader._source.read(Hint(tenant="acme", object=REF)), SWEEP)
    event = msgspec.structs.replace(shown, changed_at=datetime.fromisoformat(f"2026-03-02T{changed}+00:00"))
    assert reader._found(event, datetime.fromisoformat("2026-03-02T12:00:06.400000+00:00")).origin == origin


def _reader(send: Ledger, events: list[ChangeEvent], **more: Any) -> Reader:
    async def publish(event: ChangeEvent) -> None:
        events.append(event)

    async def keep(_name: str, _cursor: object) -> None:
        return None

    return Reader(
        XeroSource(Connection(name="books", tenant="acme", platform="xero", account=ACCOUNT)),
        send,
        publish,
        epoch=1,
        number=lambda: len(events) + 1,
        keep_cursor=keep,
        cursors={},
        failed=lambda _error: None,
        **more,
    )


async def test_an_urgent_hint_is_read_before_a_backlog_of_echoes_and_told_once_it_was() -> None:
    events, ledger, read = list[ChangeEvent](), Ledger(), list[str]()
    reader = _reader(ledger, events)
    echoes = [msgspec.structs.replace(REF, id=f"00000000-0000-4000-8000-{n:012}") for n in range(250)]
    for ref in echoes:
        reader.want(Hint(tenant="acme", object=ref, priority=SWEEP), lambda: read.append("echo"))
    assert await reader._read_wanted() == []
    assert 0 < len(read) < len(echoes)
    reader.want(Hint(tenant="acme", object=REF), lambda: read.append("live"))
    before = len(read)
    await reader._read_wanted()
    assert "live" in read[before:]


async def test_a_hint_that_came_during_the_read_of_its_object_is_read_again() -> None:
    events, ledger, read = list[ChangeEvent](), Ledger(), list[int]()
    reader = _reader(ledger, events)
    hint = Hint(tenant="acme", object=REF)
    reader.want(hint, lambda: read.append(1))
    reading = asyncio.create_task(reader._read_wanted())
    await asyncio.sleep(0)
    reader.want(hint, lambda: read.append(2))
    await reading
    assert read == [1]
    await reader._read_wanted()
    assert read == [1, 2]
