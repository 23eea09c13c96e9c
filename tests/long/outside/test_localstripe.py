"""Stripe's source and sink against localstripe, a simulation of Stripe that nobody here wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web

from app.config.model import ResolvedConnection
from app.core.errors import O2CError, RejectedError, UncertainError
from app.core.metrics import new_metrics
from app.core.talk import Talk
from app.deliveries.record import decoded
from app.deliveries.translating import meaning
from app.gateway.addresses import Addresses, addresses
from app.gateway.server import Gateway
from app.roles.status_page import serve
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import Anchor, Hint
from schemas.facts import Credit, Customer, Facts, Invoice, Line, Party, Payment, Payout, Shipment
from schemas.platforms.stripe import PLATFORM
from schemas.refs import ObjectRef
from sinks.base import Written
from sinks.platforms.stripe import StripeSink
from streams.sources.platforms.stripe import StripeSource
from tests.long.outside.stripe_there import AUTH, There, running
from tests.made_up_deliveries import as_record
from tests.platforms.conversation import converse

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
T = TypeVar("T")
CONNECTION = Connection(name="pay", tenant="acme", platform="stripe", account="acct_1")
SOURCE, SINK = StripeSource(CONNECTION), StripeSink(CONNECTION)
MARK = f"o2c1:{'a' * 32}:{'b' * 12}"
EUROS = Decimal("24.90")
ORDER = {"metadata[order_id]": "SO-1"}


@pytest.fixture(scope="module")
def there(localstripe_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    with running(localstripe_python, tmp_path_factory.mktemp("stripe")) as found:
        yield found


@pytest.fixture(autouse=True)
def empty(there: There) -> None:
    there.delete("/_config/data")


@pytest.fixture
def talk(there: There) -> Callable[[Talk[Any]], Any]:
    async def run(conversation: Talk[T]) -> T:
        return await converse(conversation, there.url, {**PLATFORM.headers, **AUTH})

    return run


def _hint(type_: str, id_: str) -> Hint:
    return Hint(tenant="acme", object=ObjectRef("pay", "acct_1", type_, id_))


def _command(capability: str, facts: Facts, **more: Any) -> Command:
    values: dict[str, Any] = {
        "id": "f" * 32,
        "kind": "create",
        "tenant": "acme",
        "connection": "pay",
        "account": "acct_1",
        "order": "a" * 32,
        "entity": "e",
        "write": "w",
        "canonical": "c",
        "mark": MARK,
    }
    return Command(**{**values, "capability": capability, "facts": facts, **more})


class Memory:
    """Where a gateway publishes to, and what it answered."""

    def __init__(self, served: Addresses) -> None:
        self._served = served
        self.hints: list[Hint] = []
        self.answered: asyncio.Queue[int] = asyncio.Queue()

    async def keep(self, key: bytes, body: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        delivery = decoded(as_record(key, body, headers))
        said = meaning(self._served[delivery.owner, delivery.name], delivery)
        if said.unreadable:
            raise AssertionError(f"{said.unreadable} {body!r}")
        self.hints += said.hints


@asynccontextmanager
async def _gateway(secret: str) -> AsyncIterator[tuple[str, Memory]]:
    resolved = ResolvedConnection(
        connection=CONNECTION,
        secrets={"webhook_secret": secret},
        allow_private=True,
        sweep_seconds=1,
        quota_share=1,
    )
    where = addresses([resolved], {"stripe": StripeSource})
    memory = Memory(where)
    app = Gateway(where, memory, new_metrics(), public_url="https://hooks.example.com").app()

    @web.middleware
    async def watched(request: web.Request, handler: Callable[..., Awaitable[web.StreamResponse]]) -> Any:
        answer = await handler(request)
        memory.answered.put_nowait(answer.status)
        return answer

    app.middlewares.insert(0, watched)
    runner, port = await serve(app, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}/hooks/acme/pay", memory
    await runner.cleanup()


async def test_its_webhooks_pass_our_gateway_and_lead_to_what_happened(there: There, talk: Any) -> None:
    async with _gateway("whsec_ours") as (ours, heard), _gateway("whsec_another") as (other, nothing):
        there.send_webhooks_to("ours", ours, "whsec_ours")
        there.send_webhooks_to("other", other, "whsec_ours")
        made = there.payment(2490, **ORDER)
        async with asyncio.timeout(60):
            assert (await heard.answered.get(), await nothing.answered.get()) == (200, 400)
    assert nothing.hints == [], "a signature under another secret must not pass"
    (hint,) = heard.hints
    assert (hint.object.id, hint.reason) == (made["id"], "payment_intent.succeeded")
    (event,) = await talk(SOURCE.read(hint))
    assert isinstance(event.facts, Payment)
    assert (event.facts.amount, event.facts.currency, event.facts.status) == (EUROS, "EUR", "succeeded")
    assert event.anchors == (Anchor("number", ObjectRef("", "", "number", "SO-1")),)


async def test_a_sweep_pages_through_everything_and_each_object_reads(there: There, talk: Any) -> None:
    payment, invoice = there.payment(2490, **ORDER)["id"], there.invoice(5000)
    payout = there.post("/v1/payouts", {"amount": 700, "currency": "eur", "status": "paid"})["id"]
    customers = [there.customer(email=f"c{n}@example.com") for n in range(110)]
    now = datetime.now(UTC)
    page = await talk(SOURCE.sweep("events", "", now))
    found = {hint.object.id: hint for hint in page.hints}
    while page.more:
        assert len(page.hints) <= 100
        page = await talk(SOURCE.sweep("events", page.cursor, datetime.now(UTC)))
        found |= {hint.object.id: hint for hint in page.hints}
    assert {payment, invoice, payout, *customers} <= set(found)
    assert page.complete_up_to == now
    events = {id_: (await talk(SOURCE.read(found[id_])))[0] for id_ in (payment, invoice, payout, customers[-1])}
    shown = events[invoice].facts
    assert isinstance(shown, Invoice)
    assert (shown.payable_amount, shown.paid_amount, shown.status, shown.currency) == (50, 50, "paid", "EUR")
    assert [(line.quantity, line.net_amount) for line in shown.lines] == [(1, 50)]
    paid_out = events[payout].facts
    assert isinstance(paid_out, Payout)
    assert (paid_out.amount, paid_out.status) == (7, "paid")
    again, cursor, more = set[str](), page.cursor, True
    while more:
        page = await talk(SOURCE.sweep("events", cursor, datetime.now(UTC)))
        again |= {hint.object.id for hint in page.hints}
        cursor, more = page.cursor, page.more
    assert again == set(found), "five minutes are swept again"


async def test_what_is_gone_reads_as_deleted(there: There, talk: Any) -> None:
    id_ = there.customer(email="gone@example.com")
    there.delete(f"/v1/customers/{id_}")
    (event,) = await talk(SOURCE.read(_hint("customer", id_)))
    assert (event.presence, event.facts) == ("deleted", None)


async def test_a_customer_is_made_once(talk: Any) -> None:
    command = _command("upsert_customer", Customer(party=Party(name="Ada", email="ada@example.com")))
    first, second = await talk(SINK.write(command)), await talk(SINK.write(command))
    assert first.id == second.id
    (event,) = await talk(SOURCE.read(_hint("customer", first.id)))
    assert event.facts.party.email == "ada@example.com"


async def test_a_refund_is_made_found_again_and_read(there: There, talk: Any) -> None:
    payment = there.payment(2490)["id"]
    back = Credit(document="refund", amount=Decimal("4.90"), currency="EUR")
    command = _command("record_refund", back, links={"payment": payment})
    assert await talk(SINK.probe(command)) is None
    written: Written = await talk(SINK.write(command))
    found: Written = await talk(SINK.probe(command))
    assert (found.id, found.mark) == (written.id, MARK)
    (event,) = await talk(SOURCE.read(_hint("refund", written.id)))
    assert isinstance(event.facts, Credit)
    assert (event.facts.amount, event.facts.status, event.mirror_of) == (Decimal("4.90"), "issued", MARK)
    assert event.anchors == (Anchor("object", ObjectRef("pay", "acct_1", "payment_intent", payment)),)


async def test_an_invoice_is_changed_noted_shipped_found_and_voided(there: There, talk: Any) -> None:
    bound = there.invoice(5000, "asks the holder")
    facts = Invoice(currency="EUR", payable_amount=Decimal(50), note="Leave it at the door")
    update = _command("upsert_invoice", facts, kind="set", bound_id=bound, changes=("note",))
    written: Written = await talk(SINK.write(update))
    assert isinstance(written.facts, Invoice)
    assert (written.facts.note, written.facts.status, written.mark) == (facts.note, "invoiced", MARK)
    links = {"invoice": bound}
    await talk(SINK.write(_command("add_note", facts, links=links, text="Call first")))
    parcel = Shipment(carrier="UPS", tracking_numbers=("1Z1", "1Z2"))
    await talk(SINK.write(_command("record_shipment", parcel, links=links)))
    assert there.get(f"/v1/invoices/{bound}")["metadata"] == {
        "o2c": MARK,
        "note_bbbbbbbbbbbb": "Call first",
        "parcel_bbbbbbbbbbbb": "UPS 1Z1, 1Z2",
        "carrier": "UPS",
        "tracking_number": "1Z1, 1Z2",
    }
    found: Written = await talk(SINK.probe(update))
    reread: Written = await talk(SINK.reread(update))
    assert found.id == reread.id == bound
    voided: Written = await talk(SINK.write(_command("void_invoice", facts, links=links)))
    assert isinstance(voided.facts, Invoice)
    assert voided.facts.status == "void"


LINE = Line(name="Mug", quantity=Decimal(2), unit_price=Decimal("12.45"), net_amount=EUROS)
CANNOT: dict[str, tuple[Facts, type[O2CError]]] = {
    # It makes invoices of subscriptions only and fails with 500 on the parameters of any other.
    "upsert_invoice": (Invoice(currency="EUR", payable_amount=EUROS, lines=(LINE,)), UncertainError),
    # It has no /send, no payment records and no credit notes.
    "request_payment": (Invoice(currency="EUR", payable_amount=EUROS), RejectedError),
    "record_payment": (Payment(amount=EUROS, currency="EUR", date=date(2026, 1, 2)), RejectedError),
    "issue_credit": (Credit(amount=EUROS, currency="EUR"), RejectedError),
    "void_credit": (Credit(amount=EUROS, currency="EUR"), RejectedError),
}


@pytest.mark.parametrize("capability", list(CANNOT))
async def test_what_it_cannot_do_ends_in_an_error_not_in_silence(capability: str, there: There, talk: Any) -> None:
    facts, error = CANNOT[capability]
    with pytest.raises(error):
        await talk(SINK.write(_command(capability, facts, links={"invoice": there.invoice(2490)})))


def test_every_capability_is_tried_here_or_named_as_impossible() -> None:
    done = {"upsert_customer", "record_refund", "add_note", "record_shipment", "void_invoice"}
    assert done | set(CANNOT) == set(PLATFORM.capabilities)
