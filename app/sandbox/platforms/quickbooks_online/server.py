"""QuickBooks Online simulated: OAuth, company routes, quotas and webhooks in both forms."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from uuid import UUID, uuid5

import msgspec
from aiohttp import web

from app.sandbox.base import Operation, Sandbox, Verb, Window, real_time
from app.sandbox.faults import Faults
from app.sandbox.platforms.quickbooks_online.acts import Acts, tamper
from app.sandbox.platforms.quickbooks_online.books import books, shown
from app.sandbox.platforms.quickbooks_online.company import Company
from app.sandbox.platforms.quickbooks_online.oauth import OAuth
from app.sandbox.platforms.quickbooks_online.refusals import (
    Record,
    Refusal,
    forbidden,
    invalid_operation,
    throttled,
    unauthorised,
    unsupported,
)
from app.sandbox.platforms.quickbooks_online.sales import Settings
from app.sandbox.platforms.quickbooks_online.store import ENTITIES, Change, cleaned

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_PAST = {
    "Create": "created",
    "Update": "updated",
    "Delete": "deleted",
    "Merge": "merged",
    "Void": "voided",
    "Emailed": "emailed",
}
_REMEMBERED = 50_000
_SPACE = UUID("1b0c5d3e-7d9f-5a66-8c5f-0e8f3b5f2d11")
_BY_SEGMENT = {entity.lower(): entity for entity in ENTITIES}
_COMPANY = re.compile(r"/v3/company/(?P<realm>[^/]+)/(?P<rest>.*)")
BODY = web.RequestKey("body", object)
Handle = Callable[[web.Request], Record]


class QuickbooksOnlineSandbox(Sandbox):
    """One realm behind one app."""

    slug: ClassVar[str] = "quickbooks_online"
    token_paths: ClassVar[tuple[str, ...]] = ("/oauth2", "/.well-known", "/connect")

    def __init__(
        self,
        account: str = "310687",
        *,
        seed: int = 0,
        clock: Callable[[], datetime] = real_time,
        quota_scale: float = 1.0,
        faults: Faults | None = None,
        settings: Settings | None = None,
        cloud_events: bool = False,
    ) -> None:
        super().__init__(account, seed=seed, clock=clock, quota_scale=quota_scale, faults=faults)
        self.company = Company(account, settings or Settings(), clock, self.visible, self.settled)
        self.oauth = OAuth(clock, self.random, account)
        self.cloud_events = cloud_events
        self._replies: dict[str, tuple[int, bytes]] = {}
        self._minute = Window(500 * quota_scale, 60, clock)
        self._second = Window(10 * quota_scale, 1, clock)
        self._batches = Window(40 * quota_scale, 60, clock)
        self.verbs = self._acts()

    # -------------------------------------------------------------------------------- what the base asks

    def routes(self) -> list[web.RouteDef]:
        """Return the vendor's routes."""
        company = "/v3/company/{realm}"
        return [
            *self.oauth.routes(),
            web.get(f"{company}/query", partial(self._call, handle=self._query)),
            web.post(f"{company}/query", partial(self._call, handle=self._query)),
            web.get(f"{company}/cdc", partial(self._call, handle=self._cdc)),
            web.post(f"{company}/batch", partial(self._call, handle=self._batch)),
            web.get(
                f"{company}/preferences",
                partial(self._call, handle=lambda _: {"Preferences": self.company.preferences()}),
            ),
            web.get(
                f"{company}/companyinfo/{{id}}",
                partial(self._call, handle=lambda _: {"CompanyInfo": self.company.info()}),
            ),
            web.post(f"{company}/{{entity}}", partial(self._call, handle=self._write)),
            web.get(f"{company}/{{entity}}/{{id}}", partial(self._call, handle=self._read)),
            web.post(f"{company}/{{entity}}/{{id}}/send", partial(self._call, handle=self._send)),
        ]

    def operation(self, request: web.Request, body: bytes) -> Operation:
        """Name the call; neither a query by POST nor a batch of queries changes anything."""
        match = _COMPANY.fullmatch(request.path)
        name = match["rest"].split("/")[0] if match else request.path
        mutating = match is not None and request.method == "POST" and name != "query"
        if name == "batch":
            mutating = b'"operation"' in body
        return Operation(f"{request.method} {name}", mutating, request.query.get("requestid", ""))

    def books(self) -> list[dict[str, Any]]:
        """Return every document of the company."""
        return books(self.company)

    def sign(self, body: bytes, url: str, secret: str, now: datetime) -> Mapping[str, str]:
        """Sign the raw body with the app's verifier token: HMAC-SHA256, base64."""
        del url, now
        digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
        return {"intuit-signature": base64.b64encode(digest).decode()}

    def throttled(self, request: web.Request) -> web.Response:
        """Return 3001."""
        del request
        return self._refused(throttled())

    def broken(self, request: web.Request) -> web.Response:
        """Return 10000, the fault of the system."""
        del request
        return self._refused(
            Refusal(
                "10000",
                "An application error has occurred while processing your request",
                kind="SystemFault",
                status=500,
            )
        )

    def unauthorized(self, request: web.Request) -> web.Response:
        """Return the 401 whose keys are in lower case."""
        del request
        return _reply(401, unauthorised(int(self.clock().timestamp() * 1000)))

    # ---------------------------------------------------------------------------------------- vendor calls

    async def _call(self, request: web.Request, handle: Handle) -> web.Response:
        if not self.oauth.accepts(request.headers.get("Authorization", "")):
            return self.unauthorized(request)
        if not (self._second.take().allowed and self._minute.take().allowed):
            return self.throttled(request)
        if request.match_info["realm"] != self.account:
            return self._refused(forbidden())
        key = request.query.get("requestid", "") if request.method == "POST" else ""
        if key and key in self._replies and not self.injector.happens("idempotency_off"):
            status, content = self._replies[key]
            return web.Response(status=status, body=content, content_type="application/json", headers=self._tid())
        reply = await self._done(request, handle)
        if key and isinstance(reply.body, bytes):
            self._replies[key] = (reply.status, reply.body)
            if len(self._replies) > _REMEMBERED:
                del self._replies[next(iter(self._replies))]
        self._tell()
        return reply

    async def _done(self, request: web.Request, handle: Handle) -> web.Response:
        try:
            request[BODY] = await self._body(request)
            found = handle(request)
        except Refusal as refusal:
            return self._refused(refusal)
        return _reply(200, {**found, "time": self._now()}, self._tid())

    async def _body(self, request: web.Request) -> Any:  # noqa: ANN401 - any JSON
        raw = await request.read()
        if request.path.endswith(("/query", "/send")) or request.method == "GET":
            return raw.decode()
        if not request.content_type.startswith("application/json"):
            raise invalid_operation(f"Content type {request.content_type} is not supported")
        try:
            return cleaned(json.loads(raw, parse_float=Decimal))
        except ValueError as error:
            raise invalid_operation("The body is not JSON") from error

    def _query(self, request: web.Request) -> Record:
        return {"QueryResponse": self.company.query(request.query.get("query") or _sent(request))}

    def _cdc(self, request: web.Request) -> Record:
        try:
            since = datetime.fromisoformat(request.query.get("changedSince", ""))
        except ValueError as error:
            raise invalid_operation("changedSince is no date") from error
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        return self.company.cdc(request.query.get("entities", "").split(","), since)

    def _batch(self, request: web.Request) -> Record:
        if not self._batches.take().allowed:
            raise throttled()
        items = _sent(request).get("BatchItemRequest")
        if not isinstance(items, list):
            raise invalid_operation("BatchItemRequest is missing")
        return {"BatchItemResponse": self.company.batch(items, lambda: self.injector.happens("batch_item_failure"))}

    def _write(self, request: web.Request) -> Record:
        entity = self._entity(request)
        if not isinstance(_sent(request), dict):
            raise invalid_operation("The body is no object")
        record = self.company.written(
            entity, _sent(request), request.query.get("operation", ""), request.query.get("include", "")
        )
        return {entity: record}

    def _read(self, request: web.Request) -> Record:
        entity = self._entity(request)
        return {entity: self.company.store.shown(entity, request.match_info["id"])}

    def _send(self, request: web.Request) -> Record:
        entity = self._entity(request)
        return {entity: self.company.send(entity, request.match_info["id"], request.query.get("sendTo", ""))}

    def _entity(self, request: web.Request) -> str:
        segment = request.match_info["entity"]
        if segment not in _BY_SEGMENT:
            raise unsupported(f"Operation on {segment} is not supported")
        return _BY_SEGMENT[segment]

    def _refused(self, refusal: Refusal) -> web.Response:
        return _reply(refusal.status, {"Fault": refusal.fault(), "time": self._now()}, self._tid())

    def _now(self) -> str:
        return self.clock().astimezone().isoformat(timespec="milliseconds")

    def _tid(self) -> dict[str, str]:
        return {"intuit_tid": f"1-{self.random.getrandbits(96):024x}"}

    # -------------------------------------------------------------------------------------- webhooks, acts

    def _tell(self) -> None:
        changes, self.company.store.changes = self.company.store.changes, []
        for change in changes:
            if (row := shown(self.company, change.entity, change.id)) is not None:
                self.remember(row)
            if change.entity in {"TaxCode", "TaxRate"}:
                continue
            if self.cloud_events:
                self.emit(self._cloud_event(change), topic=change.entity, join=_ENCODER.encode)
            else:
                self.emit(self._legacy(change), topic=change.entity, join=self._notified)

    def _notified(self, entities: Sequence[Record]) -> bytes:
        """Return a delivery in the older form: one realm and its changed entities."""
        change = {"realmId": self.account, "dataChangeEvent": {"entities": entities}}
        return _ENCODER.encode({"eventNotifications": [change]})

    def _legacy(self, change: Change) -> Record:
        entity = {
            "name": change.entity,
            "id": change.id,
            "operation": change.operation,
            "lastUpdated": f"{change.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}",
        }
        if change.deleted_id:
            entity["deletedId"] = change.deleted_id
        return entity

    def _cloud_event(self, change: Change) -> Record:
        name = f"{self.account}/{change.entity}/{change.id}/{change.operation}/{change.at.isoformat()}"
        moment = f"{change.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"
        return {
            "specversion": "1.0",
            "id": str(uuid5(_SPACE, name)),
            "source": "intuit.c2FuZGJveA==",
            "type": f"qbo.{change.entity.lower()}.{_PAST[change.operation]}.v1",
            "datacontenttype": "application/json",
            "time": moment,
            "intuitentityid": change.id,
            "intuitaccountid": self.account,
            "data": {},
        }

    def _acts(self) -> dict[str, Verb]:
        acts = Acts(self.company)
        plain = (
            acts.type_invoice,
            acts.type_sales_receipt,
            acts.type_refund,
            acts.type_estimate,
            acts.type_payment,
            acts.type_credit,
            acts.apply_credit,
            acts.edit_invoice,
            acts.edit_estimate,
            acts.move_payment,
            acts.deposit_payment,
            acts.set_lock_date,
            acts.count_tax,
            acts.rename_customer,
            acts.archive_customer,
            acts.merge_customers,
        )
        verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {act.__name__: act for act in plain}
        for entity, word in (
            ("Invoice", "invoice"),
            ("Payment", "payment"),
            ("SalesReceipt", "sales_receipt"),
            ("CreditMemo", "credit"),
            ("Estimate", "estimate"),
        ):
            verbs[f"delete_{word}"] = partial(acts.delete, entity)
            if word not in {"credit", "estimate"}:
                verbs[f"void_{word}"] = partial(acts.void, entity)
        told: dict[str, Verb] = {name: partial(self._act, verb) for name, verb in verbs.items()}
        told["tamper"] = lambda asked: tamper(self.company, str(asked["how"]))
        return {**told, "revoke": self._revoke, "webhooks": self._form, "consent": self.oauth.consent.act}

    def _act(self, verb: Callable[[dict[str, Any]], dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
        try:
            return verb(asked)
        except Refusal as refusal:
            raise ValueError(f"{refusal.code} {refusal.message}: {refusal.detail}") from refusal
        finally:
            self._tell()

    def _revoke(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Disconnect the app: no webhook tells."""
        del asked
        self.oauth.revoke()
        return {"revoked": True}

    def _form(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Choose the form of the webhooks: legacy or cloudevents."""
        self.cloud_events = asked["form"] == "cloudevents"
        return {"form": asked["form"]}


def _sent(request: web.Request) -> Any:  # noqa: ANN401 - any JSON
    return request[BODY]


def _reply(status: int, body: Record, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=_ENCODER.encode(body), content_type="application/json", headers=headers)


__all__ = ["QuickbooksOnlineSandbox"]
