"""Which document an order becomes in a ledger, and how a paid one is corrected: credit note, then the new one.

Where amounts are fixed once a document is issued, an unpaid one is voided to make room for the new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from schemas.commands import Capability
from schemas.facts import Credit, Invoice, Line, Order
from schemas.findings import Finding
from schemas.money import ZERO, text
from schemas.projection import project
from schemas.state import Observation, WriteRecord
from streams.order.derive.checks import rounding
from streams.order.derive.status import reached
from streams.order.once import kept
from streams.order.plan.dating import issue_date
from streams.order.plan.desk import AMOUNTS, IN_FLIGHT, Desk, book_date, shown
from streams.order.plan.taxing import taxed
from streams.order.plan.want import Want, write_key

DocumentKind = Literal["invoice", "sales_receipt", "payment_request"]
CAPABILITIES: dict[str, Capability] = {
    "invoice": "upsert_invoice",
    "sales_receipt": "upsert_sales_receipt",
    "payment_request": "request_payment",
}


def documents(desk: Desk) -> Iterator[Want]:
    """Yield the document, and the correction of one that may no longer change."""
    capability = CAPABILITIES.get(desk.target.document)
    if capability is None or not desk.can(capability) or desk.theirs:
        return
    if desk.making_room:
        yield from _remade(desk, capability)
    ended = desk.ended or desk.voiding
    for number in range(desk.replaced + ended):
        old = desk.record(desk.document_at(number))
        if old is not None and old.bound is not None and old.outcome != "confirmed":
            yield _let_go(desk, old)
    if ended:
        return
    made = desk.bound(desk.document_key) is not None
    if not made and (desk.derived.cancelled or not _due(desk) or desk.derived.payable <= ZERO):
        return
    amounts = () if desk.fixed or begun(desk) else AMOUNTS
    waits, links = desk.order_beside
    yield Want(
        write=desk.document_key,
        connection=desk.name,
        capability=capability,
        kind="create",
        canonical=_chained(desk, desk.replaced),
        entity=f"document:{desk.state.key}",
        facts=invoice(desk),
        after=waits,
        links=links,
        shared=(*desk.target.fields, *amounts),
    )
    way = kept(_way, desk)
    if way == "voided":
        yield from _remade(desk, capability)
    elif (void := desk.record(desk.room_key)) is not None and void.outcome == "stale":
        yield _let_go(desk, void)  # it came too late: the document was paid before, and stays
    if way == "credited":
        yield from _correction(desk, capability)


def _chained(desk: Desk, number: int) -> str:
    """Return the canonical object: the order, or for a replacement what made room for it.

    That is the credit note over the document before it, or that document itself, voided.
    """
    room = desk.bound(correction_key(desk, number)) or desk.bound(desk.room_at(number)) if number else None
    return desk.derived.giver.object.key if room is None else room.key


def whole_note(desk: Desk) -> str:
    """Return the write record of the credit note over all that the document bills, once its order is cancelled.

    That is the one that was to make room for the next document, where it was on its way by then.
    """
    return correction_key(desk, desk.replaced + 1) if begun(desk) else write_key(desk.name, "cancellation")


def correction_key(desk: Desk, number: int) -> str:
    """Return the write record of the credit note that made room for document *number*."""
    return write_key(desk.name, "correction", str(number))


def _sent(desk: Desk, name: str) -> str | None:
    """Return the field that our document was written with, if nobody edited it there since."""
    record = desk.record(desk.document_key)
    pair = None if record is None else record.base.get(name)
    if record is None or pair is None:
        return None
    there = (shown(desk.state, record.bound, record) or {}).get(name, pair.made)
    return pair.sent if there == pair.made else None


def _sent_total(desk: Desk) -> Decimal | None:
    """Return the total that our document was written with, if nobody edited it there since."""
    sent = _sent(desk, "payable_amount")
    return None if sent is None else Decimal(sent)


def begun(desk: Desk) -> bool:
    """Tell whether the newest document was credited to make room for another, or that is on its way."""
    credit = correction_key(desk, desk.replaced + 1)
    return desk.bound(credit) is not None or desk.in_flight(credit)


def billed(desk: Desk) -> Decimal:
    """Return what our documents here bill after their corrections."""
    if begun(desk):
        return ZERO
    record = desk.record(desk.document_key)
    pair = None if record is None else record.base.get("payable_amount")
    return desk.derived.payable if pair is None else Decimal(pair.sent)


def _outdated(desk: Desk) -> bool:
    """Tell whether a document that may not change bills another total than the order's, and no credit explains it."""
    if not desk.fixed or desk.derived.cancelled or desk.derived.credits:
        return False
    sent, currency = _sent_total(desk), desk.derived.order.currency
    return sent is not None and text(sent, currency) != text(desk.derived.payable, currency)


def _is_voided(desk: Desk) -> bool:
    """Tell whether a document whose amounts are fixed bills something else than the order, and nothing hangs on it."""
    if not desk.platform.fixed_amounts or desk.frozen or desk.derived.credits:
        return False
    refused = desk.record(desk.room_key)
    if not (desk.can("void_invoice") and desk.is_open) or (refused is not None and refused.stopped):
        return False
    wanted = project(invoice(desk))
    written = {name: _sent(desk, name) for name in AMOUNTS}
    return any(sent is not None and wanted.get(name, sent) != sent for name, sent in written.items())


def _way(desk: Desk) -> Literal["", "voided", "credited"]:
    """Return how the document here makes way for the next one, "" where it stays, or was itself asked to be voided."""
    capability = CAPABILITIES.get(desk.target.document)
    if capability is None or not desk.can(capability) or desk.bound(desk.document_key) is None:
        return ""
    if desk.ended or desk.voiding or desk.derived.cancelled:
        return ""
    if _is_voided(desk):
        return "voided"
    return "credited" if begun(desk) or (_replaceable(desk) and _outdated(desk)) else ""


def is_hung_on(desk: Desk) -> bool:
    """Tell whether what comes is hung on the document here: money that came after its void or credit would be refused.

    It waits for the next document then, unless the credit is refused for good, so that no other follows.
    """
    way = kept(_way, desk)
    credit = desk.record(correction_key(desk, desk.replaced + 1)) if way == "credited" else None
    return not way or (credit is not None and bool(credit.stopped) and credit.outcome not in IN_FLIGHT)


def _remade(desk: Desk, capability: Capability) -> Iterator[Want]:
    """Void the document, then write the next one: at no time do two of them count."""
    old, order = desk.record(desk.document_key), desk.derived.order
    if old is None or old.bound is None:
        return
    yield Want(
        write=desk.room_key,
        connection=desk.name,
        capability="void_invoice",
        kind="append",
        canonical=f"room+{old.id}",
        entity=f"document:{desk.state.key}",
        # Only what never changes: the command must stay the same while it waits.
        facts=Invoice(document=_kind(desk), currency=order.currency),
        after=(desk.document_key,),
        links={"invoice": old.bound.id},
        text="Order changed",
    )
    if not desk.derived.cancelled and desk.derived.payable > ZERO:
        yield _next(desk, capability, after=desk.room_key)


def _let_go(desk: Desk, record: WriteRecord) -> Want:
    """Return that what was asked for in a write is not wanted any more."""
    return Want(
        write=record.key,
        connection=desk.name,
        capability=record.capability,
        kind="set",
        canonical=record.canonical,
        entity=f"document:{desk.state.key}",
        facts=desk.derived.order,
    )


def _next(desk: Desk, capability: Capability, *, after: str) -> Want:
    """Return the document that follows the newest one once *after* is written."""
    number = desk.replaced + 1
    waits, links = desk.order_beside
    return Want(
        write=desk.document_at(number),
        connection=desk.name,
        capability=capability,
        kind="create",
        canonical=_chained(desk, number),
        entity=f"document:{desk.state.key}",
        facts=invoice(desk),
        after=(*waits, after),
        links=links,
    )


def _unexplained(desk: Desk) -> bool:
    """Tell whether a document with credits bills another total than the order's, and not by what was credited.

    Some systems lower an order's total by what they credit, others do not.
    """
    if not desk.fixed or desk.derived.cancelled or not desk.derived.credits or begun(desk):
        return False
    sent = _sent_total(desk)
    lowered = {ZERO}
    for one in desk.derived.credits:
        lowered |= {amount + one.amount for amount in lowered}
    return sent is not None and sent - desk.derived.payable not in lowered


def _correction(desk: Desk, capability: Capability) -> Iterator[Want]:
    old, number, order = desk.record(desk.document_key), desk.replaced + 1, desk.derived.order
    pair = None if old is None else old.base.get("payable_amount")
    if old is None or old.bound is None or pair is None:
        return
    credit = correction_key(desk, number)
    facts = Credit(
        amount=Decimal(pair.sent),
        currency=order.currency,
        reason="Order changed after payment",
        reference=order.number,
        date=book_date(desk.derived.giver.changed_at or order.placed_at, desk.connection.time_zone),
    )
    yield Want(
        write=credit,
        connection=desk.name,
        capability="issue_credit",
        kind="append",
        canonical=old.id,
        entity=f"document:{desk.state.key}",
        facts=taxed(facts, order, desk.derived.payable),
        after=(desk.document_key,),
        links={"invoice": old.bound.id},
    )
    yield _next(desk, capability, after=credit)


def findings(desk: Desk) -> Iterator[Finding]:
    """Yield what a person should know about the document here."""
    capability = CAPABILITIES.get(desk.target.document)
    if capability is not None and capability not in desk.platform.capabilities:
        yield _finding(desk, "unsupported", f"{desk.platform.title} has no {desk.target.document}.", "write it by hand")
    elif capability is not None and not desk.can(capability):
        yield _finding(desk, "not_allowed", f"{capability} is not allowed.", "name it in the target's allow list")
    if desk.ended and (_unrecorded(desk) if desk.derived.cancelled else not desk.making_room):
        message = f"The document in {desk.name} was voided or deleted; it is not made anew."
        yield _finding(desk, "document_ended", message, "cancel the order or ask for a new document")
    if desk.bound(desk.document_key) is not None and not (_replaceable(desk) or _is_voided(desk)) and _outdated(desk):
        message = f"The order changed after payment, {desk.name} bills the old total."
        yield _finding(desk, "paid_edit", message, "credit it and write a new one")
    if _unexplained(desk):
        message = f"The order changed after it was credited, {desk.name} bills the old total."
        yield _finding(desk, "paid_edit", message, "credit the difference by hand, or write a document over it")
    if desk.theirs or desk.their_copies or desk.beside:
        yield from _adopted(desk)
        yield from _disputed(desk)
    yield from _edited(desk)


def _unrecorded(desk: Desk) -> bool:
    """Tell whether money came that is on no document here."""
    foreign = [one.key for one in desk.derived.payments if one.look.object.connection != desk.name]
    return any(desk.bound(write_key(desk.name, "payment", key)) is None for key in foreign)


def _replaceable(desk: Desk) -> bool:
    return desk.derived.flow.paid_edit == "credit_and_new" and desk.can("issue_credit")


def _adopted(desk: Desk) -> Iterator[Finding]:
    ref = desk.adopted if desk.target.document != "none" else None
    look = None if ref is None or ref == desk.derived.giver.object else desk.state.objects.get(ref.key)
    if look is not None and isinstance(look.facts, Invoice) and look.facts.payable_amount != desk.derived.payable:
        message = f"{look.object.key} bills {look.facts.payable_amount:f}, the order is {desk.derived.payable:f}."
        yield _finding(desk, "adopted_differs", message, "correct one of them")


def _disputed(desk: Desk) -> Iterator[Finding]:
    """Yield each document of which a person must say whether it bills the order; until then none is written."""
    yield from (_dispute(desk, look, len(desk.disputed_copies), "is over") for look in desk.disputed_copies)
    if desk.target.document != "none":
        yield from (_dispute(desk, look, len(desk.disputed), "bills") for look in desk.disputed)
    for look in desk.beside:
        message = f"{look.object.key} names the order as well: it is billed twice in {desk.name}."
        step = "void the one that is wrong there, or say `o2c parked dismiss` if it bills something else"
        yield Finding("double", "warn", message, look.object.key, step)


def _dispute(desk: Desk, look: Observation, count: int, says: str) -> Finding:
    total, facts = text(desk.derived.payable, desk.derived.order.currency), look.facts
    amount = facts.payable_amount if isinstance(facts, Invoice | Order) else None
    over = f"{says} {'nothing' if amount is None else f'{amount:f}'} {getattr(facts, 'currency', '')}"
    beside = f"{count} of them name the order" if count > 1 else "it names the order"
    message = f"{look.object.key} {over}, the order is {total} {desk.derived.order.currency}; {beside}."
    step = "say `o2c parked link` if it belongs to this order, `o2c parked dismiss` if not, or correct it there"
    return Finding("ambiguous_document", "warn", message, look.object.key, step)


def _edited(desk: Desk) -> Iterator[Finding]:
    record = desk.record(desk.document_key)
    pair = None if record is None else record.base.get("payable_amount")
    if record is None or pair is None or desk.ended or not desk.frozen:
        return
    there = (shown(desk.state, record.bound, record) or {}).get("payable_amount", pair.made)
    if there != pair.made:
        message = f"{desk.name} bills {there}, we wrote {pair.sent}: somebody edited a paid document."
        yield _finding(desk, "document_edited", message, "decide which total holds")


def _finding(desk: Desk, code: str, message: str, step: str) -> Finding:
    return Finding(code, "warn", message, desk.name, step)


def _due(desk: Desk) -> bool:
    stages = {
        f"stage:{look.object.connection}:{look.facts.stage}"
        for look in desk.state.objects.values()
        if isinstance(look.facts, Order) and look.facts.stage and not _merged_away(desk, look)
    }
    words = reached(desk.derived.public, desk.derived.order.status) | stages
    return bool(words & set(desk.target.when))


def _merged_away(desk: Desk, look: Observation) -> bool:
    """Tell whether the object gave its key to an order that is an alias of this one."""
    giver = desk.derived.giver.object
    return look.object != giver and look.object.connection == giver.connection and bool(desk.state.aliases)


def invoice(desk: Desk) -> Invoice:
    """Return the whole order as a document of this ledger; its total is the source's."""
    target, cap = desk.target, desk.derived.flow.rounding_cap
    return kept(_invoice, desk.derived.order, _kind(desk), issue_date(desk), target.due_days, cap)


def _kind(desk: Desk) -> DocumentKind:
    return "invoice" if desk.target.document == "none" else desk.target.document


def _invoice(order: Order, kind: DocumentKind, day: date | None, due_days: int, cap: Decimal) -> Invoice:
    payable = order.payable_amount or ZERO
    lines = _lines(order, cap)
    if not lines:
        lines = (Line(name=f"Order {order.number}", unit_price=payable, net_amount=payable),)
    return Invoice(
        document=kind,
        currency=order.currency,
        customer=order.customer,
        lines=lines,
        net_amount=order.net_amount,
        tax_amount=order.tax_amount,
        payable_amount=payable,
        prices_include_tax=order.prices_include_tax,
        issue_date=day,
        due_date=order.due_date or (day and day + timedelta(days=due_days)),
        reference=order.number,
        note=order.note,
        po_number=order.po_number,
    )


def _lines(order: Order, cap: Decimal) -> tuple[Line, ...]:
    off = rounding(order)
    if abs(off) > cap:
        return ()
    return (*order.lines, Line(kind="rounding", name="Rounding", net_amount=off)) if off else order.lines
