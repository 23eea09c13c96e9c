"""What becomes of our document when its order is cancelled: voided while no money came to it, else credited."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from schemas.facts import Credit, Invoice
from schemas.findings import Finding
from schemas.money import ZERO
from schemas.state import Observation
from streams.order.derive.money import Counted
from streams.order.plan.desk import Desk, book_date
from streams.order.plan.documents import billed, correction_key
from streams.order.plan.taxing import taxed
from streams.order.plan.want import Want, write_key

_MONEY = ("payment", "credit", "correction", "refund", "cancellation", "application")


def ending(desk: Desk, noted: list[Counted], before: tuple[str, ...], links: dict[str, str]) -> Iterator[Want]:
    """Void the document of a cancelled order, or credit what is left of it; nothing is ever deleted."""
    if not desk.derived.cancelled or desk.adopted is not None:
        return
    if (void := _void(desk)) is not None:
        yield void
    if void is not None or desk.voiding:
        return
    left = billed(desk) - sum((one.amount for one in noted), ZERO)
    if left > ZERO:
        yield _cancellation(desk, left, before, links)


def findings(desk: Desk) -> Iterator[Finding]:
    """Yield the note over a cancelled order's document that was taken back in another way as well.

    So it is where a worker died after it had asked for one of them, and something came before the next one planned.
    """
    note = desk.bound(write_key(desk.name, "cancellation"))
    if note is not None and any(desk.done(key) for key in (desk.void_key, correction_key(desk, desk.replaced + 1))):
        message = f"{desk.name} took the document of the cancelled order back twice: {note.key} no longer counts."
        yield Finding("credit_left", "warn", message, note.key, f"take it back by hand in {desk.name}")


def _void(desk: Desk) -> Want | None:
    """Return the void of an unpaid document in an open period, where the flow and the ledger allow it."""
    ref, flow = desk.document, desk.derived.flow
    look = None if ref is None else desk.state.objects.get(ref.key)
    if ref is None or look is None or flow.cancelled_invoice != "void" or not desk.can("void_invoice"):
        return None
    document = desk.record(desk.document_key)
    if document is None or not (desk.voiding or _voidable(desk, look)):
        return None
    return Want(
        write=desk.void_key,
        connection=desk.name,
        capability="void_invoice",
        kind="append",
        canonical=document.id,
        entity=f"document:{desk.state.key}",
        # Only what never changes: the command must stay the same while it waits.
        facts=Invoice(document=_facts(look).document, currency=desk.derived.order.currency),
        links={"invoice": ref.id},
        text="Order cancelled",
    )


def _voidable(desk: Desk, look: Observation) -> bool:
    return desk.record(desk.void_key) is None and not _touched(desk, look) and desk.is_open


def _facts(look: Observation) -> Invoice:
    if not isinstance(look.facts, Invoice):
        raise TypeError(look.object.key)
    return look.facts


def _touched(desk: Desk, look: Observation) -> bool:
    """Tell whether money or a credit came to the document, or is on its way there."""
    started = tuple(write_key(desk.name, what) for what in _MONEY)
    facts = _facts(look)
    return (
        bool(desk.derived.payments or desk.derived.credits)
        or bool(facts.paid_amount or facts.credited_amount)
        or desk.paid_by_itself
        or any(record.key.startswith(started) for record in desk.records)
    )


def _cancellation(desk: Desk, left: Decimal, before: tuple[str, ...], links: dict[str, str]) -> Want:
    order = desk.derived.order
    credit = Credit(
        amount=left,
        currency=order.currency,
        reason="Order cancelled",
        reference=order.number,
        date=book_date(desk.derived.giver.changed_at, desk.connection.time_zone),
    )
    return Want(
        write=write_key(desk.name, "cancellation"),
        connection=desk.name,
        capability="issue_credit",
        kind="append",
        canonical=f"cancel+{desk.derived.giver.object.key}",
        entity=f"document:{desk.state.key}",
        after=before,
        links=links,
        facts=taxed(credit, order, desk.derived.payable),
    )
