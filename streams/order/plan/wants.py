"""What each target of a flow should show of an order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from schemas.connection import Connection
from schemas.facts import Credit, Invoice, Line, Order, Payment, Shipment
from schemas.flow import Target
from schemas.money import ZERO
from schemas.platform import Effect, Platform
from schemas.refs import ObjectRef
from schemas.state import OrderState, WriteRecord
from streams.order.derive import Derived
from streams.order.derive.checks import rounding
from streams.order.derive.money import Counted
from streams.order.derive.status import HEADLINES
from streams.order.plan.want import Want, write_key

_MONEY_STARTED = frozenset(("confirmed", "uncertain", None))


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """One target with everything that decides what it should show."""

    state: OrderState
    derived: Derived
    target: Target
    connection: Connection
    platform: Platform

    @property
    def name(self) -> str:
        """Return the connection's name."""
        return self.connection.name

    def can(self, capability: str) -> bool:
        """Tell whether the platform has the capability and the flow allows what it does in the world."""
        effect = self.platform.capabilities.get(capability)  # type: ignore[call-overload]  # any word may be asked
        return effect is Effect.RECORDS or (effect is not None and capability in self.target.allow)

    def record(self, key: str) -> WriteRecord | None:
        """Return the write record of *key*."""
        return self.state.writes.get(key)

    def bound(self, key: str) -> ObjectRef | None:
        """Return the object that a write is bound to."""
        record = self.record(key)
        return None if record is None else record.bound

    @property
    def order_ref(self) -> ObjectRef | None:
        """Return the order's object in this system: the key-giver's own, or our copy."""
        if self.derived.giver.object.connection == self.name:
            return self.derived.giver.object
        return self.bound(write_key(self.name, "order"))

    @property
    def document_key(self) -> str:
        """Return the write record of the document that bills the order here."""
        return write_key(self.name, "document")


def wants(desk: Desk) -> Iterator[Want]:
    """Yield what the target should show, parents before what hangs on them."""
    yield from _order(desk)
    yield from _document(desk)
    yield from _payments(desk)
    yield from _credits(desk)
    yield from _shipments(desk)
    yield from _status(desk)


def _canonical(desk: Desk) -> str:
    return desk.derived.giver.object.key


def _order(desk: Desk) -> Iterator[Want]:
    own = desk.derived.giver.object.connection == desk.name
    if not (desk.can("upsert_order") and (desk.target.order or own)):
        return
    if not own and desk.derived.cancelled and desk.order_ref is None:
        return
    facts = msgspec.structs.replace(desk.derived.order, headline=desk.derived.public.headline)
    yield Want(
        write=write_key(desk.name, "order"),
        connection=desk.name,
        capability="upsert_order",
        kind="create",
        canonical=_canonical(desk),
        entity=f"order:{desk.state.key}",
        facts=facts,
        bound=desk.derived.giver.object if own else None,
        shared=desk.target.fields if own else (*desk.target.fields, "payable_amount", "lines", "currency"),
    )


def _document(desk: Desk) -> Iterator[Want]:
    capability = {"invoice": "upsert_invoice", "sales_receipt": "upsert_sales_receipt"}.get(desk.target.document)
    if capability is None or not desk.can(capability):
        return
    record = desk.record(desk.document_key)
    made = record is not None and record.bound is not None
    if not made and (desk.derived.cancelled or not _due(desk) or desk.derived.payable <= ZERO):
        return
    amounts = () if _frozen(desk) else ("payable_amount", "lines")
    yield Want(
        write=desk.document_key,
        connection=desk.name,
        capability="upsert_invoice" if capability == "upsert_invoice" else "upsert_sales_receipt",
        kind="create",
        canonical=_canonical(desk),
        entity=f"document:{desk.state.key}",
        facts=_invoice(desk),
        shared=(*desk.target.fields, *amounts),
    )


def _due(desk: Desk) -> bool:
    public = desk.derived.public
    words = {public.life_cycle, public.financial, public.fulfilment, public.headline}
    if public.life_cycle in {"open", "closed"}:
        words.add("open")
    stages = {
        f"stage:{look.object.connection}:{look.facts.stage}"
        for look in desk.state.objects.values()
        if isinstance(look.facts, Order) and look.facts.stage
    }
    return bool((words | stages) & set(desk.target.when))


def _frozen(desk: Desk) -> bool:
    """Tell whether the document may no longer change its amounts: money or a credit hangs on it, or the order ended."""
    hanging = (write_key(desk.name, "payment"), write_key(desk.name, "credit"))
    started = any(
        record.key.startswith(hanging) and record.outcome in _MONEY_STARTED for record in desk.state.writes.values()
    )
    return started or desk.derived.cancelled


def _invoice(desk: Desk) -> Invoice:
    order, public = desk.derived.order, desk.derived.public
    day = book_date(order.placed_at, desk.connection.time_zone)
    off = rounding(order)
    lines = (*order.lines, Line(kind="rounding", name="Rounding", net_amount=off)) if off else order.lines
    if not lines:
        lines = (Line(name=f"Order {order.number}", unit_price=desk.derived.payable, net_amount=desk.derived.payable),)
    return Invoice(
        document="sales_receipt" if desk.target.document == "sales_receipt" else "invoice",
        currency=order.currency,
        customer=order.customer,
        lines=lines,
        net_amount=order.net_amount,
        tax_amount=order.tax_amount,
        payable_amount=desk.derived.payable,
        prices_include_tax=order.prices_include_tax,
        issue_date=day,
        due_date=order.due_date or day,
        reference=public.number,
        note=order.note,
        po_number=order.po_number,
    )


def book_date(moment: datetime | None, zone: str) -> date | None:
    """Return the day of *moment* in the ledger company's zone."""
    return None if moment is None else moment.astimezone(ZoneInfo(zone)).date()


def _payments(desk: Desk) -> Iterator[Want]:
    if not (desk.target.payments and desk.can("record_payment")):
        return
    counted = {one.key: one for one in desk.derived.payments if one.look.object.connection != desk.name}
    parent = _parent(desk)
    if parent is not None:
        for one in counted.values():
            yield _payment(desk, one, parent)
    yield from _reversals(desk, counted)


def _parent(desk: Desk) -> tuple[tuple[str, ...], dict[str, str]] | None:
    """Return what a payment, credit or shipment hangs on here: (write records to wait for, links)."""
    if desk.target.document != "none":
        document = desk.bound(desk.document_key)
        return (desk.document_key,), {"invoice": document.id} if document else {}
    order = desk.order_ref
    waits = () if desk.derived.giver.object.connection == desk.name else (write_key(desk.name, "order"),)
    if order is None and not desk.target.order:
        return None
    return waits, {"order": order.id} if order else {}


def _payment(desk: Desk, one: Counted, parent: tuple[tuple[str, ...], dict[str, str]]) -> Want:
    facts = one.look.facts
    if not isinstance(facts, Payment):
        raise TypeError(one.key)
    day = facts.date or book_date(facts.paid_at, desk.connection.time_zone)
    return Want(
        write=write_key(desk.name, "payment", one.key),
        connection=desk.name,
        capability="record_payment",
        kind="append",
        canonical=f"{one.key}+{_canonical(desk)}",
        entity=_money_entity(desk),
        facts=msgspec.structs.replace(facts, amount=one.amount, date=day, fee=None, allocations=(), customer=None),
        after=parent[0],
        links=parent[1],
    )


def _money_entity(desk: Desk) -> str:
    kind = "document" if desk.target.document != "none" else "order"
    return f"{kind}:{desk.state.key}"


def _reversals(desk: Desk, counted: dict[str, Counted]) -> Iterator[Want]:
    """Take back a payment that we recorded and that no longer counts where it came from."""
    if not desk.can("reverse_payment"):
        return
    prefix = write_key(desk.name, "payment") + "|"
    for record in desk.state.writes.values():
        source = record.key.removeprefix(prefix)
        look = desk.state.objects.get(source)
        if not record.key.startswith(prefix) or record.bound is None or look is None or source in counted:
            continue
        if isinstance(look.facts, Payment):
            yield Want(
                write=write_key(desk.name, "reversal", source),
                connection=desk.name,
                capability="reverse_payment",
                kind="append",
                canonical=record.id,
                entity=_money_entity(desk),
                facts=look.facts,
                links={"payment": record.bound.id},
            )


def _credits(desk: Desk) -> Iterator[Want]:
    if not (desk.target.credits and desk.can("issue_credit")) or desk.bound(desk.document_key) is None:
        return
    document = desk.bound(desk.document_key)
    links = {"invoice": document.id} if document else {}
    before: tuple[str, ...] = (desk.document_key, *(want.write for want in _payments(desk) if want.kind == "append"))
    foreign = [one for one in desk.derived.credits if one.look.object.connection != desk.name]
    for one in foreign:
        yield from _credit(desk, one, before, links)
    yield from _cancellation(desk, foreign, before, links)


def _credit(desk: Desk, one: Counted, before: tuple[str, ...], links: dict[str, str]) -> Iterator[Want]:
    facts = one.look.facts
    if not isinstance(facts, Credit):
        return
    note = msgspec.structs.replace(facts, document="credit_note", amount=one.amount, allocations=(), number="")
    key = write_key(desk.name, "credit", one.key)
    yield Want(
        write=key,
        connection=desk.name,
        capability="issue_credit",
        kind="append",
        canonical=f"{one.key}+{_canonical(desk)}",
        entity=_money_entity(desk),
        facts=note,
        after=before,
        links={**links, **_paid_by(desk)},
    )
    if facts.document == "refund" and desk.can("record_refund"):
        issued = desk.bound(key)
        yield Want(
            write=write_key(desk.name, "refund", one.key),
            connection=desk.name,
            capability="record_refund",
            kind="append",
            canonical=f"{one.key}+{_canonical(desk)}",
            entity=_money_entity(desk),
            facts=msgspec.structs.replace(note, document="refund"),
            after=(*before, key),
            links={**links, **({"credit": issued.id} if issued else {})},
        )


def _paid_by(desk: Desk) -> dict[str, str]:
    prefix = write_key(desk.name, "payment") + "|"
    bound = [record.bound for record in desk.state.writes.values() if record.key.startswith(prefix) and record.bound]
    return {"payment": min(bound).id} if bound else {}


def _cancellation(desk: Desk, foreign: list[Counted], before: tuple[str, ...], links: dict[str, str]) -> Iterator[Want]:
    """Credit the open part when the order is cancelled after the invoice; nothing is ever deleted."""
    if not desk.derived.cancelled:
        return
    credited = sum((one.amount for one in foreign), ZERO)
    left = desk.derived.payable - credited
    if left <= ZERO:
        return
    order = desk.derived.order
    yield Want(
        write=write_key(desk.name, "cancellation"),
        connection=desk.name,
        capability="issue_credit",
        kind="append",
        canonical=f"cancel+{_canonical(desk)}",
        entity=_money_entity(desk),
        after=before,
        links={**links, **_paid_by(desk)},
        facts=Credit(
            amount=left,
            currency=order.currency,
            reason="Order cancelled",
            reference=order.number,
            date=book_date(desk.derived.giver.changed_at, desk.connection.time_zone),
        ),
    )


def _shipments(desk: Desk) -> Iterator[Want]:
    if not (desk.target.shipments and desk.can("record_shipment")):
        return
    parent = _parent(desk)
    if parent is None:
        return
    for one in desk.derived.shipments:
        if one.look.object.connection != desk.name and isinstance(one.look.facts, Shipment):
            yield Want(
                write=write_key(desk.name, "shipment", one.key),
                connection=desk.name,
                capability="record_shipment",
                kind="append",
                canonical=f"{one.key}+{_canonical(desk)}",
                entity=_money_entity(desk),
                facts=one.look.facts,
                after=parent[0],
                links=parent[1],
            )


def _status(desk: Desk) -> Iterator[Want]:
    """Show the headline word where the system has one for it; a shown status is never lowered without a cause."""
    word = desk.derived.public.headline
    stages = {**desk.platform.stages, **desk.connection.stages}
    ref = desk.order_ref
    if not (desk.target.status and desk.can("set_status")) or word not in stages or ref is None:
        return
    look = desk.state.objects.get(ref.key)
    if look is None or not isinstance(look.facts, Order) or look.facts.stage == stages[word]:
        return
    shown = look.facts.headline or look.facts.status
    if shown == word or (shown in HEADLINES and HEADLINES.index(shown) > HEADLINES.index(word)):
        return
    yield Want(
        write=write_key(desk.name, "status"),
        connection=desk.name,
        capability="set_status",
        kind="set",
        canonical=_canonical(desk),
        entity=f"order:{desk.state.key}",
        facts=desk.derived.order,
        bound=ref,
        status=word,
    )
