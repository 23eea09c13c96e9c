"""How Stripe is asked: forms with idempotency keys, errors by their code, and whose invoice it is."""

from __future__ import annotations

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
from app.core.talk import Request, Response, Talk
from schemas.facts import Party
from schemas.platforms.stripe import PLATFORM
from schemas.platforms.stripe.facts import anchors, ident, mark, to_facts
from sinks.base import Sink, Written

Record = dict[str, Any]
_KEY = "header:Idempotency-Key"
_CLIENT = 400
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

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Return the error; `Stripe-Should-Retry` overrides every rule."""
        if response.status < _CLIENT:
            return from_status("Stripe", response, mutating=mutating)
        error = _error(response)
        text = f"Stripe answered {response.status}: {error.get('code') or error.get('type') or 'no reason given'}."
        should = response.headers.get("stripe-should-retry")
        if error.get("code") in {"rate_limit", "lock_timeout"}:
            return RateLimited(text, retry_after(response))
        if error.get("type") == "idempotency_error":
            return RejectedError(text)
        if response.status == _CONFLICT:
            return RetryableError(text)
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

    def post(self, step: str, path: str, form: dict[str, str], lock: str = "") -> Talk[Record]:
        """Change something; the answer is what it became."""
        request = Request(method="POST", path=path, form=form, mutates=True, step=step, key_in=_KEY, lock=lock)
        return (yield from self.ask(request))

    def ask(self, request: Request) -> Talk[Record]:
        """Return the answer; raises what it means where it is an error."""
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        record: Record = reply.json()
        return record

    def customer(self, party: Party) -> Talk[Record]:
        """Find by e-mail, else create; the natural key is locked."""
        if party.email:
            params = {"email": party.email, "limit": "1"}
            found = yield from self.ask(Request(method="GET", path="/v1/customers", params=params))
            if found["data"]:
                first: Record = found["data"][0]
                return first
        form = {name: value for name, value in (("email", party.email), ("name", party.name)) if value}
        return (yield from self.post("customer", "/v1/customers", form, lock=f"customer:{party.email or party.name}"))


def _error(response: Response) -> Record:
    try:
        body = response.json()
    except O2CError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}
