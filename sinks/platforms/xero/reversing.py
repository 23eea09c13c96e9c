"""Money that never came, or no longer counts: a payment is removed, an overpayment paid out again.

Xero's API removes no overpayment: "Refund Overpayments using the Payments endpoint"
(https://developer.xero.com/documentation/api/overpayments). So it is paid out, whole and on its own day.
"""

from __future__ import annotations

import msgspec

from app.core.errors import RejectedError
from app.core.talk import Talk, segment
from schemas.commands import Command
from schemas.facts import Payment
from schemas.platforms.xero import facts, wire
from schemas.refs import find_mark
from sinks.base import Written
from sinks.platforms.xero import bodies
from sinks.platforms.xero.asking import beside
from sinks.platforms.xero.probing import Probing
from sinks.platforms.xero.written import link, payment_written

_APART = {"summarizeErrors": "false"}


class Reversing(Probing):
    """Takes back what `record_payment` wrote, both parts of it where the money was more than the invoice."""

    def taken_back(self, command: Command) -> Talk[Written]:
        """Remove a payment (its record stays, with Status DELETED) and pay out the overpayment beside or instead of it.

        The overpayment goes first: one that a person used refuses the whole.
        """
        id_ = command.bound_id or link(command, "payment")
        reply = yield from self.find(f"/Payments/{segment(id_)}")
        if reply is None or not reply.payments:
            refund, *more = yield from self._paid_out(id_, command.mark)
            return msgspec.structs.replace(refund, also=tuple(more))
        payment = reply.payments[0]
        extra = yield from self._beside(payment)
        also = () if extra is None else (yield from self._paid_out(extra.id, beside(command.mark)))
        if payment.status != "DELETED":
            path = f"/Payments/{segment(id_)}"
            reply = yield from self.put(path, {"Status": "DELETED"}, "reversal", method="POST")
        return msgspec.structs.replace(payment_written(reply.payments[0]), also=also)

    def probe(self, command: Command) -> Talk[Written | None]:
        """Look for what an earlier try took back as well: complete when nothing beside it is left."""
        if command.capability not in {"reverse_payment", "reverse_refund"}:
            return (yield from super().probe(command))
        id_ = command.bound_id or link(command, "payment")
        reply = yield from self.find(f"/Payments/{segment(id_)}")
        if reply is None or not reply.payments:
            return (yield from self.payment_with(command.mark))
        if reply.payments[0].status != "DELETED":
            return None
        written, extra = payment_written(reply.payments[0]), (yield from self._beside(reply.payments[0]))
        paid_out = None if extra is None else (yield from self.payment_with(beside(command.mark)))
        return msgspec.structs.replace(written, complete=extra is None or paid_out is not None)

    def _beside(self, payment: wire.Payment) -> Talk[Written | None]:
        """Return the overpayment that we booked beside a payment of ours: what exceeded its invoice."""
        mark = find_mark(payment.reference)
        if mark is None or payment.payment_type != facts.PAYMENT_IN:
            return None
        return (yield from self.marked_advance(beside(mark)))

    def _paid_out(self, id_: str, mark: str) -> Talk[tuple[Written, ...]]:
        """Pay an overpayment out, once; return the refund first, then the overpayment as it is now."""
        advance = yield from self._advance(id_)
        if (done := (yield from self.payment_with(mark))) is not None:
            return (done,)
        whole = facts.advance_facts(advance)
        if whole is None or whole.unapplied_amount != whole.amount:
            raise RejectedError("Xero: the overpayment was used or paid out; a person has to take it back.")
        body = self._refund(whole, id_, mark)
        reply = yield from self.put("/Payments", {"Payments": [body]}, f"payback:{id_}", _APART)
        advance = yield from self._advance(id_)
        shown, own = facts.advance_facts(advance), facts.advance_mark(advance)
        ended = Written(type="overpayment", id=id_, facts=shown, mark=own)
        return payment_written(reply.payments[0]), ended

    def _refund(self, whole: Payment, id_: str, mark: str) -> bodies.Row:
        on = {"Overpayment": {"OverpaymentID": id_}}
        return bodies.payment(whole, on, whole.amount, mark, self.connection)

    def _advance(self, id_: str) -> Talk[wire.Advance]:
        reply = yield from self.find(f"/Overpayments/{segment(id_)}")
        if reply is None or not reply.overpayments:
            raise RejectedError("Xero: it is neither a payment nor an overpayment; a person has to take it back.")
        return reply.overpayments[0]
