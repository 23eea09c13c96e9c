"""The rows of one connection, found by their key, by command and by natural key: on disk, but for what is in use.

A write is remembered for thirty days with the platform's answers, so rows grow with the orders of a month, and memory
must not. They lie in a private database of SQLite, which keeps a few megabytes of pages in memory, spills the rest to
an unnamed file in the folder for temporary files and is gone with the process. Nothing depends on it: the rows' durable
home is Kafka, and each new owner fills a database of its own from there.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Iterable

import msgspec

from sinks.delivery.row import MEMBER, Row, may_have_done, row_key

_PRIVATE = ""
"""The name for which SQLite makes an unnamed file, once the pages in memory do not suffice."""
_SCHEMA = """
PRAGMA synchronous = OFF;
PRAGMA journal_mode = MEMORY;
PRAGMA cache_size = -4096;
CREATE TABLE rows (key TEXT PRIMARY KEY, command TEXT, batch INTEGER, at REAL, lock TEXT, value BLOB);
CREATE INDEX of_command ON rows (command);
CREATE INDEX by_age ON rows (at);
CREATE INDEX by_lock ON rows (lock) WHERE lock <> '';
CREATE TABLE members (command TEXT, key TEXT, PRIMARY KEY (command, key)) WITHOUT ROWID;
"""
_OF = """
SELECT key, value FROM rows WHERE command = :command
UNION ALL SELECT rows.key, value FROM members JOIN rows USING (key) WHERE members.command = :command ORDER BY 1
"""
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Row).decode


class Journal:
    """The rows that earlier owners left, and this one's."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Take the rows that earlier owners left; more of them come encoded, by `hold`."""
        self._db = sqlite3.connect(_PRIVATE, isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        self._db.executescript(_SCHEMA)
        for row in rows:
            self.put(row)

    def __len__(self) -> int:
        found: int = self._db.execute("SELECT count(*) FROM rows").fetchone()[0]
        return found

    def hold(self, key: str, value: bytes) -> None:
        """Remember an encoded row; raise `msgspec.ValidationError` where it is none."""
        self._store(key, _DECODE(value), value)

    def held(self, key: str) -> bytes | None:
        """Return a row as it is encoded, None where there is none."""
        found = self._db.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
        return None if found is None else found[0]

    def get(self, command: str, step: str) -> Row | None:
        """Return the row of one request."""
        value = self.held(row_key(command, step))
        return None if value is None else _DECODE(value)

    def put(self, row: Row) -> None:
        """Remember *row* instead of its predecessor."""
        self._store(row_key(row.command, row.step), row, _ENCODE(row))

    def _store(self, key: str, row: Row, value: bytes) -> None:
        what = (key, row.command, bool(row.members), row.at, row.lock, value)
        self._db.execute("REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", what)
        self._db.executemany("INSERT OR IGNORE INTO members VALUES (?, ?)", [(member, key) for member in row.members])

    def rows(self, command: str) -> list[Row]:
        """Return the rows of *command*, those of its batches included."""
        return [_DECODE(value) for _, value in self._db.execute(_OF, {"command": command})]

    def unresolved(self, command: str) -> list[Row]:
        """Return the rows of *command* about which nobody knows whether they took effect.

        A batch counts until the command's own part in it is written down, even when the batch was answered.
        """
        return _unresolved(self.rows(command))

    def doubtful(self, command: str) -> list[Row]:
        """Return the rows of *command* that forbid to send it without asking: the unresolved, and the settled.

        What was found done has no reply to answer a repeated command from, also when the finder died before it told.
        """
        rows = self.rows(command)
        return [*_unresolved(rows), *(row for row in rows if row.state == "settled")]

    def locked_by(self, lock: str, command: str) -> list[Row]:
        """Return the rows of other commands under the natural key *lock*, which is not empty."""
        asked = "SELECT value FROM rows WHERE lock = ? AND lock <> '' AND command <> ? ORDER BY key"
        return [_DECODE(value) for (value,) in self._db.execute(asked, (lock, command))]

    def outdated(self, before: float, waits: Callable[[str], bool]) -> list[str]:
        """Return the keys of rows last touched before *before*, of writes that ended and that nobody *waits* for.

        A batch comes before its members' own rows, and only with all of them: without these it would be in doubt again.
        """

        def is_old(command: str) -> bool:
            rows = self.rows(command)
            return not waits(command) and not _unresolved(rows) and max(row.at for row in rows) < before

        touched = self._db.execute("SELECT DISTINCT command FROM rows WHERE at < ? AND NOT batch", (before,)).fetchall()
        old = {command for (command,) in touched if is_old(command)}
        # A younger batch keeps its members young, so that it need not be looked at.
        old_batches = self._db.execute("SELECT key, value FROM rows WHERE at < ? AND batch ORDER BY key", (before,))
        batches = {key: _DECODE(value).members for key, value in old_batches}
        gone = [key for key, members in batches.items() if old.issuperset(members)]
        held = {member for key in batches.keys() - set(gone) for member in batches[key]}
        return gone + [key for command in sorted(old - held) for key in self._own(command)]

    def _own(self, command: str) -> list[str]:
        asked = "SELECT key FROM rows WHERE command = ? AND NOT batch ORDER BY key"
        return [key for (key,) in self._db.execute(asked, (command,))]

    def drop(self, key: str) -> None:
        """Forget one row."""
        value = self.held(key)
        members = () if value is None else _DECODE(value).members
        self._db.execute("DELETE FROM rows WHERE key = ?", (key,))
        self._db.executemany("DELETE FROM members WHERE command = ? AND key = ?", [(member, key) for member in members])

    def forget(self, command: str) -> list[str]:
        """Forget the rows of *command* alone and return their keys."""
        keys = self._own(command)
        for key in keys:
            self.drop(key)
        return keys


def _unresolved(rows: list[Row]) -> list[Row]:
    """Return those of a command's *rows* about which nobody knows whether they took effect."""
    batches_count = all(row.is_open for row in rows if row.step == MEMBER and not row.members)
    return [row for row in rows if (may_have_done(row) and batches_count if row.members else row.is_open)]
