"""What becomes of a write that a person had undone: the writes that end it, and whether they are done."""

from __future__ import annotations

from schemas.commands import Capability
from schemas.facts import Credit, Invoice
from schemas.money import ZERO
from schemas.state import Observation, OrderState, WriteRecord
from streams.order.merge import is_gone

BILLS: frozenset[Capability] = frozenset(("upsert_invoice", "upsert_sales_receipt", "request_payment"))
MONEY: frozenset[Capability] = frozenset(("record_payment", "record_refund"))
MAKES: frozenset[Capability] = BILLS | MONEY | {"upsert_order", "issue_credit", "record_shipment", "add_note"}
"""Capabilities that make something; the others change or end what is there."""
_ENDS = ("void", "undoing", "status", "offset")
_OVER = frozenset(("void", "cancelled", "reversed", "failed"))


def end_key(record: WriteRecord, what: str) -> str:
    """Return the write record of an end of what *record* made: void, undoing (by a credit), status or offset."""
    return f"{record.connection}|{what}|{'' if record.bound is None else record.bound.key}"


def reversal_key(record: WriteRecord) -> str:
    """Return the write record of the reversal of a payment or refund of ours."""
    source = record.key.split("|", 2)[-1]
    return f"{record.connection}|reversal|{source}{f'#{record.generation}' if record.generation else ''}"


def has_made(record: WriteRecord) -> bool:
    """Tell whether *record* made something, rather than change or end what is there."""
    ends = record.key.startswith(f"{record.connection}|undoing|")
    return record.bound is not None and record.capability in MAKES and bool(record.id) and not ends


def is_over(look: Observation) -> bool:
    """Tell whether an object ended in its system: it bills, pays or credits nothing any more."""
    return is_gone(look) or getattr(look.facts, "status", "") in _OVER


def counts_no_more(state: OrderState, record: WriteRecord) -> bool:
    """Tell whether what *record* made ended in its system, or a person had it undone."""
    look = None if record.bound is None else state.objects.get(record.bound.key)
    return record.undone_at is not None or (look is not None and is_over(look))


def all_ended(state: OrderState) -> bool:
    """Tell whether all that was undone has come to its end, so that it may be made anew beside it."""
    undone = [record for record in state.writes.values() if record.undone_at is not None]
    return all(_settled(state, record) for record in undone) and all(
        _ended(state, record) for record in undone if record.capability in BILLS
    )


def _settled(state: OrderState, record: WriteRecord) -> bool:
    """Tell whether nobody waits for an answer about an end of *record*."""
    keys = [reversal_key(record), *(end_key(record, what) for what in _ENDS)]
    found = [state.writes[key] for key in keys if key in state.writes]
    return all(end.outcome == "confirmed" or end.stopped for end in found)


def _ended(state: OrderState, record: WriteRecord) -> bool:
    look = None if record.bound is None else state.objects.get(record.bound.key)
    if look is None or is_over(look):
        return True
    ends = [state.writes.get(end_key(record, what)) for what in ("void", "undoing")]
    return any(end is not None and end.outcome == "confirmed" for end in ends) or _credited(state, look)


def _credited(state: OrderState, look: Observation) -> bool:
    """Tell whether credit notes were on the document already when it was undone, over all of it."""
    if not isinstance(look.facts, Invoice):
        return False
    there = look.object.connection
    noted = [one for one in state.writes.values() if (one.connection, one.capability) == (there, "issue_credit")]
    notes = [state.objects.get(one.bound.key) for one in noted if one.bound is not None]
    living = [note.facts for note in notes if note is not None and not is_over(note)]
    ours = sum((facts.amount for facts in living if isinstance(facts, Credit)), ZERO)
    return max(ours, look.facts.credited_amount or ZERO) >= look.facts.payable_amount
