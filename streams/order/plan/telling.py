"""What a person should know of what was written: refused for good, made otherwise than sent, edited there since."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from schemas.commands import Pair
from schemas.findings import Finding
from schemas.state import WriteRecord
from streams.order.derive.shared import SHARED
from streams.order.plan.desk import Desk, shown
from streams.order.taken_back import counts_no_more

_AMOUNTS = ("payable_amount", "amount")


def findings(desk: Desk) -> Iterator[Finding]:
    """Yield what a person should know of each write to this system."""
    yield from _drifted(desk)
    yield from _made_otherwise(desk)
    yield from _stopped(desk)


def _drifted(desk: Desk) -> Iterator[Finding]:
    if desk.derived.flow.drift != "report":
        return
    for record in desk.records:
        there = shown(desk.state, record.bound, record) or {}
        for name, pair in sorted(record.base.items()):
            if name not in SHARED and name in there and there[name] not in (pair.made, pair.sent):
                message = f"{name} in {desk.name} is {there[name]!r}, we wrote {pair.sent!r}."
                yield Finding("drift", "warn", message, record.key, "repair it by hand or set drift to repair")


def _stopped(desk: Desk) -> Iterator[Finding]:
    """Name the writes that are refused for good."""
    for record in desk.records:
        if record.stopped:
            message = f"{desk.name} refused {record.capability}: {record.reason}"
            yield Finding(record.outcome or "rejected", "warn", message, record.key, "correct the cause, then retry")


def _is_kept_beside(desk: Desk, record: WriteRecord, pair: Pair) -> bool:
    """Tell whether a payment exceeded its document where the rest is kept on the customer's account, beside it."""
    advances = record.capability == "record_payment" and desk.platform.advance_payments
    return advances and Decimal(pair.made) < Decimal(pair.sent)


def _made_otherwise(desk: Desk) -> Iterator[Finding]:
    """Yield what a system made over another amount than was sent: it counts tax or rounds by rules of its own."""
    for record in desk.records:
        for name in _AMOUNTS:
            pair = record.base.get(name)
            if pair is None or pair.sent == pair.made or counts_no_more(desk.state, record):
                continue
            if _is_kept_beside(desk, record, pair):
                continue
            if (shown(desk.state, record.bound, record) or {}).get(name, pair.made) == pair.made:
                message = f"{desk.name} made {pair.made} of the {pair.sent} that was sent ({record.capability})."
                step = f"correct it in {desk.name}, and its tax codes in the configuration if it counts tax by itself"
                yield Finding("made_otherwise", "warn", message, record.key, step)
