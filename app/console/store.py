"""The read model: every order by any of its ids, what happened to it, and what waits for a person.

One SQLite database, made anew from Kafka whenever a console starts: it holds nothing that cannot be read again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from app.console.batch import Batch
from app.console.records import Entry, ids, plain
from app.console.tenant import Tenant
from schemas.errors import DecodeError
from schemas.order_state import PublicOrder

_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;"
"""Readers see the last whole batch; a lost file is read again; 64 MiB of pages, since keys come in no order."""
_TABLES = """
CREATE TABLE orders (key TEXT PRIMARY KEY, tenant TEXT, currency TEXT, payable TEXT, due TEXT, conflicts INTEGER,
    state BLOB);
CREATE INDEX orders_payable ON orders (tenant, currency, payable, key);
CREATE INDEX orders_due ON orders (tenant, currency, due, key);
CREATE INDEX orders_conflicts ON orders (tenant, key) WHERE conflicts > 0;
CREATE TABLE ids (tenant TEXT, id TEXT, order_key TEXT, PRIMARY KEY (tenant, id, order_key)) WITHOUT ROWID;
CREATE TABLE names (tenant TEXT, name TEXT, object TEXT, PRIMARY KEY (tenant, name, object)) WITHOUT ROWID;
CREATE TABLE looks (tenant TEXT, object TEXT, version TEXT, look BLOB, PRIMARY KEY (tenant, object));
CREATE TABLE hops (tenant TEXT, subject TEXT, at REAL, what TEXT, system TEXT, object TEXT, text TEXT, trace TEXT,
    PRIMARY KEY (tenant, subject, at, what, text)) WITHOUT ROWID;
CREATE TABLE writes (tenant TEXT, order_key TEXT, command TEXT, write TEXT, connection TEXT, capability TEXT,
    generation INTEGER, trace TEXT, asked_at REAL, answered_at REAL, outcome TEXT DEFAULT '', reason TEXT DEFAULT '',
    object TEXT DEFAULT '', PRIMARY KEY (tenant, order_key, command)) WITHOUT ROWID;
CREATE TABLE requests (command TEXT, under TEXT, step TEXT, attempt INTEGER, at REAL, method TEXT, path TEXT,
    state TEXT, status INTEGER, PRIMARY KEY (command, under, step, attempt)) WITHOUT ROWID;
CREATE TABLE parked (object TEXT PRIMARY KEY, tenant TEXT, id TEXT, object_id TEXT, body BLOB);
CREATE INDEX parked_object ON parked (tenant, object);
CREATE INDEX parked_id ON parked (id);
CREATE INDEX parked_object_id ON parked (object_id);
"""
_ADD = {
    "names": "INSERT OR IGNORE INTO names VALUES (?, ?, ?)",
    "looks": """INSERT INTO looks VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version,
        look = excluded.look WHERE excluded.version >= version""",
    "hops": "INSERT OR IGNORE INTO hops VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "asked": """INSERT INTO writes (tenant, order_key, command, write, connection, capability, generation, trace,
        asked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET asked_at = min(excluded.asked_at, ifnull(asked_at, excluded.asked_at))""",
    "answered": """INSERT INTO writes (tenant, order_key, command, write, connection, capability, generation, trace,
        answered_at, outcome, reason, object) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET answered_at = excluded.answered_at, outcome = excluded.outcome,
            reason = excluded.reason, object = excluded.object
        WHERE excluded.answered_at >= ifnull(answered_at, 0)""",
    "commands": "INSERT OR IGNORE INTO ids VALUES (?, ?, ?)",
    "requests": "INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
}
"""How the rows of a batch come into their table; what is older than what is there changes nothing."""
_FORGET = (
    """DELETE FROM ids WHERE (tenant, id) IN (
        SELECT tenant, command FROM writes WHERE ifnull(answered_at, asked_at) < ?)""",
    "DELETE FROM writes WHERE ifnull(answered_at, asked_at) < ?",
    "DELETE FROM requests WHERE at < ?",
    "DELETE FROM hops WHERE at < ?",
)
KEPT_SECONDS = 31 * 24 * 3600.0
"""How long what happened is kept: a day more than the journal keeps a write."""
_NOTHING: Mapping[str, str] = MappingProxyType({})
_ORDER = msgspec.json.Decoder(PublicOrder)


class Store:
    """Written by one thread, read by another; every question is asked as one tenant."""

    def __init__(self, path: Path | None = None, configured: Mapping[str, str] = _NOTHING) -> None:
        """Begin empty in the file at *path*, or in memory; *configured* modes of flows hold until people say others."""
        self._facts = dict(configured)
        self._lock = threading.Lock()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            for old in path.parent.glob(f"{path.name}*"):
                old.unlink()
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._writer = _open(":memory:" if path is None else str(path))
        self._writer.executescript(_PRAGMAS + _TABLES)
        self._reader = self._writer if path is None else _open(f"file:{path}?mode=ro", uri=True)

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._reader.close()
            self._writer.close()

    def apply(self, entries: Iterable[Entry]) -> int:
        """Take records in, all at once; return how many nobody can read: those who work with them put them aside."""
        unreadable, batch = 0, Batch()
        for entry in entries:
            try:
                batch.take(entry)
            except (DecodeError, msgspec.MsgspecError, UnicodeDecodeError):
                unreadable += 1
        self._facts |= batch.facts
        with self._lock:
            self._writer.execute("BEGIN")
            self._replace_orders(batch.orders)
            self._replace_parked(batch.parked)
            for name, rows in batch.added.items():
                self._writer.executemany(_ADD[name], rows)
            self._writer.execute("COMMIT")
        return unreadable

    def _replace_orders(self, states: Mapping[str, tuple[PublicOrder, bytes] | None]) -> None:
        """Put the newest states in place of what was there; an id that an order no longer has leads nowhere."""
        for key, newest in states.items():
            found = self._writer.execute("SELECT state FROM orders WHERE key = ?", (key,)).fetchone()
            before = _led(key, None if found is None else _ORDER.decode(found[0]))
            now = _led(key, None if newest is None else newest[0])
            self._writer.executemany("DELETE FROM ids WHERE tenant = ? AND id = ? AND order_key = ?", before - now)
            self._writer.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?, ?)", now - before)
            if newest is None:
                self._writer.execute("DELETE FROM orders WHERE key = ?", (key,))
                continue
            order, body = newest
            amounts = (order.currency, plain(order.payable_amount), plain(order.amount_due))
            row = (key, order.tenant, *amounts, len(order.conflicts), body)
            self._writer.execute("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def _replace_parked(self, rows: Mapping[str, tuple[object, ...] | None]) -> None:
        for key, row in rows.items():
            if row is None:
                self._writer.execute("DELETE FROM parked WHERE object = ?", (key,))
            else:
                self._writer.execute("INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?)", row)

    def forget(self, before: float) -> None:
        """Forget what happened *before* that second; where every order stands now stays."""
        with self._lock:
            for words in _FORGET:
                self._writer.execute(words, (before,))

    def tenants(self) -> list[str]:
        """Return who has orders or something parked."""
        found = self._reader.execute("SELECT tenant FROM orders UNION SELECT tenant FROM parked ORDER BY 1")
        return [tenant for (tenant,) in found.fetchall()]

    def tenant(self, name: str) -> Tenant:
        """Return what that tenant may ask."""
        return Tenant(self._reader, name, self._facts)


def _open(name: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(name, uri=uri, check_same_thread=False, isolation_level=None, cached_statements=256)


def _led(key: str, order: PublicOrder | None) -> set[tuple[str, str, str]]:
    return set() if order is None else {(order.tenant, id_, key) for id_ in ids(order)}
