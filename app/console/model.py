"""The read model: every order by any of its ids, what happened to it, and what waits for a person.

One SQLite database, made anew from Kafka whenever a console starts: it holds nothing that cannot be read again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from app.console.records import (
    Answered,
    Asked,
    Entry,
    Look,
    answered,
    asked,
    decided,
    look,
    names,
    plain,
    seen,
    sent,
    short_id,
    version_of,
)
from app.console.views import Hop, Sent
from app.core import topics
from schemas.broadcast import Fact
from schemas.cloudevents import decode
from schemas.commands import Command, Result
from schemas.decisions import Decision
from schemas.errors import DecodeError
from schemas.events import ChangeEvent
from schemas.links import Parked
from schemas.order_state import PublicOrder
from sinks.delivery.journal import Row

READ = (
    topics.ORDER_STATES,
    topics.PARKED,
    topics.BROADCAST,
    topics.CRM_CHANGES,
    topics.ACCOUNTING_CHANGES,
    topics.COMMANDS,
    topics.RESULTS,
    topics.JOURNAL,
    topics.DECISIONS,
)
_TABLES = """
CREATE TABLE orders (key TEXT PRIMARY KEY, tenant TEXT, payable TEXT, due TEXT, currency TEXT, conflicts INTEGER,
    state BLOB) WITHOUT ROWID;
CREATE INDEX orders_payable ON orders (tenant, payable);
CREATE INDEX orders_due ON orders (tenant, due);
CREATE INDEX orders_conflicts ON orders (tenant, key) WHERE conflicts > 0;
CREATE TABLE ids (tenant TEXT, id TEXT, order_key TEXT, PRIMARY KEY (tenant, id, order_key)) WITHOUT ROWID;
CREATE INDEX ids_order ON ids (order_key);
CREATE TABLE objects (object TEXT, order_key TEXT, PRIMARY KEY (object, order_key)) WITHOUT ROWID;
CREATE INDEX objects_order ON objects (order_key);
CREATE TABLE looks (object TEXT PRIMARY KEY, tenant TEXT, version TEXT, look BLOB) WITHOUT ROWID;
CREATE TABLE names (tenant TEXT, name TEXT, object TEXT, PRIMARY KEY (tenant, name, object)) WITHOUT ROWID;
CREATE INDEX names_object ON names (object);
CREATE TABLE hops (subject TEXT, tenant TEXT, at REAL, hop BLOB);
CREATE INDEX hops_subject ON hops (subject, at);
CREATE TABLE commands (command TEXT, tenant TEXT, order_key TEXT, at REAL, asked INTEGER, body BLOB);
CREATE INDEX commands_order ON commands (order_key, at);
CREATE INDEX commands_id ON commands (command);
CREATE TABLE requests (command TEXT, row TEXT, at REAL, body BLOB, PRIMARY KEY (command, row)) WITHOUT ROWID;
CREATE TABLE parked (object TEXT PRIMARY KEY, tenant TEXT, id TEXT, object_id TEXT, body BLOB) WITHOUT ROWID;
"""
_FOUND = """
SELECT key, state FROM orders WHERE tenant = :tenant AND key IN (
    SELECT :id UNION SELECT order_key FROM ids WHERE tenant = :tenant AND id = :id
    UNION SELECT objects.order_key FROM names JOIN objects ON objects.object = names.object
        WHERE names.tenant = :tenant AND names.name = :id
    UNION SELECT order_key FROM commands WHERE tenant = :tenant AND command = :id)
ORDER BY key LIMIT 50
"""
KEPT_SECONDS = 31 * 24 * 3600.0
"""How long what happened is kept: a day more than the journal keeps a write."""
_HOPS, _WRITES = 300, 500
"""The newest of them that one order shows."""
_NOTHING: Mapping[str, str] = MappingProxyType({})
_ENCODE = msgspec.json.Encoder().encode
_ORDER = msgspec.json.Decoder(PublicOrder)
_LOOK = msgspec.json.Decoder(Look)
_HOP = msgspec.json.Decoder(Hop)
_SENT = msgspec.json.Decoder(Sent)
_ASKED = msgspec.json.Decoder(Asked)
_ANSWERED = msgspec.json.Decoder(Answered)
_PARKED = msgspec.json.Decoder(Parked)
_COMMAND = msgspec.json.Decoder(Command)
_RESULT = msgspec.json.Decoder(Result)
_ROW = msgspec.json.Decoder(Row)
_DECISION = msgspec.json.Decoder(Decision)


class Model:
    """Written by one thread, read by another; every question names a tenant and is answered about that one alone."""

    def __init__(self, path: Path | None = None, configured: Mapping[str, str] = _NOTHING) -> None:
        """Begin empty in the file at *path*, or in memory; *configured* modes of flows hold until people say others."""
        self._facts = dict(configured)
        self._lock = threading.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            for old in path.parent.glob(f"{path.name}*"):
                old.unlink()
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        name = ":memory:" if path is None else str(path)
        self._writer = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
        self._writer.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + _TABLES)
        self._reader = self._writer if path is None else sqlite3.connect(name, check_same_thread=False)
        self._apply: dict[str, Callable[[Entry], None]] = {
            topics.ORDER_STATES: self._order_state,
            topics.PARKED: self._parked,
            topics.BROADCAST: self._fact,
            topics.CRM_CHANGES: self._change,
            topics.ACCOUNTING_CHANGES: self._change,
            topics.COMMANDS: self._command,
            topics.RESULTS: self._result,
            topics.JOURNAL: self._row,
            topics.DECISIONS: self._decision,
        }

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._reader.close()
            self._writer.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def apply(self, entries: Iterable[Entry]) -> int:
        """Take records in, all at once; return how many nobody can read: those who work with them put them aside."""
        unreadable = 0
        with self._lock:
            self._writer.execute("BEGIN")
            for entry in entries:
                try:
                    self._apply[entry.topic](entry)
                except (DecodeError, msgspec.MsgspecError, UnicodeDecodeError):
                    unreadable += 1
            self._writer.execute("COMMIT")
        return unreadable

    def forget(self, before: float) -> None:
        """Forget what happened *before* that second; where every order stands now stays."""
        with self._lock:
            self._do("DELETE FROM hops WHERE at < ?", before)
            self._do("DELETE FROM commands WHERE at < ?", before)
            self._do("DELETE FROM requests WHERE at < ?", before)

    def _do(self, words: str, *values: object) -> sqlite3.Cursor:
        return self._writer.execute(words, values)

    def _order_state(self, entry: Entry) -> None:
        key = entry.key.decode()
        order = None if entry.value is None else _ORDER.decode(entry.value)
        self._do("DELETE FROM ids WHERE order_key = ?", key)
        self._do("DELETE FROM objects WHERE order_key = ?", key)
        if order is None:
            self._do("DELETE FROM orders WHERE key = ?", key)
            self._do("DELETE FROM hops WHERE subject = ?", key)
            return
        self._do(
            "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(key, order.tenant, plain(order.payable_amount), plain(order.amount_due), order.currency),
            *(len(order.conflicts), entry.value),
        )
        ids = {order.number, *order.tracking_numbers, *(shown.id for shown in order.shown)} - {""}
        self._writer.executemany("INSERT INTO ids VALUES (?, ?, ?)", ((order.tenant, id_, key) for id_ in ids))
        objects = {f"{one.connection}@{one.account}/{one.type}/{one.id}" for one in order.shown}
        self._writer.executemany("INSERT INTO objects VALUES (?, ?)", ((object_, key) for object_ in objects))
        text = ", ".join(word for word in (order.headline, order.financial, order.fulfilment) if word)
        self._hop(key, order.tenant, Hop(at=entry.at, what="shown", text=text))

    def _hop(self, subject: str, tenant: str, hop: Hop) -> None:
        self._do("INSERT INTO hops VALUES (?, ?, ?, ?)", subject, tenant, hop.at.timestamp(), _ENCODE(hop))

    def _parked(self, entry: Entry) -> None:
        key = entry.key.decode()
        if entry.value is None:
            self._do("DELETE FROM parked WHERE object = ?", key)
            return
        parked = _PARKED.decode(entry.value)
        row = (key, parked.tenant, short_id(key), parked.object.id, entry.value)
        self._do("INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?)", *row)

    def _fact(self, entry: Entry) -> None:
        fact = None if entry.value is None else msgspec.json.decode(entry.value, type=Fact)
        self._facts[entry.key.decode()] = "" if fact is None else fact.value

    def _change(self, entry: Entry) -> None:
        event = decode(entry.headers, entry.value)
        self._look(event, event.told_at or entry.at)

    def _look(self, event: ChangeEvent, at: datetime) -> None:
        key, version = event.object.key, version_of(event)
        self._hop(key, event.tenant, seen(event, at))
        known = self._do("SELECT version FROM looks WHERE object = ?", key).fetchone()
        if known is not None and known[0] > version:
            return
        row = (key, event.tenant, version, _ENCODE(look(event, at)))
        self._do("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?)", *row)
        if event.facts is not None:  # what is deleted is still found by its number
            self._do("DELETE FROM names WHERE object = ?", key)
            found = ((event.tenant, name, key) for name in names(event))
            self._writer.executemany("INSERT INTO names VALUES (?, ?, ?)", found)

    def _command(self, entry: Entry) -> None:
        command = _COMMAND.decode(entry.value or b"")
        self._happened(command.id, command.tenant, command.order, entry, _ENCODE(asked(command)), asked_=True)

    def _result(self, entry: Entry) -> None:
        result = _RESULT.decode(entry.value or b"")
        self._happened(result.command, result.tenant, result.order, entry, _ENCODE(answered(result)), asked_=False)
        for event in result.events:
            self._look(event, entry.at)

    def _happened(self, command: str, tenant: str, order: str, entry: Entry, body: bytes, *, asked_: bool) -> None:
        row = (command, tenant, order, entry.at.timestamp(), asked_, body)
        self._do("INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?)", *row)

    def _row(self, entry: Entry) -> None:
        name = entry.key.decode().partition("|")[2]
        if entry.value is None or "/" not in name:  # dropped, or the owner's epoch
            return
        told = sent(_ROW.decode(entry.value))
        if told is None:
            return
        commands, request = told
        at = entry.at if request.at is None else request.at
        rows = ((command, name, at.timestamp(), _ENCODE(request)) for command in commands)
        self._writer.executemany("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?)", rows)

    def _decision(self, entry: Entry) -> None:
        decision = _DECISION.decode(entry.value or b"")
        self._hop(decision.order, decision.tenant, decided(decision, entry.at))

    # -- reading ------------------------------------------------------------------------------------------------------

    def _ask(self, words: str, *values: object, **named: object) -> Iterator[tuple[Any, ...]]:
        return iter(self._reader.execute(words, named or values).fetchall())

    def tenants(self) -> list[str]:
        """Return who has orders or something parked."""
        found = self._ask("SELECT tenant FROM orders UNION SELECT tenant FROM parked ORDER BY 1")
        return [tenant for (tenant,) in found]

    def find(self, tenant: str, id_: str) -> list[PublicOrder]:
        """Return the orders that *id_* leads to: their key, number, or an id or number of any object or write."""
        found = [_ORDER.decode(state) for _, state in self._ask(_FOUND, tenant=tenant, id=id_)]
        keys = {order.key for order in found}
        return [order for order in found if order.alias_of not in keys or order.key == id_]

    def order(self, tenant: str, key: str) -> PublicOrder | None:
        """Return the order of that key."""
        found = self._ask("SELECT state FROM orders WHERE key = ? AND tenant = ?", key, tenant)
        return next((_ORDER.decode(state) for (state,) in found), None)

    def look(self, tenant: str, object_: str) -> Look | None:
        """Return the newest look at an object, as connection@account/type/id."""
        found = self._ask("SELECT look FROM looks WHERE object = ? AND tenant = ?", object_, tenant)
        return next((_LOOK.decode(body) for (body,) in found), None)

    def hops(self, tenant: str, subjects: Sequence[str]) -> list[Hop]:
        """Return what happened to *subjects* (order keys, objects), oldest first; of each the newest are kept."""
        words = "SELECT hop FROM hops WHERE subject = ? AND tenant = ? ORDER BY at DESC LIMIT ?"
        found = [_HOP.decode(body) for subject in subjects for (body,) in self._ask(words, subject, tenant, _HOPS)]
        return sorted(found, key=lambda hop: hop.at)[-_HOPS:]

    def commands(self, tenant: str, order: str) -> list[tuple[float, Asked | Answered]]:
        """Return what was asked of systems for an order and what they answered, oldest first."""
        words = "SELECT at, asked, body FROM commands WHERE order_key = ? AND tenant = ? ORDER BY at DESC LIMIT ?"
        found = self._ask(words, order, tenant, _WRITES)
        return [(at, (_ASKED if told else _ANSWERED).decode(body)) for at, told, body in found][::-1]

    def requests(self, command: str) -> list[Sent]:
        """Return the requests of a write, oldest first."""
        found = self._ask("SELECT body FROM requests WHERE command = ? ORDER BY at", command)
        return [_SENT.decode(body) for (body,) in found]

    def parked(self, tenant: str, after: str = "", limit: int = 100) -> list[Parked]:
        """Return what waits for a person, by object."""
        words = "SELECT body FROM parked WHERE tenant = ? AND object > ? ORDER BY object LIMIT ?"
        return [_PARKED.decode(body) for (body,) in self._ask(words, tenant, after, limit)]

    def parked_as(self, tenant: str, id_: str) -> list[Parked]:
        """Return what is parked under that short id, object or the object's own id."""
        words = "SELECT body FROM parked WHERE tenant = ? AND (id = ? OR object = ? OR object_id = ?)"
        return [_PARKED.decode(body) for (body,) in self._ask(words, tenant, id_, id_, id_)]

    def with_amount(self, tenant: str, amount: str, currency: str) -> list[PublicOrder]:
        """Return a few orders of just that amount, due ones first."""
        words = """SELECT state FROM orders WHERE tenant = ? AND (due = ? OR payable = ?) AND currency = ?
            ORDER BY due = ? DESC, key LIMIT 5"""
        return [_ORDER.decode(body) for (body,) in self._ask(words, tenant, amount, amount, currency, amount)]

    def with_conflicts(self, tenant: str, after: str = "", limit: int = 100) -> list[PublicOrder]:
        """Return orders in which a value lost against another one."""
        words = "SELECT state FROM orders WHERE conflicts > 0 AND tenant = ? AND key > ? ORDER BY key LIMIT ?"
        return [_ORDER.decode(body) for (body,) in self._ask(words, tenant, after, limit)]

    def fact(self, kind: str, subject: str) -> str:
        """Return what people said about a connection or a flow, "" for nothing."""
        return self._facts.get(f"{kind}/{subject}", "")
