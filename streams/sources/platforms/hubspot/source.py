"""HubSpot: webhooks are thin, unordered and may repeat: read the record, then say what it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app.core.talk import Request, Talk
from schemas.events import GAP, Hint
from schemas.journal import Journal
from schemas.platforms.hubspot import facts, paths, wire
from schemas.platforms.hubspot.journal import JOURNAL, journal_of, subscriptions
from schemas.platforms.hubspot.platform import ACCOUNT, STAGES
from schemas.platforms.hubspot.webhooks import WEBHOOKS, topics
from schemas.platforms.hubspot.wire import Parts, Pipeline, Record, Stage
from schemas.refs import ObjectRef
from streams.sources.base import Hook, Identity, Page, Setup
from streams.sources.platforms.hubspot import hooks, replies
from streams.sources.platforms.hubspot.entries import entry
from streams.sources.platforms.hubspot.journal_subscribing import JournalSubscriber
from streams.sources.platforms.hubspot.offering import currency_offer, stage_offers
from streams.sources.platforms.hubspot.reading import Reading
from streams.sources.platforms.hubspot.subscribing import HubspotSubscriber

_PAGE = 200
_OVERLAP_MS, _LAG = 120_000, timedelta(seconds=60)
_ECHO = 2


class HubspotSource(Reading):
    """An order is a deal, or an order object where `order_object` says so."""

    webhooks = WEBHOOKS
    journal = JOURNAL

    # -- registering ---------------------------------------------------------------------------------------------------

    def topics(self) -> tuple[str, ...]:
        """Return the events of the objects that this connection reads."""
        return topics(self.order_kind, self._own, commerce=self.connection.options.get("commerce") == "yes")

    @property
    def _own(self) -> list[str]:
        """Return the properties of the order that this connection alone reads."""
        named = (self.connection.options.get(name, "") for name in ("number_property", "po_property"))
        return [name for name in named if name]

    def subscriber(self) -> HubspotSubscriber | None:
        """Register by the API of the app, where the connection names one."""
        app = self.connection.options.get("app_id", "")
        return HubspotSubscriber(app) if app.isdigit() else None

    # -- the journal --------------------------------------------------------------------------------------------------

    @property
    def follows(self) -> Journal | None:
        """Return the journal with the rights that this connection needs in it."""
        asked = super().follows is not None
        return journal_of(self.connection.options, self.order_kind) if asked else None

    def entry(self, cursor: str) -> Talk[Page]:
        """Fetch one entry; a gap is told of the portal as a whole."""
        portal, journal = self.connection.account, self.connection.options["journal"]
        gap = Hint(tenant=self.connection.tenant, object=self.ref("journal", journal), reason=GAP)
        return entry(journal, portal, cursor, lambda told: self.hints(Hook(said=told)), gap)

    def journal_subscriber(self) -> JournalSubscriber:
        """Subscribe to what webhooks would be asked to tell."""
        options = self.connection.options
        return JournalSubscriber(self.connection.account, subscriptions(options, self.order_kind, self._own))

    # -- webhooks -----------------------------------------------------------------------------------------------------

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Check v3 over method, public address, raw body and time; the old versions only when v3 is absent."""
        if hook.headers.get("x-hubspot-signature-v3"):
            return hooks.signed(hook, secrets, now)
        return self.connection.options.get("legacy_signatures") == "yes" and hooks.signed_before(hook, secrets)

    @classmethod
    def accounts(cls, hook: Hook) -> frozenset[str]:
        """Return the portals whose events are in the delivery."""
        return frozenset(str(event["portalId"]) for event in hooks.events(hook) if event.get("portalId"))

    def hints(self, hook: Hook) -> list[Hint]:
        """Return each object of this portal once; our own echoes are read last."""
        found: dict[ObjectRef, Hint] = {}
        for event in hooks.events(hook):
            if str(event.get("portalId", self.connection.account)) != self.connection.account:
                continue
            for kind, id_ in self._wanted(hooks.named(event, self.order_kind)):
                hint = self._hint(kind, id_, event)
                if hint.object not in found or hooks.merged(event, id_):
                    found[hint.object] = hint
        return list(found.values())

    def _wanted(self, named: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return what is read here; a line that is named beside its order or invoice shows nothing more."""
        other = {"deals", "orders"} - {self.order_kind}
        wanted = [(kind, id_) for kind, id_ in named if kind in self.read_batch and kind not in other]
        return [(kind, id_) for kind, id_ in wanted if kind != "line_items"] or wanted

    def _hint(self, kind: str, id_: str, event: Mapping[str, Any]) -> Hint:
        own = self.connection.options.get("app_id", "")
        echo = bool(own) and event.get("changeSource") == "INTEGRATION" and str(event.get("sourceId")) == own
        return Hint(
            tenant=self.connection.tenant,
            object=self.ref(kind, id_),
            reason=hooks.merged(event, id_) or hooks.type_of(event),
            hinted_at=wire.instant(str(event.get("occurredAt", ""))),
            priority=_ECHO if echo else 1,
        )

    # -- what changed since -------------------------------------------------------------------------------------------

    def sweeps(self) -> tuple[str, ...]:
        """Return the object types to walk; invoices and payments need scopes of their own.

        Lines come first: whatever changes after their first walk began is in the next one.
        """
        commerce = facts.COMMERCE if self.connection.options.get("commerce") == "yes" else ()
        return ("line_items", self.order_kind, "contacts", *commerce)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Walk by (last change, id) upwards: pages never shift, and the window of 10,000 rows is never reached.

        The cursor is "since|id|started" in milliseconds; an id means: amid rows changed at one instant. Lines that are
        older than their first walk are read with their orders.
        """
        since, last_id, started = _cursor(cursor, now)
        if name == "line_items" and not cursor:
            since = started - _OVERLAP_MS
        changed = "lastmodifieddate" if name == "contacts" else "hs_lastmodifieddate"
        path = paths.records(self.connection, name, "search")
        reply = yield _search(path, changed, since, last_id)
        rows = [replies.record(row) for row in replies.rows(reply)]
        hints = tuple(self._swept(name, row) for row in rows)
        if len(rows) < _PAGE and not last_id:
            done = datetime.fromtimestamp(started / 1000, UTC) - _LAG
            return Page(hints=hints, cursor=str(started - _OVERLAP_MS), complete_up_to=done)
        if len(rows) < _PAGE:
            return Page(hints=hints, cursor=f"{since + 1}||{started}", more=True)
        newest = wire.native(rows[-1])
        at_once = f"{since}|{rows[-1].id if last_id else 0}|{started}"
        return Page(
            hints=hints, cursor=f"{newest}||{started}" if newest > since and not last_id else at_once, more=True
        )

    def _swept(self, name: str, row: Record) -> Hint:
        ref = self.ref(name, row.id)
        return Hint(tenant=self.connection.tenant, object=ref, reason="sweep", priority=_ECHO, native=wire.native(row))

    def identify(self) -> Talk[Identity]:
        """Ask whose token this is."""
        account = replies.success((yield Request(method="GET", path=ACCOUNT)))
        home = wire.home_currency(account)
        return Identity(
            account=str(account["portalId"]),
            currencies=tuple(sorted({home, *account.get("additionalCurrencies", ())} - {""})),
            home_currency=home,
            time_zone=str(account.get("timeZone") or ""),
            offers=currency_offer(self.connection, home, account.get("additionalCurrencies", ())),
        )

    def setup(self) -> Talk[Setup]:
        """Look which stages the orders go through, and which words they cannot show."""
        pipelines = yield from self.pipelines(self.order_kind)
        words = (self._word(stage) for pipeline in pipelines for stage in pipeline.stages)
        unshown = {
            word: f"HubSpot has no stage {stage!r} to show {word!r} with"
            for word, stage in {**STAGES[self.order_kind], **self.connection.stages}.items()
            if not self._shows(pipelines, word, stage)
        }
        offers = stage_offers(pipelines, self.order_kind, self._pipeline, unshown)
        return Setup(
            words={f"{self.order_kind}:{word}": label for word, label in words}, unshown=unshown, offers=offers
        )

    @property
    def _pipeline(self) -> str:
        return self.connection.options.get("pipeline", "")

    def _shows(self, pipelines: Sequence[Pipeline], word: str, stage: str) -> bool:
        """Tell whether the sink finds the stage; HubSpot's own deal stages are written by id, unlooked."""
        if self.order_kind == "deals" and word not in self.connection.stages and not self._pipeline:
            return any(one.id == stage for each in pipelines for one in each.stages)
        names = (stage, "Shipped") if word == "delivered" else (stage,)
        return any(wire.chosen(pipelines, self._pipeline, name) for name in names)

    def _word(self, stage: Stage) -> tuple[str, str]:
        won, lost = str(stage.won).lower(), str(stage.closed and not stage.won).lower()
        values: dict[str, str | None] = {"dealstage": stage.id, "hs_pipeline_stage": stage.id}
        if self.order_kind == "deals":
            values |= {"hs_is_closed_won": won, "hs_is_closed_lost": lost}
        record, parts = Record(id="", properties=values), Parts(stages={stage.id: stage})
        return facts.stage_of(self.connection, self.order_kind, record, parts)[0], stage.label


def _search(path: str, changed: str, since: int, last_id: str) -> Request:
    filters = [{"propertyName": changed, "operator": "EQ" if last_id else "GTE", "value": str(since)}]
    if last_id:
        filters.append({"propertyName": "hs_object_id", "operator": "GT", "value": last_id})
    sort = "hs_object_id" if last_id else changed
    body = {
        "filterGroups": [{"filters": filters}],
        # The vendor's files and libraries say that a sort is text; the text is the JSON that the guide shows.
        "sorts": [json.dumps({"propertyName": sort, "direction": "ASCENDING"})],
        "properties": [changed],
        "limit": _PAGE,
        "after": "0",
    }
    # Five searches a second are allowed, half of what the common window lets through.
    return Request(method="POST", path=path, json=body, cost=2)


def _cursor(cursor: str, now: datetime) -> tuple[int, str, int]:
    since, _, rest = cursor.partition("|")
    last_id, _, started = rest.partition("|")
    at = int(since) if since.isdigit() else _millis(since) if since else 0
    return at, last_id, int(started) if started else round(now.timestamp() * 1000)


def _millis(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
