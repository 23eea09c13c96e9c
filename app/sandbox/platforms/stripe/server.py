"""The HTTP side of the simulated Stripe: forms in, JSON out, idempotency, lists and events."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import dropwhile, islice, takewhile
from typing import Any

from aiohttp import web

from app.sandbox.base import Operation, Sandbox, Window, dumps
from app.sandbox.platforms.stripe import books, form, search
from app.sandbox.platforms.stripe.acts import Acts
from app.sandbox.platforms.stripe.endpoints import Endpoints
from app.sandbox.platforms.stripe.events import Events
from app.sandbox.platforms.stripe.ledger import Ledger
from app.sandbox.platforms.stripe.records import Record, StripeError, shown

API_VERSION = "2026-10-28.endive"
_LISTED = {
    "customers": "customer",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "charges": "charge",
    "refunds": "refund",
    "credit_notes": "credit_note",
    "payouts": "payout",
    "disputes": "dispute",
    "webhook_endpoints": "webhook_endpoint",
    "checkout_sessions": "checkout.session",
}
_FILTERS = ("email", "status", "customer", "invoice", "payment_intent")
_PER_SECOND = 100
_REMEMBERED = 50_000
_EVER = 1 << 40


class StripeSandbox(Sandbox):
    """One Stripe account."""

    slug = "stripe"

    def __init__(self, account: str = "", **settings: Any) -> None:  # noqa: ANN401 - handed on to Sandbox
        super().__init__(account or "acct_sandbox", **settings)
        self.ledger = Ledger(self.clock, self._event)
        self.endpoints = Endpoints(self.ledger, self.hooks.keep)
        self.events = Events(API_VERSION)
        self.connect = ""
        """The Connect platform whose key is used, "" for none: who names no account is that one."""
        self.replies: dict[str, tuple[str, int, bytes]] = {}
        self.window = Window(_PER_SECOND * self.quota_scale, 1.0, self.clock)
        self.acts = Acts(self.ledger, self.clock, self._event)
        self.verbs = self.acts.verbs()

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """Return every path under /v1; what is unknown answers as Stripe does."""
        return [web.route("*", "/v1/{path:.*}", self._call)]

    def operation(self, request: web.Request, body: bytes) -> Operation:
        """Name the call by its path; every POST and DELETE changes something."""
        del body
        key = request.headers.get("Idempotency-Key", "")
        return Operation(f"{request.method} {request.path}", request.method != "GET", key)

    async def _call(self, request: web.Request) -> web.Response:
        if not request.headers.get("Authorization", "").startswith(("Bearer sk_", "Bearer rk_")):
            return self.unauthorized(request)
        if not self.window.take().allowed:
            return self.throttled(request)
        if request.headers.get("Stripe-Account", self.account) != self.account:
            text = "The provided key does not have access to that account (or that account does not exist)."
            return _failed(StripeError(403, "invalid_request_error", "account_invalid", text))
        body = await request.read()
        key = "" if self.faults.idempotency_off else request.headers.get("Idempotency-Key", "")
        digest = hashlib.sha256(request.path.encode() + body).hexdigest()
        if request.method == "POST" and key in self.replies:
            first, status, answer = self.replies[key]
            if first != digest:
                text = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                return _failed(StripeError(400, "idempotency_error", "", text))
            return _json(answer, status, {"Idempotent-Replayed": "true"})
        try:
            status, answer = 200, dumps(shown(self._route(request, form.parse(body))))
        except StripeError as error:
            return _failed(error)
        if request.method == "POST" and key:
            self.replies[key] = (digest, status, answer)
            if len(self.replies) > _REMEMBERED:
                del self.replies[next(iter(self.replies))]
        return _json(answer, status)

    def _route(self, request: web.Request, asked: Record) -> Record:
        parts = request.match_info["path"].strip("/").replace("checkout/sessions", "checkout_sessions").split("/")
        if request.method == "GET":
            if parts == ["account"] and self.connect and "Stripe-Account" not in request.headers:
                return {**self._get(parts, request.query), "id": self.connect}
            return self._get(parts, request.query)
        return self._post(request, parts, asked)

    def _post(self, request: web.Request, parts: list[str], asked: Record) -> Record:
        ledger = self.ledger
        creates: dict[str, Callable[[Record], Record]] = {
            "customers": ledger.create_customer,
            "invoices": ledger.create_invoice,
            "payment_intents": lambda values: ledger.create_intent(values, succeeded=values.get("confirm") == "true"),
            "payment_records/report_payment": ledger.report_payment,
            "refunds": ledger.refund,
            "credit_notes": ledger.credit,
            "webhook_endpoints": self.endpoints.create,
        }
        match parts:
            case ["invoices", id_, *action] if request.method == "POST":
                return self._invoice(ledger.get("invoice", id_), "".join(action), asked)
            case ["invoices", id_]:
                return self._delete(ledger.get("invoice", id_))
            case ["webhook_endpoints", id_] if request.method == "DELETE":
                return self.endpoints.delete(id_)
            case ["webhook_endpoints", id_]:
                return self.endpoints.update(id_, asked)
            case ["customers", id_]:
                return ledger.update_customer(ledger.get("customer", id_), asked)
            case ["disputes", id_, "close"]:
                return self.acts.close_dispute({"id": id_})
            case ["payment_records", id_, action]:
                return self._reported(ledger.get("payment_record", id_), action, asked)
            case ["credit_notes", id_, "void"]:
                return ledger.void_credit(ledger.get("credit_note", id_))
        create = creates.get("/".join(parts))
        if create is None or request.method != "POST":
            raise _unknown(request)
        return create(asked)

    def _reported(self, record: Record, action: str, asked: Record) -> Record:
        actions: dict[str, Callable[[], Record]] = {
            "report_refund": lambda: self.ledger.report_refund(record, asked),
            "report_payment_attempt_canceled": lambda: self.ledger.report_end(record, "canceled"),
            "report_payment_attempt_failed": lambda: self.ledger.report_end(record, "failed"),
        }
        if action not in actions:
            raise StripeError(404, "invalid_request_error", "", f"Unrecognized request URL (payment_records/{action}).")
        return actions[action]()

    def _invoice(self, invoice: Record, action: str, asked: Record) -> Record:
        ledger = self.ledger
        actions: dict[str, Callable[[], Record]] = {
            "": lambda: ledger.update_invoice(invoice, asked),
            "add_lines": lambda: ledger.add_lines(invoice, asked.get("lines") or []),
            "remove_lines": lambda: ledger.remove_lines(invoice, asked.get("lines") or []),
            "finalize": lambda: ledger.finalize(invoice),
            "pay": lambda: ledger.pay(invoice),
            "void": lambda: ledger.void(invoice),
            "send": lambda: invoice if invoice["status"] == "open" else ledger.finalize(invoice),
            "attach_payment": lambda: ledger.attach(invoice, asked),
        }
        if action not in actions:
            raise StripeError(404, "invalid_request_error", "", f"Unrecognized request URL (invoices/{action}).")
        return actions[action]()

    def _delete(self, invoice: Record) -> Record:
        if invoice["status"] != "draft":
            raise StripeError(
                400, "invalid_request_error", "invoice_not_editable", "You can only delete draft invoices."
            )
        self.ledger.remove(invoice)
        self._event("invoice.deleted", invoice)
        return {"id": invoice["id"], "object": "invoice", "deleted": True}

    def _get(self, parts: list[str], query: Mapping[str, str]) -> Record:
        match parts:
            case ["account"]:
                return {
                    "id": self.account,
                    "object": "account",
                    "default_currency": "eur",
                    "email": "sandbox@example.com",
                }
            case ["balance"]:
                return {"object": "balance", "available": [], "pending": [], "livemode": False}
            case ["events"]:
                return self._events(query)
            case ["invoice_payments"]:
                return self._parts(query)
            case ["payment_records", id_]:
                return self.ledger.get("payment_record", id_)
            case ["invoices" | "credit_notes" as listed, id_, "lines"]:
                return _page(self.ledger.get(_LISTED[listed], id_)["lines"]["data"], query)
            case ["customers" | "invoices" as listed, "search"]:
                return search.page(self.ledger.of(_LISTED[listed]), query)
            case [listed] if listed in _LISTED:
                wanted = {name: query[name] for name in _FILTERS if name in query}
                return _page(self.ledger.having(_LISTED[listed], wanted), query)
            case [listed, id_] if listed in _LISTED:
                return self.ledger.get(_LISTED[listed], id_)
        raise StripeError(404, "invalid_request_error", "", f"Unrecognized request URL (GET: /v1/{'/'.join(parts)}).")

    def _parts(self, query: Mapping[str, str]) -> Record:
        kind = query.get("payment[type]", "")
        paid = query.get(f"payment[{kind}]")
        rows = self.ledger.of("invoice_payment") if paid is None else self.ledger.parts[paid]
        return _page([row for row in rows if query.get("invoice", row["invoice"]) == row["invoice"]], query)

    def _events(self, query: Mapping[str, str]) -> Record:
        types = [value for name, value in query.items() if name.startswith("types[")]
        return self.events.page(
            _limit(query),
            _created(query),
            types,
            query.get("starting_after", ""),
            query.get("ending_before", ""),
        )

    def throttled(self, request: web.Request) -> web.Response:
        """Answer as Stripe's rate limiter."""
        del request
        text = "Too many requests hit the API too quickly."
        return _failed(
            StripeError(429, "invalid_request_error", "rate_limit", text), {"Stripe-Rate-Limited-Reason": "global-rate"}
        )

    def unauthorized(self, request: web.Request) -> web.Response:
        """Answer as Stripe does to a wrong key."""
        del request
        return _failed(StripeError(401, "invalid_request_error", "", "Invalid API Key provided."))

    def broken(self, request: web.Request) -> web.Response:
        """Answer as Stripe does when it fails."""
        del request
        return _failed(StripeError(500, "api_error", "", "Sorry, something went wrong."))

    # -- events -------------------------------------------------------------------------------------------------------

    def _event(self, type_: str, record: Record) -> None:
        if (row := books.row(record)) is not None:
            self.remember(row)
        self.emit(self.events.add(type_, record, self.clock(), self.account if self.connect else ""), topic=type_)

    def sign(self, body: bytes, url: str, secret: str, now: datetime) -> Mapping[str, str]:
        """Sign as Stripe: t and v1 over `<t>.<body>`."""
        del url
        stamp = str(int(now.timestamp()))
        digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={stamp},v1={digest}"}

    # -- what it holds ------------------------------------------------------------------------------------------------

    def books(self) -> list[Record]:
        """Return one row a document."""
        parts = self.ledger.parts
        rows = ((record, books.row(record)) for record in self.ledger.records.values())
        return [
            row | ({"invoice_id": parts[record["id"]][0]["invoice"]} if record["id"] in parts else {})
            for record, row in rows
            if row is not None
        ]


def _created(query: Mapping[str, str]) -> range:
    """Return the seconds that the filters of a list leave."""
    since = max(int(query.get("created[gte]", "0")), 1 + int(query.get("created[gt]", "-1")))
    return range(since, min(int(query.get("created[lt]", _EVER)), 1 + int(query.get("created[lte]", _EVER))))


def _limit(query: Mapping[str, str]) -> int:
    return min(100, int(query.get("limit", "10")))


def _page(rows: Iterable[Record], query: Mapping[str, str]) -> Record:
    """Return one page of *rows*, the newest first; a row whose id nobody knows has nothing after it."""
    limit, since = _limit(query), int(query.get("created[gte]", "0"))
    rows = takewhile(lambda row: row.get("created", since) >= since, rows)
    if after := query.get("starting_after"):
        rows = islice(dropwhile(lambda row: row["id"] != after, rows), 1, None)
    elif before := query.get("ending_before"):
        rows = list(takewhile(lambda row: row["id"] != before, rows))[-limit:]
    found = list(islice(rows, limit + 1))
    return {
        "object": "list",
        "url": "/v1",
        "has_more": len(found) > limit,
        "data": [shown(row) for row in found[:limit]],
    }


def _unknown(request: web.Request) -> StripeError:
    return StripeError(
        404, "invalid_request_error", "", f"Unrecognized request URL ({request.method}: {request.path})."
    )


def _failed(error: StripeError, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"type": error.type, "message": str(error), "code": error.code or None, "param": error.param or None}
    said = {name: value for name, value in body.items() if value is not None}
    return _json(dumps({"error": said}), error.status, headers)


def _json(body: bytes, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={"Request-Id": "req_sandbox", **(headers or {})},
    )
