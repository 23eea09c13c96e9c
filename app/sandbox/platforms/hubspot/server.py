"""The HTTP side of the simulated HubSpot: tokens, quotas, routes and webhooks out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from app.sandbox.base import Operation, Sandbox, Window, dumps
from app.sandbox.consent import Consent
from app.sandbox.platforms.hubspot.associations import Associations
from app.sandbox.platforms.hubspot.books import books, shown
from app.sandbox.platforms.hubspot.closures import Closures
from app.sandbox.platforms.hubspot.journal import FILES, Journal
from app.sandbox.platforms.hubspot.objects import Answer, Objects
from app.sandbox.platforms.hubspot.people import People
from app.sandbox.platforms.hubspot.portal import Portal
from app.sandbox.platforms.hubspot.records import Change
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.settings import Settings
from app.sandbox.platforms.hubspot.subscriptions import Subscriptions, topic_of
from app.sandbox.platforms.hubspot.times import millis

APP, PORTAL, TTL = 39_522_895, "48975575", 1800
CLIENT = ("sandbox-client", "sandbox-secret")
DEVELOPER_KEY = "sandbox-developer-key"
"""Of the account that owns the app: the one way to its webhook settings of 2026-09."""
_TEN_SECONDS, _SEARCHES, _DAY = 190, 5, 250_000
_READS = ("/search", "/batch/read")


class HubspotSandbox(Sandbox):
    """One HubSpot portal."""

    slug = "hubspot"

    def __init__(self, account: str = "", **settings: Any) -> None:  # noqa: ANN401 - handed on to Sandbox
        super().__init__(account if account.isdigit() else PORTAL, **settings)
        self.portal = Portal(self.clock, self._tell, self.settled)
        self.objects = Objects(self.portal, self.injector, self.visible)
        self.associations, self.settings = Associations(self.portal), Settings(self.portal)
        self.subscriptions = Subscriptions(self.clock, self._serve)
        self.consent = Consent(self.clock, CLIENT[0])
        self.closures = Closures(self.clock, int(_DAY * self.quota_scale))
        self.journal = Journal(self.clock, self.account, APP)
        self.verbs = {**People(self.portal).verbs(), **self.closures.verbs(), **self.journal.verbs()}
        self.verbs |= {"consent": self.consent.act, "revoke": self._revoke}
        self.tokens: dict[str, datetime] = {}
        self._apps: dict[str, str] = {}
        """Tokens of the app itself, which open the journal and nothing else, and their scopes."""
        self._revoked = False
        self._window = Window(_TEN_SECONDS * self.quota_scale, 10.0, self.clock)
        self._searches = Window(_SEARCHES * self.quota_scale, 1.0, self.clock)
        self._events = self._errors = 0
        self._remembered: tuple[str, datetime] | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return the vendor's routes."""
        return [
            web.route("*", "/crm/{version:v3}/{api:objects}/{path:.+}", self._call),
            web.route("*", "/crm/{api:objects}/{version:2026-0[39]}/{path:.+}", self._call),
            web.route("*", "/crm/v3/{api:properties|pipelines}/{path:.+}", self._call),
            web.route("*", "/crm/v4/{api:objects|associations}/{path:.+}", self._call),
            web.route("*", "/{api:webhooks}/v3/{path:.+}", self._call),
            web.route("*", "/{api:app-webhooks}/2026-09/{path:.+}", self._call),
            web.get("/{api:account-info}/v3/{path:details}", self._call),
            web.route("*", "/webhooks-journal/{api:subscriptions}/2026-03{path:.*}", self._call),
            web.get("/webhooks-journal/{api:journal|journal-local}/2026-03/{path:.+}", self._call),
            web.get(f"{FILES}{{name}}", self._file),
            web.get("/oauth/v1/access-tokens/{token}", self._introspect),
            web.get("/oauth/authorize", self.consent.page),
            web.post("/oauth/{version:v1|v3|2026-0[39]}/token", self._token),
        ]

    def operation(self, request: web.Request, body: bytes) -> Operation:
        """Name the call by its path; searches and batch reads change nothing."""
        del body
        mutating = request.method not in {"GET", "HEAD"} and not request.path.endswith(_READS)
        return Operation(f"{request.method} {request.path}", mutating)

    # -- calls --------------------------------------------------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.Response:
        if not self._admitted(request):
            return self.unauthorized(request)
        if (closed := self.closures.closed(request.method, request.path)) is not None:
            refused, more, headers = closed
            return _json(refused.body(self._error_number()) | more, refused.status, headers)
        search = request.path.endswith("/search")
        taken = self._window.take()
        if not taken.allowed:
            return self.throttled(request)
        if search and not self._searches.take().allowed:
            return self._limited("SECONDLY", "You have reached your secondly limit.")
        self.closures.take()
        headers = {} if search else self._quota(taken.left)
        try:
            status, answer = self._route(request, await request.read())
        except Refused as refused:
            status, answer = refused.status, refused.body(self._error_number())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            text = f"Invalid input JSON: {type(error).__name__} at {error}"
            status, answer = 400, Refused(400, text).body(self._error_number())
        if answer is None:
            return web.Response(status=status, headers=headers)
        return _json(answer, status, headers)

    def _admitted(self, request: web.Request) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.match_info["api"] == "app-webhooks":
            return request.query.get("hapikey") == DEVELOPER_KEY
        if request.path.startswith("/webhooks-journal/"):
            return token in self._apps and self._known(token)
        return token not in self._apps and self._known(token)

    def _route(self, request: web.Request, body: bytes) -> Answer:
        asked: Any = json.loads(body) if body else {}
        parts = request.match_info["path"].strip("/").split("/")
        api, method = request.match_info["api"], request.method
        query = {name: ",".join(request.query.getall(name)) for name in request.query}
        source = "INTEGRATION"
        if api == "objects" and request.path.startswith("/crm/v4"):
            return self.associations.one(method, parts, asked, source)
        if api == "objects":
            return self.objects.call(method, parts, query, asked, source)
        if api == "associations":
            return self.associations.batch(parts, asked, source)
        if api == "account-info":
            return 200, self._account()
        if api == "subscriptions":
            return self._journal(request, "subscriptions." + ("read" if method == "GET" else "write")).call(
                method, [part for part in parts if part], asked
            )
        if api.startswith("journal"):
            # As with the vendor the files are on another host.
            base = request.url.origin()
            return self._journal(request, "read").fetch(
                parts, str(base.with_host("localhost") if base.host == "127.0.0.1" else base)
            )
        if api.endswith("webhooks"):
            return self.subscriptions.call(method, parts, asked)
        answer: Callable[[str, list[str], Any], Answer] = getattr(self.settings, api)
        return answer(method, parts, asked)

    def _journal(self, request: web.Request, right: str) -> Journal:
        scope = f"developer.webhooks_journal.{right}"
        if scope not in self._apps[request.headers["Authorization"].removeprefix("Bearer ")].split():
            text = "This app hasn't been granted all required scopes to make this call."
            raise Refused(403, text, "MISSING_SCOPES", context={"requiredGranularScopes": [scope]})
        return self.journal

    async def _file(self, request: web.Request) -> web.Response:
        """Answer as a file store does: whoever shows a credential beside a signed address is refused."""
        if "Authorization" in request.headers:
            return web.Response(status=400, text="<Error><Code>InvalidArgument</Code></Error>")
        body = self.journal.file(request.match_info["name"], request.query.get("X-Signature", ""))
        if body is None:
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        return web.Response(body=body, content_type="application/json")

    def _account(self) -> dict[str, Any]:
        return {
            "portalId": int(self.account),
            "accountType": "DEVELOPER_TEST",
            "timeZone": "Europe/Berlin",
            "companyCurrency": "EUR",
            "additionalCurrencies": ["USD", "GBP"],
            "utcOffset": "+01:00",
            "utcOffsetMilliseconds": 3_600_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "eu1",
        }

    def _quota(self, left: float) -> dict[str, str]:
        limit = int(_TEN_SECONDS * self.quota_scale)
        return {
            "X-HubSpot-RateLimit-Max": str(limit),
            "X-HubSpot-RateLimit-Remaining": str(int(left)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Secondly": str(limit // 10),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(limit // 10),
            "X-HubSpot-RateLimit-Daily": str(int(_DAY * self.quota_scale)),
            "X-HubSpot-RateLimit-Daily-Remaining": str(self.closures.left),
        }

    # -- refusals -----------------------------------------------------------------------------------------------------

    def _error_number(self) -> int:
        self._errors += 1
        return self._errors

    def throttled(self, request: web.Request) -> web.Response:
        """Return the 429 of the rolling ten seconds."""
        del request
        return self._limited("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit.")

    def _limited(self, policy: str, message: str) -> web.Response:
        body = Refused(429, message, "RATE_LIMITS").body(self._error_number())
        body |= {"errorType": "RATE_LIMIT", "policyName": policy}
        return _json(body, 429, {"Retry-After": "1"})

    def broken(self, request: web.Request) -> web.Response:
        """Return the body of an internal error."""
        del request
        return _json(Refused(500, "internal error", "INTERNAL_ERROR").body(self._error_number()), 500)

    def unauthorized(self, request: web.Request) -> web.Response:
        """Return the body of an expired or unknown token."""
        del request
        text = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
        return _json(Refused(401, text, "INVALID_AUTHENTICATION").body(self._error_number()), 401)

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _known(self, token: str) -> bool:
        return token.startswith("pat-") or self.tokens.get(token, self.clock()) > self.clock()

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if (form.get("client_id"), form.get("client_secret")) != CLIENT:
            return self._no_token("BAD_CLIENT_ID", "missing or invalid client id or secret")
        if form.get("grant_type") == "client_credentials":
            return self._app_token(request.match_info["version"], str(form.get("scope", "")))
        if form.get("grant_type") not in {"authorization_code", "refresh_token"}:
            return self._no_token("BAD_GRANT_TYPE", "missing or unknown grant type")
        if form.get("grant_type") == "authorization_code":
            if not self.consent.good(form):
                return self._no_token("BAD_AUTH_CODE", "missing or unknown auth code")
            self._revoked = False
        elif self._revoked or not str(form.get("refresh_token", "")).startswith("refresh-"):
            return self._no_token("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
        token = f"access-{len(self.tokens) + 1}"
        self.tokens[token] = self.clock() + timedelta(seconds=TTL)
        body = {
            "access_token": token,
            "refresh_token": f"refresh-{self.account}",
            "expires_in": TTL,
            "token_type": "bearer",
            "token_use": "access_token",
            "hub_id": int(self.account),
        }
        return _json(body, 200, {})

    def _app_token(self, version: str, scope: str) -> web.Response:
        """Return a token of the app itself, as the dated addresses do."""
        if version == "v1":
            return self._no_token("BAD_GRANT_TYPE", "missing or unknown grant type")
        token = f"app-{len(self.tokens) + 1}"
        self.tokens[token], self._apps[token] = self.clock() + timedelta(seconds=TTL), scope
        return _json({"access_token": token, "expires_in": TTL, "token_type": "bearer"}, 200, {})

    def _revoke(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Let the user take the permission back; private apps go on."""
        del asked
        self._revoked = True
        self.tokens.clear()
        return {"revoked": True}

    def _no_token(self, status: str, message: str) -> web.Response:
        return _json({**Refused(400, message, status).body(self._error_number()), "status": status}, 400)

    async def _introspect(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        if not self._known(token):
            return _json(Refused(404, "access token not found", "NOT_FOUND").body(self._error_number()), 404)
        left = self.tokens[token] - self.clock() if token in self.tokens else timedelta(seconds=TTL)
        body = {
            "token": token,
            "user": "owner@example.com",
            "hub_domain": "sandbox.example.com",
            "scopes": ["oauth", "crm.objects.deals.read", "crm.objects.deals.write"],
            "hub_id": int(self.account),
            "app_id": APP,
            "expires_in": int(left.total_seconds()),
            "user_id": 1,
            "token_type": "access",
        }
        return _json(body, 200, {})

    # -- webhooks -----------------------------------------------------------------------------------------------------

    def _tell(self, change: Change) -> None:
        """Send one thin event; generic types carry their type id."""
        self._remember(change)
        self.journal.tell(change)
        prefix = "object" if change.kind.generic else change.kind.singular
        self._events += 1
        event: dict[str, Any] = {
            "eventId": self._events,
            "subscriptionId": 6_527_619,
            "portalId": int(self.account),
            "appId": APP,
            "occurredAt": millis(change.at),
            "subscriptionType": f"{prefix}.{change.event}",
            "attemptNumber": 0,
            "changeSource": change.source,
            "sourceId": str(APP) if change.source == "INTEGRATION" else "userId:1",
            **change.detail,
        }
        if change.event != "associationChange":
            event["objectId"] = int(change.id)
        if change.kind.generic:
            event["objectTypeId"] = change.kind.type_id
        self.emit(dumps(event), topic=topic_of(event), join=_joined)

    def _remember(self, change: Change) -> None:
        """Keep what a record shows, once for all properties that changed together."""
        if self._remembered != (change.id, change.at):
            self._remembered = (change.id, change.at)
            if (row := shown(self.portal, change.kind.name, change.id)) is not None:
                self.remember(row)

    def _serve(self, url: str, topics: frozenset[str] | None) -> None:
        """Send an address what is subscribed to for it, signed with the app's client secret."""
        self.hooks.keep(url, CLIENT[1], topics)

    def sign(self, body: bytes, url: str, secret: str, now: datetime) -> Mapping[str, str]:
        """Return the v3 signature and, as HubSpot still does, the old one."""
        stamp = str(millis(now))
        signed = b"POST" + url.encode() + body + stamp.encode()
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
        return {
            "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
            "X-HubSpot-Request-Timestamp": stamp,
            "X-HubSpot-Signature": hashlib.sha256(secret.encode() + body).hexdigest(),
            "X-HubSpot-Signature-Version": "v1",
        }

    # -- people and books ---------------------------------------------------------------------------------------------

    def books(self) -> list[dict[str, Any]]:
        """Return what the portal holds now."""
        return books(self.portal)


def _joined(events: Sequence[bytes]) -> bytes:
    """Return a delivery: a list of events."""
    return b"[" + b",".join(events) + b"]"


def _json(value: object, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=dumps(value), status=status, headers=headers, content_type="application/json")
