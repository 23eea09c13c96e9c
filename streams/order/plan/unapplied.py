"""What is left on the customer's account: used on the newest document, or told to a person."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from schemas.facts import Credit, Invoice
from schemas.findings import Finding
from schemas.money import ZERO
from schemas.refs import ObjectRef
from streams.order.plan.desk import Desk
from streams.order.plan.documents import correction_key
from streams.order.plan.want import Want, write_key


def applications(desk: Desk) -> Iterator[Want]:
    """Use what corrections left on the customer's account on the newest document, which made them necessary."""
    if not desk.replaced or not desk.can("apply_credit") or desk.voiding or desk.ended:
        return
    for number, credit in _credits(desk):
        key = write_key(desk.name, "application", f"{number}|{desk.replaced}")
        record, document = desk.record(key), desk.bound(desk.document_key)
        correction = desk.record(correction_key(desk, number))
        if document is None or correction is None or (record is None and not _useful(desk, credit, document)):
            continue
        yield Want(
            write=key,
            connection=desk.name,
            capability="apply_credit",
            kind="append",
            canonical=f"{correction.id}+{desk.state.writes[desk.document_key].id}",
            entity=f"document:{desk.state.key}",
            # The ledger knows how much is left and how much is open when it is written; the command stays the same.
            facts=Credit(amount=_sent(desk, number), currency=desk.derived.order.currency),
            links={"credit": credit.id, "invoice": document.id},
        )


def findings(desk: Desk) -> Iterator[Finding]:
    """Yield credits that stay on the customer's account since nobody here can use them, and money that left it."""
    yield from _returned(desk)
    document = desk.bound(desk.document_key) if desk.replaced else None
    if document is None or desk.can("apply_credit"):
        return
    credits_left = [credit for _, credit in _credits(desk)]
    useful = [credit for credit in credits_left if _useful(desk, credit, document)]
    for credit in useful:
        message = f"{_left(desk, credit):f} of {credit.key} is left, {desk.platform.title} cannot use it by itself."
        step = f"use the credit on {document.key}"
        yield Finding("credit_unapplied", "warn", message, credit.key, step)
    if credits_left and not useful and (asked := _asked_twice(desk, document)) > ZERO:
        message = f"{document.key} asks for {asked:f} that was paid on the document before it, which was credited."
        yield Finding("credit_unapplied", "warn", message, document.key, f"settle it in {desk.name}")


def came_and_went(desk: Desk) -> bool:
    """Tell whether all the money of an order was paid back."""
    public = desk.derived.public
    return public.paid_amount > ZERO and public.refunded_amount >= public.paid_amount


def _returned(desk: Desk) -> Iterator[Finding]:
    """Yield that money was paid back which the ledger has on the customer's account, since no document was made."""
    if desk.derived.public.refunded_amount <= ZERO or desk.target.document == "none" or desk.document is not None:
        return
    paid = write_key(desk.name, "payment") + "|"
    if advances := [record.bound for record in desk.records if record.key.startswith(paid) and record.bound]:
        message = (
            f"{desk.derived.public.refunded_amount:f} was paid back, {desk.name} has it on the customer's account."
        )
        yield Finding("advance_returned", "warn", message, min(advances).key, "record the refund there")


def _credits(desk: Desk) -> Iterator[tuple[int, ObjectRef]]:
    for number in range(1, desk.replaced + 1):
        credit = desk.bound(correction_key(desk, number))
        if credit is not None:
            yield number, credit


def _useful(desk: Desk, credit: ObjectRef, document: ObjectRef) -> bool:
    """Tell whether the credit has something left and the document still asks for money, as far as they show it."""
    due = _due(desk, document)
    return _left(desk, credit) > ZERO and (due is None or due > ZERO)


def _asked_twice(desk: Desk, document: ObjectRef) -> Decimal:
    """Return what the document asks for beyond what the order owes, once all its money was told there.

    Some ledgers (Stripe) take for returned what a credit over a paid document comes to, and keep nothing to use.
    """
    due, foreign = (
        _due(desk, document),
        [one for one in desk.derived.payments if one.look.object.connection != desk.name],
    )
    told = all(desk.done(write_key(desk.name, "payment", one.key)) for one in foreign)
    return due - max(desk.derived.public.amount_due, ZERO) if told and due is not None else ZERO


def _due(desk: Desk, document: ObjectRef) -> Decimal | None:
    look = desk.state.objects.get(document.key)
    return look.facts.amount_due if look is not None and isinstance(look.facts, Invoice) else None


def _left(desk: Desk, credit: ObjectRef) -> Decimal:
    look = desk.state.objects.get(credit.key)
    facts = look.facts if look is not None else None
    return facts.remaining_amount or ZERO if isinstance(facts, Credit) else ZERO


def _sent(desk: Desk, number: int) -> Decimal:
    record = desk.record(correction_key(desk, number))
    look = desk.state.objects.get(record.bound.key) if record is not None and record.bound is not None else None
    return look.facts.amount if look is not None and isinstance(look.facts, Credit) else desk.derived.payable
