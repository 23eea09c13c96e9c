"""Made-up orders as the topics carry them: a shop's order, copied to a CRM, invoiced and paid in a ledger, shipped."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app.core import topics
from schemas.cloudevents import encode
from schemas.commands import Command, Pair, Result
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Address, Invoice, Line, Order, Party, Payment, Shipment
from schemas.findings import Finding
from schemas.links import Parked
from schemas.order_state import PublicOrder, Shown, Waiting
from schemas.refs import ObjectRef, order_key
from schemas.state import Conflict
from sinks.delivery.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.facts import Facts

TENANT, OTHER = "acme", "other"
OTHERS_TOO = 100
"""Each so many orders, the other tenant has an order with the same ids."""
PARKED, REFUSED, CONFLICTING = 200, 50, 500
"""Each so many orders there is a payment that nobody could place, a refused payment, a lost value."""
_LIFE = timedelta(hours=20)
_ENCODE = msgspec.json.Encoder().encode
_BODY = base64.b64encode(random.Random(1).randbytes(900)).decode()
_REPLY = base64.b64encode(random.Random(2).randbytes(1_500)).decode()


class Record(NamedTuple):
    """One record; *topic* without prefix, *timestamp* in milliseconds."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


def ids(number: int) -> dict[str, str]:
    """Return every id of an order that people may know, by kind."""
    return {
        "key": order_key(TENANT, _ref("shop", "order", f"{5_000_000 + number}")),
        "shop number": f"SO-{number}",
        "shop id": f"{5_000_000 + number}",
        "CRM id": f"{77_000_000 + number}",
        "invoice id": f"0a1b2c3d-0000-4000-8000-{number:012x}",
        "invoice number": f"INV-{number}",
        "payment id": f"pi_{number:016x}",
        "payment reference": f"ch_{number:016x}",
        "tracking number": f"1Z{number:010d}",
        "command": f"{number:030x}02",
    }


def of_order(number: int, at: datetime, seq: int = 1) -> Iterator[Record]:
    """Yield what the topics carry of one order whose life began at *at*; a greater *seq* is a later look."""
    yield from _Life(TENANT, number, at, seq).records()
    if number % OTHERS_TOO == 0 and seq == 1:
        yield from _Life(OTHER, number, at, seq).records()


def all_orders(count: int, seed: int = 0) -> Iterator[Record]:
    """Yield what the topics carry of *count* orders; their lives were spread over the last day."""
    chance, end = random.Random(seed), datetime.now(UTC)
    for number in range(count):
        yield from of_order(number, end - _LIFE * chance.uniform(0.1, 1.0))


def _ref(connection: str, kind: str, id_: str, tenant: str = TENANT) -> ObjectRef:
    name = connection if tenant == TENANT else f"{connection}-{tenant}"
    return ObjectRef(name, f"account-of-{name}", kind, id_)


class _Life:
    """One order from being placed to being paid and shipped; each step a minute after the one before."""

    def __init__(self, tenant: str, number: int, at: datetime, seq: int) -> None:
        self._tenant, self._number, self._at, self._seq = tenant, number, at, seq
        self._ids = ids(number)
        refs = {
            "order": ("shop", "order", "shop id"),
            "deal": ("crm", "deal", "CRM id"),
            "invoice": ("books", "invoice", "invoice id"),
            "payment": ("pay", "payment", "payment id"),
            "parcel": ("shop", "fulfillment", "tracking number"),
        }
        self._refs = {name: _ref(where, kind, self._ids[id_], tenant) for name, (where, kind, id_) in refs.items()}
        self._refs["booked"] = _ref("books", "payment", f"b-{number}", tenant)
        self._key = order_key(tenant, self._refs["order"])
        self._amount = Decimal(1_000 + number * 7 % 90_000) / 100
        self._trace = f"00-{number + 1:032x}-{seq:016x}-01"
        self._facts = self._all_facts()

    def _all_facts(self) -> dict[str, Facts]:
        names, amount = self._ids, self._amount
        who = Party(
            name=f"Customer {self._number}", email=f"c{self._number}@shop.example", address=Address(
                line1=f"{self._number % 200} High Street", city="Springfield", postcode="12345", country="US"
            ),
        )  # fmt: skip
        net, tax = amount - Decimal("1.60"), Decimal("1.60")
        lines = tuple(
            Line(id=f"{part}", sku=f"SKU-{part}", name=f"A thing of kind {part}", unit_price=net, net_amount=net,
                 tax_amount=tax, tax_rate=Decimal(20))
            for part in range(3)
        )  # fmt: skip
        totals: dict[str, Any] = {
            "currency": "EUR", "customer": who, "lines": lines, "net_amount": net, "tax_amount": tax,
            "payable_amount": amount,
        }  # fmt: skip
        order = Order(number=names["shop number"], placed_at=self._at, **totals)
        invoice = Invoice(number=names["invoice number"], reference=names["shop number"], **totals)
        payment = Payment(amount=amount, currency="EUR", paid_at=self._at, reference=names["payment reference"])
        parcel = Shipment(carrier="UPS", tracking_numbers=(names["tracking number"],))
        booked = msgspec.structs.replace(payment, reference="")
        return {
            "order": order,
            "deal": order,
            "invoice": invoice,
            "payment": payment,
            "parcel": parcel,
            "booked": booked,
        }

    def records(self) -> Iterator[Record]:
        yield self._look("order", 0, "webhook")
        yield self._state(0, "open", "none", ("order",))
        yield from self._write("upsert_order", "deal", 1)
        yield from self._write("upsert_invoice", "invoice", 2)
        yield self._state(3, "invoiced", "invoiced", ("order", "deal", "invoice"))
        yield self._look("payment", 4, "webhook")
        yield from self._write("record_payment", "booked", 5)
        yield self._look("parcel", 7, "read")
        yield self._look("order", 8, "sweep")
        yield self._state(9, "paid", "paid", tuple(self._refs))
        if self._number % PARKED == 0:
            yield from self._parked()

    def _record(self, topic: str, key: str, value: Any, minutes: float) -> Record:  # noqa: ANN401 - any message
        at = self._at + timedelta(minutes=minutes)
        return Record(topic, key.encode(), _ENCODE(value), (), int(at.timestamp() * 1000))

    def _event(self, name: str, minutes: float, origin: Any) -> ChangeEvent:  # noqa: ANN401 - a literal
        return ChangeEvent(
            tenant=self._tenant, object=self._refs[name], facts=self._facts[name], origin=origin, trace=self._trace,
            version=Version(read=origin == "read", epoch=1, seq=self._seq * 10 + int(minutes)), order=self._key,
            told_at=self._at + timedelta(minutes=minutes), changed_at=self._at + timedelta(minutes=minutes),
        )  # fmt: skip

    def _look(self, name: str, minutes: float, origin: str) -> Record:
        event = self._event(name, minutes, origin)
        kind = {"deal": "order", "parcel": "shipment", "booked": "payment"}.get(name, name)
        key, headers, value = encode(event, kind)
        return Record(topics.side_topic(kind), key, value, headers, int((event.told_at or self._at).timestamp() * 1000))

    def _write(self, capability: Any, name: str, minutes: float) -> Iterator[Record]:  # noqa: ANN401 - a literal
        """Yield a command, its request as it left and as it was answered, and its result."""
        ref = self._refs[name]
        command = (
            f"{self._number:030x}{int(minutes):02d}"
            if self._tenant == TENANT
            else f"{self._key[:30]}{int(minutes):02d}"
        )
        refused = capability == "record_payment" and self._number % REFUSED == 0
        same: dict[str, Any] = {
            "tenant": self._tenant, "connection": ref.connection, "account": ref.account, "capability": capability,
            "order": self._key, "write": f"{ref.connection}|{name}", "trace": self._trace,
        }  # fmt: skip
        asked = Command(
            id=command, kind="create", entity=f"{name}/{self._key}", canonical=self._key, facts=self._facts[name],
            fields={"number": self._ids["shop number"], "payable": f"{self._amount}"}, digest="d" * 32, **same,
        )  # fmt: skip
        row = Row(
            command=command, step=name, epoch=1, method="POST", path=f"/api/{name}s", body=_BODY,
            content_type="application/json", at=(self._at + timedelta(minutes=minutes, seconds=1)).timestamp(),
        )  # fmt: skip
        ended = msgspec.structs.replace(
            row, state="not_done" if refused else "confirmed", status=400 if refused else 200, reply=_REPLY
        )
        result = Result(
            command=command, outcome="rejected" if refused else "confirmed", bound=None if refused else ref,
            reason="The account is closed." if refused else "", made={"number": Pair("a", "a")}, epoch=1,
            events=() if refused else (self._event(name, minutes + 0.1, "write"),), **same,
        )  # fmt: skip
        place = f"{ref.connection}|{command}/{name}"
        yield self._record(topics.COMMANDS, ref.connection, asked, minutes)
        yield self._record(topics.JOURNAL, place, row, minutes)
        yield self._record(topics.JOURNAL, place, ended, minutes)
        yield self._record(topics.RESULTS, self._key, result, minutes + 0.1)

    def _state(self, minutes: float, headline: str, financial: Any, names: tuple[str, ...]) -> Record:  # noqa: ANN401 - a literal
        ours = {"deal", "invoice", "booked"}
        kinds = {"deal": "order", "parcel": "shipment", "booked": "payment"}
        refused = headline == "paid" and self._number % REFUSED == 0
        shown = tuple(
            Shown(
                connection=ref.connection, account=ref.account, type=ref.type, id=ref.id, kind=kinds.get(name, name),
                status=headline, amount=self._amount, ours=name in ours,
                write=f"{ref.connection}|{name}" if name in ours else "",
            )
            for name, ref in ((name, self._refs[name]) for name in names if not (refused and name == "booked"))
        )  # fmt: skip
        waiting = Waiting(
            connection=self._refs["booked"].connection, capability="record_payment", outcome="rejected",
            reason="The account is closed.", write=f"{self._refs['booked'].connection}|booked", digest="d" * 32,
        )  # fmt: skip
        finding = Finding("rejected", "block", "A payment was refused.", next_step="Mend it.")
        return self._record(topics.ORDER_STATES, self._key, PublicOrder(
            key=self._key, tenant=self._tenant, flow="web", number=self._ids["shop number"], headline=headline,
            financial=financial, currency="EUR", payable_amount=self._amount, invoiced_amount=self._amount,
            paid_amount=self._amount if headline == "paid" else Decimal(0),
            amount_due=Decimal(0) if headline == "paid" else self._amount, shown=shown,
            tracking_numbers=(self._ids["tracking number"],) if "parcel" in names else (),
            waiting=(waiting,) if refused else (), findings=(finding,) if refused else (),
            conflicts=(Conflict(field="note", kept="a", lost="b"),) if self._number % CONFLICTING == 0 else (),
        ), minutes)  # fmt: skip

    def _parked(self) -> Iterator[Record]:
        ref = _ref("books", "payment", f"stray-{self._number}", self._tenant)
        anchor = Anchor("number", ObjectRef("", "", "order", self._ids["shop number"]))
        event = ChangeEvent(
            tenant=self._tenant, object=ref, facts=self._facts["booked"], origin="read", anchors=(anchor,),
            version=Version(read=True, epoch=1, seq=self._seq),
        )  # fmt: skip
        key, headers, value = encode(event, "payment")
        yield Record(topics.ACCOUNTING_CHANGES, key, value, headers, int(self._at.timestamp() * 1000))
        parked = Parked(
            object=ref, tenant=self._tenant, anchors=(f"number/{self._tenant}/SO-{self._number}",), since=self._at
        )
        yield self._record(topics.PARKED, ref.key, parked, 15)
