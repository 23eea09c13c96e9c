"""What one tenant may ask the read model: every question is answered out of that tenant's rows alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.console.records import Look
from app.console.views import Hop, Sent, Write
from schemas.links import Parked
from schemas.order_state import PublicOrder
from sinks.delivery.row import idempotency_key
from streams.order.link import plain_number

_FOUND = """
WITH found (key) AS (
    SELECT :id UNION SELECT order_key FROM ids WHERE tenant = :tenant AND id IN (:id, :plain)
    UNION SELECT order_key FROM names CROSS JOIN ids ON ids.tenant = names.tenant AND ids.id = names.object
        WHERE names.tenant = :tenant AND names.name = :folded)
SELECT state FROM found CROSS JOIN orders ON orders.key = found.key WHERE orders.tenant = :tenant
ORDER BY orders.key LIMIT 50
"""
"""CROSS JOIN keeps SQLite from going through all orders of the tenant instead."""
_HOPS, _WRITES = 300, 200
"""The newest of them that one order shows."""
_KEPT = ("command", "write", "connection", "capability", "generation", "outcome", "reason", "object", "trace")
"""What is told of a write as it is kept."""
_ORDER = msgspec.json.Decoder(PublicOrder)
_LOOK = msgspec.json.Decoder(Look)
_PARKED = msgspec.json.Decoder(Parked)


class Tenant:
    """Questions in the name of one tenant."""

    def __init__(self, reader: sqlite3.Connection, name: str, facts: Mapping[str, str]) -> None:
        """*facts* are those that every worker reads whole, by kind and subject."""
        self.name, self._reader, self._facts = name, reader, facts

    def _ask(self, words: str, **values: object) -> list[tuple[Any, ...]]:
        return self._reader.execute(words, {"tenant": self.name, **values}).fetchall()

    def find(self, id_: str) -> list[PublicOrder]:
        """Return the orders that *id_* leads to: their key, number, or an id or number of any object or write."""
        words = {"id": id_, "plain": plain_number(id_), "folded": id_.casefold()}
        found = [_ORDER.decode(state) for (state,) in self._ask(_FOUND, **words)]
        keys = {order.key for order in found}
        return [order for order in found if order.alias_of not in keys or order.key == id_]

    def order(self, key: str) -> PublicOrder | None:
        """Return the order of that key."""
        found = self._ask("SELECT state FROM orders WHERE key = :key AND tenant = :tenant", key=key)
        return next((_ORDER.decode(state) for (state,) in found), None)

    def look(self, object_: str) -> Look | None:
        """Return the newest look at an object, as connection@account/type/id."""
        return self.looks([object_]).get(object_)

    def looks(self, objects: Collection[str]) -> dict[str, Look]:
        """Return the newest look at each of *objects* that was looked at."""
        words = """SELECT object, look FROM looks
            WHERE tenant = :tenant AND object IN (SELECT value FROM json_each(:given))"""
        return {object_: _LOOK.decode(body) for object_, body in self._ask(words, given=_listed(objects))}

    def hops(self, subjects: Collection[str]) -> list[Hop]:
        """Return the newest of what happened to *subjects* (order keys, objects), oldest first."""
        words = """SELECT at, subject, what, system, object, text, trace FROM hops
            WHERE tenant = :tenant AND subject IN (SELECT value FROM json_each(:given))
            ORDER BY at DESC LIMIT :most"""
        found = self._ask(words, given=_listed(subjects), most=_HOPS)[::-1]
        return [
            Hop(
                at=_instant(at),
                what=what,
                system=system,
                object=object_ or _seen(what, subject),
                text=text,
                trace=trace,
            )
            for at, subject, what, system, object_, text, trace in found
        ]

    def writes(self, order: str) -> list[Write]:
        """Return what was asked of systems for an order and what came of it, oldest first."""
        words = """SELECT asked_at, answered_at, command, write, connection, capability, generation, outcome, reason,
            object, trace FROM writes WHERE tenant = :tenant AND order_key = :key
            ORDER BY ifnull(asked_at, answered_at) DESC LIMIT :most"""
        found = self._ask(words, key=order, most=_WRITES)[::-1]
        requests = self._requests([row[2] for row in found])
        return [
            Write(
                asked_at=None if asked_at is None else _instant(asked_at),
                answered_at=None if answered_at is None else _instant(answered_at),
                requests=tuple(requests.get(command, ())),
                **dict(zip(_KEPT, (command, *others), strict=True)),
            )
            for asked_at, answered_at, command, *others in found
        ]

    def _requests(self, commands: Collection[str]) -> Mapping[str, list[Sent]]:
        """Return the requests of each command, oldest first; one that went in a batch was sent under the batch's id."""
        words = """SELECT command, under, step, attempt, at, method, path, state, status FROM requests
            WHERE command IN (SELECT value FROM json_each(:given)) ORDER BY command, at"""
        found: dict[str, list[Sent]] = {}
        for command, under, step, attempt, at, method, path, state, status in self._ask(words, given=_listed(commands)):
            key, when = idempotency_key(under, step, attempt), _instant(at)
            sent = Sent(id=key, method=method, path=path, state=state, at=when, status=status, attempt=attempt)
            found.setdefault(command, []).append(sent)
        return found

    def parked(self, after: str = "", limit: int = 100) -> list[Parked]:
        """Return what waits for a person, by object."""
        words = "SELECT body FROM parked WHERE tenant = :tenant AND object > :after ORDER BY object LIMIT :most"
        return [_PARKED.decode(body) for (body,) in self._ask(words, after=after, most=limit)]

    def parked_as(self, id_: str) -> list[Parked]:
        """Return what is parked under that short id, object or the object's own id."""
        words = "SELECT body FROM parked WHERE (id = :id OR object = :id OR object_id = :id) AND +tenant = :tenant"
        return [_PARKED.decode(body) for (body,) in self._ask(words, id=id_)]

    def with_amount(self, amount: str, currency: str) -> list[PublicOrder]:
        """Return a few orders of just that amount, due ones first."""
        words = """SELECT key, state FROM orders WHERE tenant = :tenant AND currency = :currency AND {} = :amount
            ORDER BY key LIMIT 5"""
        found: dict[str, bytes] = {}
        for column in ("due", "payable"):
            for key, state in self._ask(words.format(column), amount=amount, currency=currency):
                found.setdefault(key, state)
        return [_ORDER.decode(state) for state in list(found.values())[:5]]

    def with_conflicts(self, after: str = "", limit: int = 100) -> list[PublicOrder]:
        """Return orders in which a value lost against another one."""
        words = """SELECT state FROM orders WHERE conflicts > 0 AND tenant = :tenant AND key > :after
            ORDER BY key LIMIT :most"""
        return [_ORDER.decode(body) for (body,) in self._ask(words, after=after, most=limit)]

    def fact(self, kind: str, subject: str) -> str:
        """Return what people said about a connection or a flow of this tenant, "" for nothing."""
        return self._facts.get(f"{kind}/{subject}", "")


def _seen(what: str, subject: str) -> str:
    return subject if what == "seen" else ""


def _listed(given: Collection[str]) -> str:
    return msgspec.json.encode(list(given)).decode()


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
