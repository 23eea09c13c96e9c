"""The simulated Xero over HTTP: who may call, how often, and what each address answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import InvalidOperation
from typing import Any, ClassVar, Protocol

import msgspec
from aiohttp import web

from app.sandbox.base import Sandbox
from app.sandbox.platforms.xero import acts, books, render, sent, settings, thin
from app.sandbox.platforms.xero.gate import Quota, Repeated
from app.sandbox.platforms.xero.ledger import InvalidError
from app.sandbox.platforms.xero.lists import Table, modified_since, tables
from app.sandbox.platforms.xero.money import Books
from app.sandbox.platforms.xero.render import Row
from app.sandbox.platforms.xero.shown import Shown, rendered
from app.sandbox.platforms.xero.tokens import Tokens
from app.sandbox.platforms.xero.where import BadFilterError

API = "/api.xro/2.0"
_NOTHING = "No data has been processed for this endpoint. This endpoint is expecting {} data to be specifed."
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Save(Protocol):
    """How a document or contact is created or updated."""

    def __call__(self, body: Mapping[str, Any], *, create: bool, places: int) -> Row:
        """Return the row; InvalidError when Xero refuses."""


class XeroSandbox(Sandbox):
    """One organisation. `account` is its tenant id."""

    slug: ClassVar[str] = "xero"

    def __init__(self, account: str = "", **options: Any) -> None:  # noqa: ANN401 - the base's options
        super().__init__(account or "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f", **options)
        self.books_of = Books(self.clock, self.random)
        self.books_of.changed = self._changed
        self.tokens = Tokens(self.clock, self.books_of.new_id)
        self.verbs = {**acts.verbs(self), "consent": self.tokens.consent.act}
        self._quota = Quota(self.quota_scale, self.clock)
        self._repeated = Repeated(self.clock)
        self._shown = Shown()
        self._sequence = 0
        self._in_flight = 0

    # ------------------------------------------------------------------------------------------ webhooks out

    def sign(self, body: bytes, url: str, secret: str, now: datetime) -> Mapping[str, str]:
        """Sign the raw bytes with the key as text."""
        del url, now
        digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
        return {"x-xero-signature": base64.b64encode(digest).decode()}

    def _changed(self, category: str, kind: str, row: Row) -> None:
        if (shown := books.shown(self.books_of, row)) is not None:
            self.remember(shown)
        if not category:
            return
        status = self.books_of.status(row) if category == "CREDITNOTE" else ""
        event = thin.event(self.account, category, kind, row, status, self.clock())
        self._sequence += 1
        self.emit((self._sequence, event), topic=category, join=self.delivery)

    def delivery(self, events: Sequence[thin.Numbered]) -> bytes:
        """Return the bytes of a delivery; without events it is an intent to receive."""
        return thin.delivery(events, self.random)

    # ----------------------------------------------------------------------------------------------- routing

    def routes(self) -> list[web.RouteDef]:
        """Return the identity server, the connections, and the accounting API (also without its path prefix)."""
        found = [
            web.get("/identity/connect/authorize", self.tokens.consent.page),
            web.post("/connect/token", self._token),
            web.get("/connections", self._open(self._connections)),
            web.get("/Connections", self._open(self._connections)),  # xero-python writes it so
            web.delete("/connections/{id}", self._open(self._disconnect)),
        ]
        for prefix in (API, ""):
            found += [
                web.route(method, prefix + path, self._guarded(handler)) for method, path, handler in self._addresses()
            ]
        return found

    def _addresses(self) -> list[tuple[str, str, Handler]]:
        ledger = self.books_of
        named = ("Organisation", "Accounts", "TaxRates", "Currencies")
        lists = tables(ledger)
        return [
            *[("GET", f"/{name}", self._settings(name)) for name in named],
            *[("GET", f"/{table.name}", self._list(table)) for table in lists],
            *[("GET", f"/{table.name}/{{id}}", self._one(table)) for table in lists],
            *self._saves("Invoices", "InvoiceID", ledger.save_invoice, ledger.shown_invoice),
            *self._saves("CreditNotes", "CreditNoteID", ledger.save_credit, ledger.shown_credit),
            *self._saves("Contacts", "ContactID", ledger.save_contact, dict),
            ("PUT", "/Payments", self._batch("Payments", self._pay)),
            ("POST", "/Payments", self._batch("Payments", self._pay)),
            ("POST", "/Payments/{id}", self._delete_payment),
            ("PUT", "/CreditNotes/{id}/Allocations", self._allocate(ledger.credits)),
            ("DELETE", "/CreditNotes/{id}/Allocations/{allocation}", self._release),
            ("PUT", "/Overpayments/{id}/Allocations", self._allocate(ledger.advances)),
            ("PUT", "/Prepayments/{id}/Allocations", self._allocate(ledger.prepayments)),
            ("PUT", "/BankTransactions", self._batch("BankTransactions", self._receive)),
            ("GET", "/Invoices/{id}/History", self._get_history),
            ("PUT", "/Invoices/{id}/History", self._put_history),
            ("POST", "/Invoices/{id}/Email", self._email),
        ]

    def _pay(self, body: Row, places: int) -> Row:
        del places
        return self.books_of.shown_payment(self.books_of.save_payment(body))

    def _receive(self, body: Row, places: int) -> Row:
        del places
        return self.books_of.shown_transaction(self.books_of.receive(body))

    def _saves(
        self, name: str, id_field: str, save: Save, shown: Callable[[Row], Row]
    ) -> list[tuple[str, str, Handler]]:
        def put(body: Row, places: int) -> Row:
            return shown(save(body, create=True, places=places))

        def post(body: Row, places: int) -> Row:
            return shown(save(body, create=False, places=places))

        return [
            ("PUT", f"/{name}", self._batch(name, put)),
            ("POST", f"/{name}", self._batch(name, post)),
            ("POST", f"/{name}/{{id}}", self._batch(name, post, id_field)),
        ]

    # ---------------------------------------------------------------------------------- who may call how often

    def _guarded(self, handler: Handler) -> Handler:
        async def guard(request: web.Request) -> web.Response:
            proof, tenant = request.headers.get("Authorization", ""), request.headers.get("xero-tenant-id")
            if not self.tokens.good(proof):
                return self.unauthorized(request)
            if tenant != self.account and (tenant or self.tokens.needs_tenant(proof)):
                return _json(render.problem("Forbidden", 403, "AuthenticationUnsuccessful", request.path), 403)
            self._in_flight += 1
            try:
                return await self._counted(handler, request)
            finally:
                self._in_flight -= 1

        return guard

    def _open(self, handler: Handler) -> Handler:
        async def guard(request: web.Request) -> web.Response:
            if not self.tokens.good(request.headers.get("Authorization", "")):
                return self.unauthorized(request)
            return await handler(request)

        return guard

    async def _counted(self, handler: Handler, request: web.Request) -> web.Response:
        if self._in_flight > self._quota.concurrent:
            return web.Response(status=429, headers={"X-Rate-Limit-Problem": "concurrent"})
        short, headers = self._quota.take()
        if short:
            return web.Response(status=429, headers={**headers, "X-Rate-Limit-Problem": short})
        reply = await self._kept(handler, request)
        reply.headers.update(headers)
        return reply

    def throttled(self, request: web.Request) -> web.Response:
        """Return one call too many in the minute."""
        del request
        return web.Response(status=429, headers={"X-Rate-Limit-Problem": "minute", "Retry-After": "1"})

    def broken(self, request: web.Request) -> web.Response:
        """Return an organisation that is offline."""
        return _json(render.problem("ServiceUnavailable", 503, "The Xero API is currently offline", request.path), 503)

    def unauthorized(self, request: web.Request) -> web.Response:
        """Return an expired token."""
        reply = _json(render.problem("Unauthorized", 401, "TokenExpired: token expired", request.path), 401)
        reply.headers["WWW-Authenticate"] = "Bearer error=invalid_token"
        return reply

    async def _kept(self, handler: Handler, request: web.Request) -> web.Response:
        """Answer a repeated Idempotency-Key with the first answer."""
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > 128:
            return _json(render.refused(16, "BadRequest", "The Idempotency-Key is longer than 128 characters"), 400)
        if not key or request.method == "GET" or self.injector.happens("idempotency_off"):
            return await self._understood(handler, request)
        sent = request.path_qs.encode() + await request.read()
        try:
            known = self._repeated.known(key, sent)
        except ValueError as error:
            return _json(render.refused(16, "BadRequest", str(error)), 400)
        if known is not None:
            return web.Response(status=known[0], body=known[1], content_type="application/json")
        reply = await self._understood(handler, request)
        self._repeated.keep(key, sent, (reply.status, reply.body if isinstance(reply.body, bytes) else b""))
        return reply

    async def _understood(self, handler: Handler, request: web.Request) -> web.Response:
        if "json" not in request.headers.get("Accept", ""):
            return web.Response(text="<Response><Status>OK</Status></Response>", content_type="text/xml")
        try:
            return await handler(request)
        except BadFilterError as error:
            return _json(render.refused(16, "QueryParseException", str(error)), 400)
        except (ValueError, TypeError, AttributeError, InvalidOperation) as error:
            return _json(render.refused(14, "PostDataInvalidException", f"Invalid data: {type(error).__name__}"), 400)

    # ---------------------------------------------------------------------------------------- identity server

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        status, body = self.tokens.grant(form, request.headers.get("Authorization", ""))
        return _json(body, status)

    @property
    def _reached(self) -> list[dict[str, str]]:
        return [{"id": self.account, "name": "Sandbox Ltd"}, *self.tokens.consent.tenants]

    async def _connections(self, _: web.Request) -> web.Response:
        stamp = "2026-01-01T00:00:00.0000000"
        dates = {"createdDateUtc": stamp, "updatedDateUtc": stamp}
        rows = [{"id": one["id"], "tenantId": one["id"], "tenantName": one["name"]} for one in self._reached]
        return _json([{**row, "authEventId": row["id"], "tenantType": "ORGANISATION", **dates} for row in rows])

    async def _disconnect(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in {one["id"] for one in self._reached}:
            return _missing()
        self.tokens.disconnect()
        return web.Response(status=204)

    # ------------------------------------------------------------------------------------------------ reading

    def _envelope(self, name: str, rows: Sequence[Row | msgspec.Raw], status: int = 200, **more: Any) -> web.Response:  # noqa: ANN401 - any JSON
        head = {"Id": self.books_of.new_id(), "Status": "OK", "ProviderName": "Sandbox App"}
        stamp = {"DateTimeUTC": f"/Date({render.milliseconds(self.clock())})/"}
        shown = {key: value for key, value in more.items() if value is not None}
        return _json({**head, **stamp, **shown, name: [rendered(row) for row in rows]}, status)

    def _settings(self, name: str) -> Handler:
        async def handler(_: web.Request) -> web.Response:
            rows = settings.rows(name, self.books_of, self.account)
            return self._envelope("Organisations" if name == "Organisation" else name, rows)

        return handler

    def _list(self, table: Table) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            query = dict(request.query)
            archived = table.name != "Contacts" or query.get("includeArchived") == "true"

            lags = self.faults.visibility_lag_s > 0

            def seen(row: Row) -> bool:
                return (not lags or self.visible(row["created"])) and (archived or row["ContactStatus"] == "ACTIVE")

            since = modified_since(request.headers.get("If-Modified-Since", ""))
            chosen = table.chosen(query, since, seen if lags or not archived else None)
            rows, stand = table.page(chosen, query)
            full = bool(query.get("page")) and table.name != "Payments"
            shown = [self._shown.row(table, row, full=full, places=_places(query)) for row in rows]
            return self._envelope(table.name, shown, pagination=stand)

        return handler

    def _one(self, table: Table) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            row = table.one(request.match_info["id"])
            if row is None:
                return _missing()
            return self._envelope(table.name, [self._shown.row(table, row, full=True, places=_places(request.query))])

        return handler

    # ------------------------------------------------------------------------------------------------ writing

    def _batch(self, name: str, make: Callable[[Row, int], Row], id_field: str = "") -> Handler:
        """Take the elements of a body; with summarizeErrors=false each one succeeds or fails for itself."""

        async def handler(request: web.Request) -> web.Response:
            bodies = await sent.elements(request, name)
            if not bodies:
                return _json(render.refused(17, "NoDataProcessedException", _NOTHING.format(name)), 400)
            if id_field:
                bodies = [{**body, id_field: request.match_info["id"]} for body in bodies[:1]]
            single = request.query.get("summarizeErrors", "true").lower() != "false"
            rows, failed = self._make(bodies, make, _places(request.query), mixed=not single)
            if failed and single:
                return _json(
                    render.validation([render.vendor(row) for row in rows if row.get("ValidationErrors")]), 400
                )
            return self._envelope(name, rows)

        return handler

    def _make(
        self, bodies: list[Row], make: Callable[[Row, int], Row], places: int, *, mixed: bool
    ) -> tuple[list[Row], bool]:
        rows: list[Row] = []
        for body in bodies:
            try:
                shown = self._made(body, make, places, neighbours=mixed and len(bodies) > 1)
                rows.append({**shown, **({"StatusAttributeString": "OK"} if mixed else {})})
            except InvalidError as error:
                texts = {
                    "HasErrors": True,
                    "HasValidationErrors": True,
                    "ValidationErrors": render.messages(error.texts),
                }
                rows.append({**body, "StatusAttributeString": "ERROR", **texts})
                if not mixed:
                    break
        return rows, any(row.get("ValidationErrors") for row in rows)

    def _made(self, body: Row, make: Callable[[Row, int], Row], places: int, *, neighbours: bool) -> Row:
        if neighbours and self.injector.happens("batch_item_failure"):
            raise InvalidError("An error occurred in Xero. Check the API Status page.")
        return make(body, places)

    async def _delete_payment(self, request: web.Request) -> web.Response:
        found = await sent.elements(request, "Payments") or [await sent.body(request)]
        if found[0].get("Status") != "DELETED":
            return _json(render.validation([{"ValidationErrors": render.messages(["Only DELETED can be set."])}]), 400)
        if request.match_info["id"] not in self.books_of.payments:
            return _missing()
        try:
            row = self.books_of.delete_payment(request.match_info["id"])
        except InvalidError as error:
            return _json(render.validation([{"ValidationErrors": render.messages(error.texts)}]), 400)
        return self._envelope("Payments", [self.books_of.shown_payment(row)])

    def _allocate(self, sources: Mapping[str, Row]) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            source = sources.get(request.match_info["id"])
            if source is None:
                return _missing()
            make = self._batch("Allocations", lambda body, _: self._allocated(source, body))
            return await make(request)

        return handler

    def _allocated(self, source: Row, body: Row) -> Row:
        return self.books_of.shown_allocation(self.books_of.allocate(source, body))

    async def _release(self, request: web.Request) -> web.Response:
        source = self.books_of.credits.get(request.match_info["id"])
        try:
            item = self.books_of.release(source, request.match_info["allocation"]) if source is not None else None
        except InvalidError as error:
            return _json(render.validation([{"ValidationErrors": render.messages(error.texts)}]), 400)
        if item is None:
            return _missing()
        return _json(render.vendor({**self.books_of.shown_allocation(item), "IsDeleted": True}))

    async def _get_history(self, request: web.Request) -> web.Response:
        return self._envelope("HistoryRecords", self.books_of.history[request.match_info["id"]])

    async def _put_history(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        if id_ not in self.books_of.invoices:
            return _missing()
        texts = [str(record.get("Details", ""))[:2500] for record in await sent.elements(request, "HistoryRecords")]
        rows = [self.books_of.note(id_, "Note", text, "Sandbox App") for text in texts if text]
        return self._envelope("HistoryRecords", rows)

    async def _email(self, request: web.Request) -> web.Response:
        row = self.books_of.invoices.get(request.match_info["id"])
        if row is None:
            return _missing()
        row["SentToContact"] = row["SentToContact"] or self.books_of.marks_mailed
        self.books_of.note(row["InvoiceID"], "Invoice sent", "E-mailed to the contact.")
        self.books_of.touch(row, "INVOICE")
        return web.Response(status=204)

    def books(self) -> list[dict[str, Any]]:
        """Return what the organisation holds now."""
        return books.books(self.books_of)


def _missing() -> web.Response:
    return web.Response(text="The resource you're looking for cannot be found", status=404)


def _places(query: Mapping[str, str]) -> int:
    return 4 if query.get("unitdp") == "4" else 2


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=render.encode(value), status=status, content_type="application/json")
