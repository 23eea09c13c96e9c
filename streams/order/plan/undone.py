"""What a person had undone, what hangs on it, and how it can end: each "why" is "" where nothing stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from schemas.commands import Capability
from schemas.facts import Credit, Invoice, Order, Payment
from schemas.money import ZERO
from schemas.platform import Effect
from schemas.refs import read_mark
from schemas.state import Observation, WriteRecord
from streams.order.plan.desk import Desk
from streams.order.plan.documents import correction_key
from streams.order.plan.want import write_key
from streams.order.taken_back import BILLS, MONEY, end_key, has_made, is_over, reversal_key

REFUND = "record_refund"


class Money(NamedTuple):
    """A payment or refund that we recorded, and why it cannot be taken back ("" when it can)."""

    record: WriteRecord
    look: Observation
    why: str


class Bill(NamedTuple):
    """A living document of ours that was undone, with what hangs on it."""

    record: WriteRecord
    look: Observation
    facts: Invoice
    money: Sequence[Money]
    credits: Sequence[tuple[WriteRecord, Credit]]

    @property
    def left(self) -> Decimal:
        """Return what it still bills beside the credits that we wrote."""
        return self.facts.payable_amount - sum((facts.amount for _, facts in self.credits), ZERO)

    @property
    def reversals(self) -> tuple[str, ...]:
        """Return the writes that must be done first."""
        return tuple(reversal_key(one.record) for one in self.money if not one.why)


def is_undone(desk: Desk, key: str) -> bool:
    """Tell whether the write of *key* is not wanted any more: it was undone, or what it would hang on was."""
    record = desk.record(key)
    return (record is not None and record.undone_at is not None) or head(desk) is not None


def head(desk: Desk) -> WriteRecord | None:
    """Return the write of the document, or of the order's copy, on which all else hangs here, when it was undone."""
    key = desk.document_key if desk.target.document != "none" else write_key(desk.name, "order")
    record = desk.record(key)
    return record if record is not None and record.undone_at is not None else None


def undone(desk: Desk) -> list[WriteRecord]:
    """Return what we made here and a person had undone, with what turned up afterwards on such a document."""
    top = head(desk)
    since = None if top is None else top.undone_at
    made = [one for one in desk.state.writes.values() if one.connection == desk.name and has_made(one)]
    return [
        one
        for one in made
        if one.undone_at is not None or (since is not None and (one.made_at is None or one.made_at >= since))
    ]


def can(desk: Desk, capability: Capability) -> bool:
    """Tell whether the system can and it only records: no undo moves money or mails anybody, whatever is allowed."""
    return desk.platform.capabilities.get(capability) is Effect.RECORDS


def look_of(desk: Desk, record: WriteRecord) -> Observation | None:
    """Return what the system shows of what a write made."""
    return None if record.bound is None else desk.state.objects.get(record.bound.key)


def _ours(desk: Desk, record: WriteRecord, look: Observation) -> bool:
    """Tell whether the object carries our mark still, where its type has a field for one."""
    mark = read_mark(look.mirror_of)
    if mark is None:
        return not look.mirror_of and look.object.type not in desk.platform.consistency.mark_field
    return record.id.startswith(mark.write)


def _day_is_closed(desk: Desk, look: Observation) -> bool:
    facts = look.facts
    day = facts.issue_date if isinstance(facts, Invoice) else getattr(facts, "date", None)
    return desk.closed is not None and (day is None or day <= desk.closed)


def refused(asked: WriteRecord | None) -> str:
    """Return in words that an end was refused, "" when it was not."""
    return f"{asked.connection} refused: {asked.reason.rstrip('.')}" if asked is not None and asked.stopped else ""


# -- payments and refunds ----------------------------------------------------------------------------------------------


def recorded(desk: Desk) -> list[Money]:
    """Return the payments and refunds that were undone and are there still."""
    found = [(one, look_of(desk, one)) for one in undone(desk) if one.capability in MONEY]
    return [
        Money(record, look, _irreversible(desk, record, look))
        for record, look in found
        if look is not None and not is_over(look)
    ]


def _irreversible(desk: Desk, record: WriteRecord, look: Observation) -> str:
    """Return why a payment or refund of ours cannot be taken back, "" when it can."""
    what: Capability = "reverse_refund" if record.capability == REFUND else "reverse_payment"
    asked = desk.record(reversal_key(record))
    if not can(desk, what) or look.object.type in desk.platform.irreversible:
        return f"{desk.platform.title} has no way to take it back"
    if not _ours(desk, record, look):
        return "it does not carry our mark any more"
    if _moved(look):
        return "somebody moved it to another order"
    if _day_is_closed(desk, look):
        return f"{desk.name} is closed up to {desk.closed}"
    return refused(asked)


def _moved(look: Observation) -> bool:
    facts = look.facts
    if look.share is None or not isinstance(facts, Payment):
        return False
    return Decimal(look.share) < facts.amount - (facts.unapplied_amount or ZERO)


# -- documents ---------------------------------------------------------------------------------------------------------


def bills(desk: Desk, money: Sequence[Money]) -> Iterator[Bill]:
    """Yield the documents that were undone and live still, each with what of *money* is on it."""
    for record in undone(desk):
        look = look_of(desk, record) if record.capability in BILLS else None
        if look is None or is_over(look) or not isinstance(look.facts, Invoice) or not _ours(desk, record, look):
            continue
        hanging = [one for one in money if _hangs(one.look, look)]
        yield Bill(record, look, look.facts, hanging, _credits_of(desk, record))


def _hangs(money: Observation, bill: Observation) -> bool:
    """Tell whether a payment is on the document; one that does not say where it is may be."""
    parts = getattr(money.facts, "allocations", ())
    return not parts or any(part.id == bill.object.id for part in parts)


def _credits_of(desk: Desk, bill: WriteRecord) -> list[tuple[WriteRecord, Credit]]:
    """Return the living credit notes that we wrote on a document before it was undone."""
    found = []
    for record in desk.state.writes.values():
        look = look_of(desk, record) if record.connection == desk.name and record.capability == "issue_credit" else None
        counts = look is not None and isinstance(look.facts, Credit) and not is_over(look)
        if look is not None and isinstance(look.facts, Credit) and counts and credited_by(desk, record) == bill.key:
            found.append((record, look.facts))
    return found


def credited_by(desk: Desk, credit: WriteRecord) -> str:
    """Return the write of the document that a credit note of ours is on; none for the credit of an undoing."""
    if credit.key.startswith(write_key(desk.name, "undoing")):
        return ""
    numbers = range(1, desk.replaced + 2)
    made_room = next((number for number in numbers if credit.key == correction_key(desk, number)), None)
    return desk.document_key if made_room is None else desk.document_at(made_room - 1)


def why_not_voided(desk: Desk, bill: Bill) -> str:
    """Return why a document is credited rather than voided, "" when it is voided."""
    void, credit = desk.record(end_key(bill.record, "void")), desk.record(end_key(bill.record, "undoing"))
    if void is not None and not void.stopped:
        return ""
    if void is not None:
        return f"{desk.name} does not void it"
    if credit is not None or bill.credits:
        return "a credit note is on it"
    if not can(desk, "void_invoice"):
        return f"{desk.platform.title} has no way to void it"
    if _day_is_closed(desk, bill.look):
        return f"{desk.name} is closed up to {desk.closed}"
    if any(one.why for one in bill.money) or foreign_money(desk, bill) > ZERO:
        return "money stays on it"
    return "a credit note of somebody else is on it" if foreign_credits(desk) else ""


def foreign_money(desk: Desk, bill: Bill) -> Decimal:
    """Return what the document shows as paid and we did not record.

    Its look may be older than a payment of ours or than its reversal: numbers of looks tell which of them it counts.
    """
    if bill.facts.document == "sales_receipt" or not bill.facts.paid_amount:
        return ZERO
    ours = ZERO if bill.facts.credited_amount is not None else _set_off(desk, bill)
    for record in desk.state.writes.values():
        look = (
            look_of(desk, record) if record.connection == desk.name and record.capability == "record_payment" else None
        )
        if look is None or not isinstance(look.facts, Payment) or not _hangs(look, bill.look):
            continue
        over_by_then = is_over(look) and max(look.last_read, look.gone) <= bill.look.last_read
        if record.look <= bill.look.last_read and not over_by_then:
            ours += _written(record, look.facts)
    return max(ZERO, bill.facts.paid_amount - ours)


def _set_off(desk: Desk, bill: Bill) -> Decimal:
    """Return what our credit notes are used for on a document that does not tell credits from payments."""
    undoing = desk.record(end_key(bill.record, "undoing"))
    look = None if undoing is None else look_of(desk, undoing)
    notes = [facts for _, facts in bill.credits]
    notes += [look.facts] if look is not None and isinstance(look.facts, Credit) else []
    return sum((facts.amount - (facts.remaining_amount or ZERO) for facts in notes), ZERO)


def _written(record: WriteRecord, shown: Payment) -> Decimal:
    """Return what a payment of ours amounted to when it was written: a system may show a void one with zero."""
    pair = record.base.get("amount")
    return shown.amount if pair is None else Decimal(pair.made)


def foreign_credits(desk: Desk) -> Decimal:
    """Return what others than we credited here."""
    return sum((one.amount for one in desk.derived.credits if one.look.object.connection == desk.name), ZERO)


def why_not_credited(desk: Desk, bill: Bill) -> str:
    """Return why what is left of a document cannot be credited, "" when it can."""
    asked = desk.record(end_key(bill.record, "undoing"))
    if not can(desk, "issue_credit"):
        return f"{desk.platform.title} has no way to void or credit it"
    return refused(asked)


def is_free(desk: Desk, record: WriteRecord, facts: Credit) -> bool:
    """Tell whether a credit note of ours has something left, or will have it once its refund is taken back."""
    refund = desk.record(write_key(desk.name, "refund", record.key.split("|", 2)[-1]))
    taken_back = refund is not None and desk.record(reversal_key(refund)) is not None
    return bool(facts.remaining_amount) or taken_back


# -- copies of orders --------------------------------------------------------------------------------------------------


def why_not_cancelled(desk: Desk, record: WriteRecord) -> str:
    """Return why the copy of an order cannot be shown as cancelled, "" when it can, or need not."""
    look = look_of(desk, record)
    if look is None or is_over(look) or not isinstance(look.facts, Order):
        return ""
    asked = desk.record(end_key(record, "status"))
    if not _ours(desk, record, look):
        return "it does not carry our mark any more"
    if not can(desk, "set_status") or desk.stage("cancelled") is None:
        return f"{desk.platform.title} has no word for a cancelled one"
    return refused(asked)
