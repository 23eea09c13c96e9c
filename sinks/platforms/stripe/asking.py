"""How Stripe is asked: forms with idempotency keys, errors by their code, and whose invoice it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from app.core.errors import (
    ConflictError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.status import from_status, retry_after
from app.core.talk import Request, Response, Talk, segment
from schemas.commands import Command
from schemas.facts import Party
from schemas.platforms.stripe import PLATFORM
from schemas.platforms.stripe.facts import mark, more_lines, to_facts
from schemas.platforms.stripe.whose import anchors, ident
from sinks.base import Sink, Written
from sinks.platforms.stripe import bodies

Record = dict[str, Any]
_KEY = "header:Idempotency-Key"
PAGE = "100"
_CLIENT = 400
_MISSING = 404
_CONFLICT = 409
_SERVER = 500


class Asking(Sink):
    """Every POST carries an idempotency key; our mark sits in metadata.o2c."""

    platform = PLATFORM

    def written(self, record: Record) -> Written:
        """Return what *record* shows of a write."""
        return Written(
            type=str(record["object"]),
            id=ident(record),
            facts=to_facts(record, self.connection.time_zone),
            mark=mark(record),
            complete=record.get("object") != "invoice" or record.get("status") != "draft",
            anchors=anchors(self.connection, record),
        )

    def shown(self, record: Record) -> Talk[Written]:
        """Return what *record* shows of a write, with all its lines."""
        if path := more_lines(record):
            record = {**record, "lines": {"data": (yield from self.rows(path))}}
        return self.written(record)

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Return the error; `Stripe-Should-Retry` overrides every rule."""
        if response.status < _CLIENT:
            return from_status("Stripe", response, mutating=mutating)
        error = _error(response)
        text = f"Stripe answered {response.status}: {error.get('code') or error.get('type') or 'no reason given'}."
        should = response.headers.get("stripe-should-retry")
        if error.get("code") in {"rate_limit", "lock_timeout"}:
            return RateLimited(text, retry_after(response))
        if response.status == _CONFLICT:  # also a twin under the same key, that is under way
            return RetryableError(text)
        if error.get("type") == "idempotency_error":
            return RejectedError(text)
        if error.get("code") == "resource_already_exists":
            return DuplicateError(text)
        if error.get("code") in {
            "invoice_not_editable",
            "payment_intent_unexpected_state",
            "charge_already_refunded",
        }:
            return ConflictError(text)
        if should == "true" and response.status < _SERVER:
            return RetryableError(text)
        if should == "false" and response.status >= _SERVER:
            return UncertainError(text) if mutating else RejectedError(text)
        return from_status(
            "Stripe", response, mutating=mutating, detail=str(error.get("code") or error.get("type") or "")
        )

    def post(self, step: str, path: str, form: dict[str, str], *, lock: str = "", key: str = "") -> Talk[Record]:
        """Change something; the answer is what it became. With a *key* every try has that one."""
        request = Request(method="POST", path=path, form=form, mutates=True, step=step, key=key, key_in=_KEY, lock=lock)
        return (yield from self.ask(request))

    def report(self, command: Command, path: str, form: dict[str, str]) -> Talk[Record]:
        """Tell of money outside Stripe: no list shows that it was told, so its key alone keeps it from being twice.

        A try that was throttled gets another key elsewhere; here the one before it may have been done. What Stripe
        refuses before it begins, and a 429, is not kept under a key: https://docs.stripe.com/api/idempotent_requests
        """
        return (yield from self.post("report", path, form, key=f"{command.id}-report"))

    def ask(self, request: Request) -> Talk[Record]:
        """Return the answer; raises what it means where it is an error."""
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        record: Record = reply.json()
        return record

    def rows(self, path: str, params: Mapping[str, str] = MappingProxyType({})) -> Talk[list[Record]]:
        """Return a whole list, the newest first."""
        found: list[Record] = []
        more = True
        while more:
            after = {"starting_after": str(found[-1]["id"])} if found else {}
            page = yield from self.ask(Request(method="GET", path=path, params={**params, "limit": PAGE, **after}))
            found += page["data"]
            more = bool(page.get("has_more"))
        return found

    def search(self, kind: str, query: str) -> Talk[list[Record] | None]:
        """Return what a search shows, which may lag by an hour; None where the account may not search."""
        request = Request(method="GET", path=f"/v1/{kind}/search", params={"query": query, "limit": PAGE})
        try:
            found = yield from self.ask(request)
        except RejectedError:
            return None
        rows: list[Record] = found["data"]
        return rows

    def invoice(self, id_: str) -> Talk[Record]:
        """Read the invoice that a write hangs on; ConflictError when it is gone."""
        found = yield from self.find(f"/v1/invoices/{segment(id_)}")
        if found is None:
            raise ConflictError("Stripe: the invoice is gone.")
        return found

    def note(self, command: Command) -> Talk[Record]:
        """Read the credit note that a write is about; ConflictError when it is gone."""
        found = yield from self.find(f"/v1/credit_notes/{segment(bodies.link(command, 'credit'))}")
        if found is None:
            raise ConflictError("Stripe: the credit note is gone.")
        return found

    def find(self, path: str) -> Talk[Record | None]:
        """Read one object; None when it is gone."""
        reply = yield Request(method="GET", path=path)
        if reply.status == _MISSING:
            return None
        if (error := self.classify(reply, mutating=False)) is not None:
            raise error
        record: Record = reply.json()
        return None if record.get("deleted") else record

    def customer(self, party: Party) -> Talk[Record]:
        """Find the buyer, else create; the natural key is locked, since a search may miss who was made just now."""
        found = yield from self.customers(party)
        if found:
            return found[0]
        key = party.email.lower() or party.id or party.name.casefold()
        return (yield from self.post("customer", "/v1/customers", bodies.customer(party), lock=f"customer:{key}"))

    def customers(self, party: Party) -> Talk[list[Record]]:
        """Return who has the buyer's e-mail; of one without, who has the same name and, where it is known, id."""
        found: list[Record] = []
        for spelling in dict.fromkeys((party.email, party.email.lower())) if party.email else ():
            params = {"email": spelling, "limit": PAGE}  # the list tells capitals from small letters
            found += (yield from self.ask(Request(method="GET", path="/v1/customers", params=params)))["data"]
        if party.email or not (party.id or party.name):
            return found
        by_id = f"metadata['{bodies.THEIR_ID}']:{bodies.quoted(party.id)}"
        rows = yield from self.search("customers", by_id if party.id else f"name:{bodies.quoted(party.name)}")
        return [row for row in rows or () if _is_named(row, party)]


def _is_named(record: Record, party: Party) -> bool:
    """Tell whether *record* is a buyer without e-mail of the same name: ids of two systems may be equal by chance."""
    return not record.get("email") and str(record.get("name") or "").casefold() == party.name.casefold()


def _error(response: Response) -> Record:
    try:
        body = response.json()
    except O2CError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}
