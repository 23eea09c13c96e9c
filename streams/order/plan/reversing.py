"""Payments of ours that no longer are what they tell: taken back where they do not count, told where they differ."""

from __future__ import annotations

from collections.abc import Container, Iterator
from decimal import Decimal

from schemas.facts import Payment
from schemas.findings import Finding
from schemas.money import text
from schemas.refs import ObjectRef
from schemas.state import Observation, WriteRecord
from streams.order.derive.money import Counted
from streams.order.merge import is_gone
from streams.order.plan.desk import Desk, equal, shown
from streams.order.plan.want import Want, write_key
from streams.order.taken_back import counts_no_more, reversal_key


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
    prefix = write_key(desk.name, "payment") + "|"
    for record in desk.records:
        if not record.key.startswith(prefix) or record.bound is None:
            continue
        source = record.key.removeprefix(prefix)
        look = desk.state.objects.get(source)
        if look is None or source in counted:
            continue
        mirror = desk.state.objects.get(record.bound.key)
        if mirror is not None and not _stays(mirror):
            continue
        if isinstance(look.facts, Payment):
            yield record, record.bound, look.facts


def _stays(mirror: Observation) -> bool:
    """Tell whether nobody deleted a payment of ours, nor moved it or a part of it to another order."""
    facts, share = mirror.facts, mirror.share
    return not is_gone(mirror) and (share is None or (isinstance(facts, Payment) and Decimal(share) == facts.amount))
