"""One RocksDB per table partition: states, the index of ticks, and how far the changelog is in it."""

from __future__ import annotations

import hashlib
import shutil
import struct
from collections import Counter
from typing import TYPE_CHECKING, cast

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from streams.engine.fold import COUNTED
from streams.engine.header import StateHeader, header_of, pack_value, state_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from streams.engine.settings import WorkerSettings

_STATE, _DUE, _WAIT, _META, _SEEN, _COUNT, _OUTLIVED = b"s", b"t", b"w", b"m", b"b", b"c", b"o"
_META_FORMAT = struct.Struct(">QId")
_DUE_FORMAT = struct.Struct(">Q")
_LABEL_FORMAT = struct.Struct(">H")
NEVER = 2**63
_SORTED_AT = "level0_file_num_compaction_trigger"
_FILES, _FILES_LOADING = 4, 16
"""How many files of one write buffer may lie unsorted: RocksDB's own number, and that while a store is filled."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What becomes of one key; *before* is the stored header whose tick and waits end, *state* None deletes."""

    key: bytes
    before: StateHeader | None
    header: StateHeader
    packed: bytes
    state: bytes | None


class StoreOptions:
    """Options that all databases of one process share, above all the block cache."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.cache = Cache(settings.block_cache)
        self.capacity = settings.block_cache
        table = BlockBasedOptions()
        table.set_block_cache(self.cache)
        table.set_bloom_filter(10, block_based=False)
        table.set_cache_index_and_filter_blocks(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003  same
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(settings.write_buffer)
        options.set_max_write_buffer_number(2)
        options.set_level_zero_file_num_compaction_trigger(_FILES)
        options.set_level_zero_slowdown_writes_trigger(40)  # well above what a store may have been filled with
        options.set_level_zero_stop_writes_trigger(64)
        options.set_max_open_files(settings.max_open_files)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(2)
        self.options = options


class Store:
    """The states of one table partition; closed explicitly, never left to the garbage collector."""

    def __init__(self, path: Path, options: StoreOptions) -> None:
        self.path = path
        self._options = options
        self._without_log = WriteOptions()  # the changelog is the log: what a crash takes is read from it again
        # a property, though rocksdict's stub calls it a method
        self._without_log.disable_wal = True  # type: ignore[method-assign,assignment]
        self._open()

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        options = self._options.options
        self._db = Rdict(
            str(self.path),
            options=options,
            column_families={"default": options},  # unnamed, a reopened database forgets cache and filters
            access_type=AccessType.read_write(),
        )
        capacity = self._db.property_int_value("rocksdb.block-cache-capacity")
        if capacity != self._options.capacity:
            raise RuntimeError(f"RocksDB opened {self.path.name} with a block cache of {capacity} bytes.")
        meta = self._db.get(_META) or b""
        known = len(meta) == _META_FORMAT.size  # else it is empty, or of a version that kept no time
        self.position, self.epoch, self.current_at = _META_FORMAT.unpack(meta) if known else (0, 0, 0.0)
        """What of the changelog is in here, its owner's epoch, and when all of it was (seconds since 1970)."""
        self.seen: bytes = self._db.get(_SEEN) or b""
        self.outlived = {raw[1:] for raw in self._scan(_OUTLIVED, _OUTLIVED)}
        """Keys whose newest record in the changelog is older than what is stored here; until they are written anew."""
        self.next_due = self._first_due(0)
        self.counted = Counter(_label(raw) for raw in self._scan(_COUNT, _COUNT))
        """How many keys are counted under each label."""

    def outdated(self, since: float) -> bool:
        """Tell whether this store holds something and not all of the changelog since *since*."""
        return self.current_at < since and self._db.get(_META) is not None

    def close(self) -> None:
        """Release the database; a second call does nothing."""
        self._db.close()

    def begin_load(self) -> None:
        """Let more files lie unsorted until `end_load`: sorted in between, most states would be written many times."""
        self._db.set_options({_SORTED_AT: str(_FILES_LOADING)})

    def end_load(self) -> None:
        """Sort as always again, in the background what was left."""
        self._db.set_options({_SORTED_AT: str(_FILES)})

    def reset(self) -> None:
        """Forget everything."""
        self._db.close()
        shutil.rmtree(self.path)
        self._open()

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return stored values (header and state) in the order of *keys*."""
        return cast("list[bytes | None]", self._db.get([_STATE + key for key in keys]))

    def write(
        self,
        changes: Collection[Change],
        position: int,
        epoch: int,
        *,
        plain: Collection[tuple[bytes, bytes]] = (),
        outlived: Collection[bytes] = (),
        seen: bytes | None = None,
    ) -> None:
        """Write *changes*, their index entries and the position as one batch, the position last.

        *plain* are stored values by key, whose ticks and waits stay as they are; *outlived* keys somebody older wrote
        behind us. A crash loses the last writes since `flush`, never some between.
        """
        batch = WriteBatch(raw_mode=True)
        for key, value in plain:
            batch.put(_STATE + key, value)
        for change in changes:
            self._index(batch, change)
            if change.state is None:
                batch.delete(_STATE + change.key)
            else:
                batch.put(_STATE + change.key, pack_value(change.packed, change.state))
        if self.outlived or outlived:
            written = {key for key, _ in plain} | {change.key for change in changes}
            self._outlive(batch, self.outlived & written, set(outlived))
        if seen is not None:
            batch.put(_SEEN, seen)
            self.seen = seen
        batch.put(_META, _META_FORMAT.pack(position, epoch, self.current_at))
        self._db.write(batch, self._without_log)
        self.position, self.epoch = position, epoch

    def _outlive(self, batch: WriteBatch, anew: set[bytes], more: set[bytes]) -> None:
        for key in anew:
            batch.delete(_OUTLIVED + key)
        for key in more:
            batch.put(_OUTLIVED + key, b"")
        self.outlived = (self.outlived - anew) | more

    def _index(self, batch: WriteBatch, change: Change) -> None:
        key, new = change.key, change.header
        due, waits = (new.due, new.waits) if change.state is not None else (0, ())
        old = change.before
        if old is None:
            if due or waits:
                self._add(batch, key, due, waits)
            return
        if old.due != due or old.waits != waits:
            self._remove(batch, key, old, due, waits)
            self._add(batch, key, due if due != old.due else 0, [label for label in waits if label not in old.waits])

    def _remove(self, batch: WriteBatch, key: bytes, old: StateHeader, due: int, waits: tuple[bytes, ...]) -> None:
        if old.due and old.due != due:
            batch.delete(_due_key(old.due, key))
        for label in old.waits:
            if label not in waits:
                batch.delete(_wait_prefix(label) + key)
                self._count(label, -1)

    def _add(self, batch: WriteBatch, key: bytes, due: int, waits: Sequence[bytes]) -> None:
        if due:
            batch.put(_due_key(due, key), b"")
            self.next_due = min(self.next_due, due)
        for label in waits:
            batch.put(_wait_prefix(label) + key, b"")
            self._count(label, 1)

    def _count(self, label: bytes, more: int) -> None:
        if label.startswith(COUNTED):
            self.counted[label] += more

    def current(self, now: float, every: float = 0.0) -> bool:
        """Take note that all of the changelog is in here *now*, and make what was written durable.

        False where that was done less than *every* seconds ago: to write all to disk takes a while.
        """
        if every and now - self.current_at < every:
            return False
        self.current_at = now
        self.write([], self.position, self.epoch)
        self._db.flush()
        return True

    def due(self, now: int, limit: int) -> list[bytes]:
        """Return up to *limit* keys whose time has come, earliest first."""
        if now < self.next_due:
            return []
        keys: list[bytes] = []
        for raw in self._scan(_DUE, _due_key(self.next_due, b"")):
            (due,) = _DUE_FORMAT.unpack_from(raw, 1)
            if due > now or len(keys) == limit:
                break
            keys.append(raw[9:])
        if not keys:
            self.next_due = self._first_due(self.next_due)
        return keys

    def _first_due(self, at_least: int) -> int:
        for raw in self._scan(_DUE, _due_key(at_least, b"")):
            return int(_DUE_FORMAT.unpack_from(raw, 1)[0])
        return NEVER

    def waiting(self, label: bytes) -> list[bytes]:
        """Return the keys that wait for *label*."""
        prefix = _wait_prefix(label)
        return [raw[len(prefix) :] for raw in self._scan(prefix, prefix)]

    def _scan(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        iterator = self._db.iter()
        iterator.seek(start)
        while iterator.valid():
            raw: bytes = iterator.key()
            if not raw.startswith(prefix):
                return
            yield raw
            iterator.next()

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all keys with their stored values; for queries and checks, not for the hot path."""
        iterator = self._db.iter()
        iterator.seek(_STATE)
        while iterator.valid() and iterator.key().startswith(_STATE):
            yield iterator.key()[1:], iterator.value()
            iterator.next()

    def digest(self) -> str:
        """Return a digest of states, ticks and waits that ignores who wrote them and their order."""
        total = 0
        for key, value in self.items():
            header = header_of(value)
            waits = b"".join(sorted(header.waits))
            parts = (key, state_of(value) or b"", _DUE_FORMAT.pack(header.due), waits)
            total ^= int.from_bytes(hashlib.sha256(b"\x00".join(parts)).digest())
        return f"{total:064x}"


def _due_key(due: int, key: bytes) -> bytes:
    return _DUE + _DUE_FORMAT.pack(due) + key


def _wait_prefix(label: bytes) -> bytes:
    return (_COUNT if label.startswith(COUNTED) else _WAIT) + _LABEL_FORMAT.pack(len(label)) + label


def _label(raw: bytes) -> bytes:
    (size,) = _LABEL_FORMAT.unpack_from(raw, 1)
    return raw[3 : 3 + size]
