"""What Stripe shows of an earlier try: found by our mark in lists, which unlike searches are up to date."""

from __future__ import annotations

from typing import Any

from app.core.talk import Request, Talk, segment
from schemas.commands import Command
from schemas.platforms.stripe.facts import PARTS, ident, mark
from sinks.base import Written
from sinks.platforms.stripe.asking import Asking, Record

_MISSING = 404


class Probing(Asking):
    """Questions about what is there."""

    def probe(self, command: Command) -> Talk[Written | None]:
        """List the newest objects of the kind and compare marks: search lags, lists do not."""
        if command.capability == "record_payment":
            return (yield from self._probe_payment(command.links.get("invoice", ""), command.mark))
        path = {"issue_credit": "/v1/credit_notes", "record_refund": "/v1/refunds"}.get(
            command.capability, "/v1/invoices"
        )
        after: dict[str, str] = {}
        while True:
            page = yield from self.ask(Request(method="GET", path=path, params={"limit": "100", **after}))
            for record in page["data"]:
                if mark(record) == command.mark:
                    return self.written(record)
            if not page.get("has_more"):
                return None
            after = {"starting_after": str(page["data"][-1]["id"])}

    def _probe_payment(self, invoice: str, wanted: str) -> Talk[Written | None]:
        """Look at the payments of the invoice: there is no list of payment records."""
        params = {"invoice": invoice, "limit": "100"}
        paid = (
            (yield from self.ask(Request(method="GET", path="/v1/invoice_payments", params=params))) if invoice else {}
        )
        for part in parts_of(paid):
            if id_ := record_of(part):
                record = yield from self.ask(Request(method="GET", path=f"/v1/payment_records/{segment(id_)}"))
                if mark(record) == wanted:
                    return self.written({**record, PARTS: [part]})
        return None

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read the bound invoice."""
        reply = yield Request(method="GET", path=f"/v1/invoices/{segment(command.bound_id)}")
        if reply.status == _MISSING:
            return None
        if (error := self.classify(reply, mutating=False)) is not None:
            raise error
        return self.written(reply.json())


def parts_of(listed: Any) -> list[Record]:  # noqa: ANN401 - a list object, or none
    """Return the invoice payments of a list that count."""
    return [part for part in (listed or {}).get("data", []) if part.get("status") != "canceled"]


def record_of(part: Record) -> str:
    """Return the payment record behind an invoice payment, "" where it is another kind of payment."""
    return ident((part.get("payment") or {}).get("payment_record"))
