"""What a person had undone: nothing of it is wanted any more but its end, and only what we made is touched.

Payments and refunds of ours are taken back first, where the system can. Then a document on which nothing hangs, in an
open period, is voided; any other is credited for what is left of it. What cannot be taken back is told to a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from schemas.facts import Credit, Invoice, Order, Payment
from schemas.findings import Finding
from schemas.money import ZERO, rounded, text
from schemas.refs import read_mark
from schemas.state import WriteRecord
from streams.order.plan import documents
from streams.order.plan.desk import Desk, book_date
from streams.order.plan.undone import (
    REFUND,
    Bill,
    Money,
    bills,
    can,
    credited_by,
    foreign_credits,
    foreign_money,
    head,
    is_free,
    look_of,
    recorded,
    undone,
    why_not_cancelled,
    why_not_credited,
    why_not_voided,
)
from streams.order.plan.want import Want
from streams.order.taken_back import BILLS, MONEY, end_key, is_over, reversal_key

_NO_DOCUMENT = frozenset(("document_ended", "paid_edit", "adopted_differs", "document_edited", "closed_period"))
"""Findings about a document that would be wanted; of one that was undone none is."""


def outdated(desk: Desk, finding: Finding) -> bool:
    """Tell whether a finding speaks of a document that is not wanted any more."""
    return finding.code in _NO_DOCUMENT and finding.subject == desk.name and head(desk) is not None


def ends(desk: Desk) -> Iterator[Want]:
    """Yield the end of all that was undone here; what must be done first is named in `after`."""
    money = recorded(desk)
    for one in money:
        if not one.why:
            yield _reversal(desk, one)
    for bill in bills(desk, money):
        if (why := why_not_voided(desk, bill)) == "":
            yield _void(desk, bill)
        else:
            yield from _credited(desk, bill, why)
    for record in undone(desk):
        if record.capability == "upsert_order" and why_not_cancelled(desk, record) == "":
            yield from _status(desk, record)


def findings(desk: Desk) -> Iterator[Finding]:
    """Yield that something was undone here, and what a person has to take back."""
    found = undone(desk)
    if not found:
        return
    message = f"What o2c wrote in {desk.name} was undone; none of it is made anew."
    yield Finding("undone", "warn", message, desk.name, "`o2c orders recreate` has it made again")
    for key, why in _left(desk, found):
        yield Finding("undo_left", "warn", f"{key} stays: {why}.", key, f"take it back by hand in {desk.name}")


# -- payments and refunds ----------------------------------------------------------------------------------------------


def _reversal(desk: Desk, one: Money) -> Want:
    refund = one.record.capability == REFUND
    return Want(
        write=reversal_key(one.record),
        connection=desk.name,
        capability="reverse_refund" if refund else "reverse_payment",
        kind="append",
        canonical=one.record.id,
        entity=_entity(desk),
        facts=one.look.facts or desk.derived.order,
        links={"payment": one.look.object.id},
        text="o2c recorded it",
    )


def _entity(desk: Desk) -> str:
    return f"{'order' if desk.target.document == 'none' else 'document'}:{desk.state.key}"


# -- documents ---------------------------------------------------------------------------------------------------------


def _void(desk: Desk, bill: Bill) -> Want:
    return Want(
        write=end_key(bill.record, "void"),
        connection=desk.name,
        capability="void_invoice",
        kind="append",
        canonical=bill.record.id,
        entity=_entity(desk),
        # Only what never changes: the command must stay the same while it waits.
        facts=Invoice(document=bill.facts.document, currency=bill.facts.currency),
        after=bill.reversals,
        links={"invoice": bill.look.object.id},
        text="nothing else is on it",
    )


def _credited(desk: Desk, bill: Bill, why: str) -> Iterator[Want]:
    key, left = end_key(bill.record, "undoing"), bill.left - foreign_credits(desk)
    wanted = left > ZERO or desk.bound(key) is not None
    if why_not_credited(desk, bill):
        return
    if wanted:
        yield Want(
            write=key,
            connection=desk.name,
            capability="issue_credit",
            kind="append",
            canonical=f"undo+{bill.record.id}",
            entity=_entity(desk),
            facts=_credit(desk, bill, left),
            after=bill.reversals,
            links=_links(bill),
            text=why,
        )
    yield from _offsets(desk, bill, (*bill.reversals, *((key,) if wanted else ())))


def _links(bill: Bill) -> dict[str, str]:
    """Link the document, and the payment that stays on it: the ledger then knows that it was paid outside."""
    stays = [one.look.object.id for one in bill.money if one.why and one.record.capability != REFUND]
    return {"invoice": bill.look.object.id, **({"payment": stays[0]} if stays else {})}


def _credit(desk: Desk, bill: Bill, left: Decimal) -> Credit:
    """Return a credit over what is left: with the order's lines when that is all of it, else with its share of tax."""
    facts, lines = bill.facts, documents.invoice(desk).lines
    tax = facts.tax_amount
    if left == facts.payable_amount == sum((line.net_amount + line.tax_amount for line in lines), ZERO):
        tax = sum((line.tax_amount for line in lines), ZERO)
    else:
        lines, tax = (), None if tax is None else rounded(tax * left / facts.payable_amount, facts.currency)
    return Credit(
        amount=left,
        tax_amount=tax,
        currency=facts.currency,
        lines=lines,
        reason="Undone",
        reference=desk.derived.order.number,
        date=book_date(bill.record.undone_at, desk.connection.time_zone),
    )


def _offsets(desk: Desk, bill: Bill, after: tuple[str, ...]) -> Iterator[Want]:
    """Use on the document what its earlier credit notes have left once their refunds are taken back."""
    if not can(desk, "apply_credit"):
        return
    for record, facts in bill.credits:
        if is_free(desk, record, facts) or desk.record(end_key(record, "offset")) is not None:
            yield Want(
                write=end_key(record, "offset"),
                connection=desk.name,
                capability="apply_credit",
                kind="append",
                canonical=f"undo+{record.id}+{bill.record.id}",
                entity=_entity(desk),
                facts=Credit(amount=facts.amount, currency=facts.currency),
                after=after,
                links={"credit": "" if record.bound is None else record.bound.id, "invoice": bill.look.object.id},
                text="what it was used for is taken back",
            )


# -- the order's copy --------------------------------------------------------------------------------------------------


def _status(desk: Desk, record: WriteRecord) -> Iterator[Want]:
    """Show the copy as cancelled once; whoever moves it on afterwards has his way."""
    look, asked = look_of(desk, record), desk.record(end_key(record, "status"))
    if asked is not None and asked.outcome == "confirmed":
        return
    order = None if look is None or is_over(look) else look.facts
    wanted = isinstance(order, Order) and order.stage != desk.stage("cancelled")
    if not wanted and asked is None:
        return
    yield Want(
        write=end_key(record, "status"),
        connection=desk.name,
        capability="set_status",
        kind="set",
        canonical=record.canonical,
        entity=f"order:{desk.state.key}",
        facts=desk.derived.order,
        bound=None if look is None else look.object,
        status="cancelled" if wanted else "",
        text="Undone",
    )


# -- what is left ------------------------------------------------------------------------------------------------------


def _left(desk: Desk, found: Sequence[WriteRecord]) -> Iterator[tuple[str, str]]:
    """Yield the objects that a person has to take back, each with why."""
    money = recorded(desk)
    living = {bill.record.key: bill for bill in bills(desk, money)}
    yield from ((one.look.object.key, one.why) for one in money if one.why)
    for bill in living.values():
        if why_not_voided(desk, bill) and (why := _uncovered(desk, bill)):
            yield bill.look.object.key, why
    for record in found:
        look = look_of(desk, record)
        if look is not None and not is_over(look) and (why := _stays(desk, record, frozenset(living))):
            yield look.object.key, why
    yield from _beside(desk, found)


def _uncovered(desk: Desk, bill: Bill) -> str:
    """Return why a document that is credited needs a person all the same, "" when it does not."""
    foreign, currency = foreign_money(desk, bill), bill.facts.currency
    if why := why_not_credited(desk, bill):
        return why
    return f"{text(foreign, currency)} {currency} on it is money that o2c did not record" if foreign else ""


def _stays(desk: Desk, record: WriteRecord, living: frozenset[str]) -> str:
    """Return why a write that is neither money nor a document in *living* stays, "" when nobody minds it."""
    if record.capability in BILLS and record.key not in living:
        return "it does not carry our mark any more"
    if record.capability == "issue_credit" and credited_by(desk, record) not in {*living, ""}:
        return f"{desk.platform.title} is not asked to take credit notes back"
    if record.capability == "record_shipment" and head(desk) is None:
        return f"{desk.platform.title} has no way to take it back"
    return why_not_cancelled(desk, record) if record.capability == "upsert_order" else ""


def _beside(desk: Desk, found: Sequence[WriteRecord]) -> Iterator[tuple[str, str]]:
    """Yield money that one of our writes booked beside what it was asked for (what an invoice did not need)."""
    if not any(record.capability in MONEY for record in found):
        return
    bound = {record.bound.key for record in desk.state.writes.values() if record.bound is not None}
    for look in desk.state.objects.values():
        mark = read_mark(look.mirror_of)
        here = look.object.connection == desk.name and isinstance(look.facts, Payment) and look.object.key not in bound
        if here and mark is not None and mark.order in (desk.state.key, *desk.state.aliases) and not is_over(look):
            yield look.object.key, "o2c booked it beside a payment"
