"""The webhook endpoints of a Stripe account: the secret is shown once, at creation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection

from app.sandbox.platforms.stripe.ledger import Ledger
from app.sandbox.platforms.stripe.records import Record, invalid

_KIND = "webhook_endpoint"
_ALL = "*"
_MOST = 16
"""Endpoints that an account may have."""
Serve = Callable[[str, str, frozenset[str] | None], None]


class Endpoints:
    """Every change is told to *serve*: an address, its secret and its events, empty = all, None = no more."""

    def __init__(self, ledger: Ledger, serve: Serve, events: Collection[str] = ()) -> None:
        """*events* are the types there are; without them every name is one."""
        self._ledger, self._serve, self._events = ledger, serve, events

    def create(self, asked: Record) -> Record:
        """Make an endpoint and show its secret."""
        if sum(1 for _ in self._ledger.of(_KIND)) >= _MOST:
            raise invalid(f"You have reached the maximum of {_MOST} test webhook endpoints.", code="")
        values = {name: asked.get(name) or None for name in ("api_version", "description")}
        made = self._ledger.add(
            _KIND, {**values, "application": None, "status": "enabled", **self._given(asked, ("url", "enabled_events"))}
        )
        self._tell(made["url"])
        return {**made, "secret": self._secret(made)}

    def update(self, id_: str, asked: Record) -> Record:
        """Change address, events or whether it is enabled."""
        record = self._ledger.get(_KIND, id_)
        before = record["url"]
        record.update(self._given(asked, tuple(name for name in ("url", "enabled_events") if name in asked)))
        if "disabled" in asked:
            record["status"] = "disabled" if asked["disabled"] == "true" else "enabled"
        for url in dict.fromkeys((before, record["url"])):
            self._tell(url)
        return record

    def delete(self, id_: str) -> Record:
        """Delete an endpoint."""
        record = self._ledger.get(_KIND, id_)
        self._ledger.remove(record)
        self._tell(record["url"])
        return {"id": id_, "object": _KIND, "deleted": True}

    def _given(self, asked: Record, needed: tuple[str, ...]) -> Record:
        for name in needed:
            if not asked.get(name):
                raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
        if "url" in needed and not str(asked["url"]).startswith(("http://", "https://")):
            raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.", "url", "url_invalid")
        for event in asked.get("enabled_events") or ():
            if event != _ALL and self._events and event not in self._events:
                raise invalid(f"Invalid enabled_events: must be one of the event types, not {event}.", "enabled_events")
        return {name: asked[name] for name in needed}

    def _tell(self, url: str) -> None:
        """Serve what the enabled endpoints of *url* want; of several the newest signs."""
        enabled = [one for one in self._ledger.of(_KIND) if one["url"] == url and one["status"] == "enabled"]
        events = frozenset(event for one in enabled for event in one["enabled_events"])
        wanted = frozenset[str]() if _ALL in events else events
        self._serve(url, self._secret(enabled[0]) if enabled else "", wanted if enabled else None)

    @staticmethod
    def _secret(record: Record) -> str:
        return "whsec_" + hashlib.sha256(f"{record['id']} {record['created']}".encode()).hexdigest()[:32]
