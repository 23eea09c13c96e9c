"""Payments and credits of ours that no longer are what they tell: taken back where they do not count, else told."""

from __future__ import annotations

from collections.abc import Container, Iterator
from decimal import Decimal

from schemas.facts import Credit, Facts, Payment
from schemas.findings import Finding
from schemas.money import text
from schemas.refs import ObjectRef
from schemas.state import Observation, WriteRecord
from streams.order.derive.money import Counted
from streams.order.merge import is_gone
from streams.order.plan.desk import Desk, equal, shown
from streams.order.plan.want import Want, write_key
from streams.order.taken_back import counts_no_more, end_key, reversal_key


def reversals(desk: Desk, counted: dict[str, Counted]) -> Iterator[Want]:
    """Take back a payment that we recorded and that no longer counts where it came from.

    What a person moved to another order or deleted here is not ours to take back.
    """
    if not desk.can("reverse_payment"):
        return
    for record, bound, facts in _left(desk, counted):
        yield Want(
            write=reversal_key(record),
            connection=desk.name,
            capability="reverse_payment",
            kind="append",
            canonical=record.id,
            entity=desk.money_entity,
            facts=facts,
            links={"payment": bound.id},
        )


def voided_credits(desk: Desk) -> Iterator[Want]:
    """Void a credit note of ours whose credit no longer counts where it came from, as a refund that failed.

    One that money was paid back out of is for a person.
    """
    if not desk.can("void_credit"):
        return
    for record, bound, facts in _credits_left(desk):
        if not _paid_out(desk, record):
            yield Want(
                write=end_key(record, "void"),
                connection=desk.name,
                capability="void_credit",
                kind="append",
                canonical=record.id,
                entity=desk.money_entity,
                facts=Credit(amount=facts.amount, currency=facts.currency),
                links={"credit": bound.id},
                text="it no longer counts",
            )


def credit_findings(desk: Desk) -> Iterator[Finding]:
    """Yield which credits and refunds of ours stay although they no longer count."""
    for record, bound, facts in (*_credits_left(desk), *_refunds_left(desk)):
        asked = desk.record(end_key(record, "void"))
        can = desk.can("void_credit") and record.capability == "issue_credit" and not _paid_out(desk, record)
        if not can or (asked is not None and asked.stopped):
            message = f"{desk.name} still shows a credit of {facts.amount:f} that no longer counts for this order."
            yield Finding("credit_left", "warn", message, bound.key, f"take it back by hand in {desk.name}")


def payment_findings(desk: Desk) -> Iterator[Finding]:
    """Yield which payments of ours are not what they tell, or stay although they no longer count."""
    yield from _differing(desk)
    if desk.can("reverse_payment") or not desk.target.payments:
        return
    for _, bound, facts in _left(desk, {one.key: one for one in desk.derived.payments}):
        message = f"{desk.name} still shows a payment of {facts.amount:f} that no longer counts for this order."
        yield Finding("payment_left", "warn", message, bound.key, f"correct it by hand in {desk.name}")


def _differing(desk: Desk) -> Iterator[Finding]:
    """Yield the payments of ours whose amount was changed since, where they come from or here.

    Money is written once: what a bank statement was matched with is not changed behind an accountant's back.
    """
    for one in desk.derived.payments:
        record = desk.record(write_key(desk.name, "payment", one.key))
        pair = None if record is None else record.base.get("amount")
        if record is None or record.bound is None or pair is None or counts_no_more(desk.state, record):
            continue
        there = (shown(desk.state, record.bound, record) or {}).get("amount", pair.made)
        told = text(one.amount, getattr(one.look.facts, "currency", ""))
        if not equal(told, there, pair):
            message = f"{desk.name} shows a payment of {there}, {one.key} says {told}."
            yield Finding("payment_differs", "warn", message, record.bound.key, "correct the one that is wrong")


def _left(desk: Desk, counted: Container[str]) -> Iterator[tuple[WriteRecord, ObjectRef, Payment]]:
    """Yield the payments that we recorded here and that no longer count where they came from."""
    for record, bound, facts in _over(desk, "payment", counted):
        mirror = desk.state.objects.get(bound.key)
        if isinstance(facts, Payment) and (mirror is None or _stays(mirror)):
            yield record, bound, facts


def _credits_left(desk: Desk) -> Iterator[tuple[WriteRecord, ObjectRef, Credit]]:
    """Yield the credit notes that we wrote here over what no longer counts where it came from."""
    return _credited(desk, "credit")


def _refunds_left(desk: Desk) -> Iterator[tuple[WriteRecord, ObjectRef, Credit]]:
    return _credited(desk, "refund")


def _credited(desk: Desk, what: str) -> Iterator[tuple[WriteRecord, ObjectRef, Credit]]:
    for record, bound, facts in _over(desk, what, {one.key for one in desk.derived.credits}):
        if isinstance(facts, Credit) and not counts_no_more(desk.state, record):
            yield record, bound, facts


def _paid_out(desk: Desk, note: WriteRecord) -> bool:
    """Tell whether a refund was asked for out of a credit note of ours."""
    return desk.record(write_key(desk.name, "refund", note.key.split("|", 2)[-1])) is not None


def _over(desk: Desk, what: str, counted: Container[str]) -> Iterator[tuple[WriteRecord, ObjectRef, Facts | None]]:
    """Yield what we wrote here of things that no longer count where they came from, with what these show."""
    prefix = write_key(desk.name, what) + "|"
    for record in desk.records:
        source = record.key.removeprefix(prefix)
        look = desk.state.objects.get(source) if record.key.startswith(prefix) else None
        if look is not None and record.bound is not None and source not in counted:
            yield record, record.bound, look.facts


def _stays(mirror: Observation) -> bool:
    """Tell whether nobody deleted a payment of ours, nor moved it or a part of it to another order."""
    facts, share = mirror.facts, mirror.share
    return not is_gone(mirror) and (share is None or (isinstance(facts, Payment) and Decimal(share) == facts.amount))
