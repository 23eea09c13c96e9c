"""The settings of one stream worker, with the values that keep the guarantees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """Everything a worker is told; times in seconds, sizes in bytes."""

    bootstrap: str
    group: str
    name: str
    """Stable name of this worker: static membership and data folder follow it."""
    data_dir: Path
    broadcast_topics: tuple[str, ...] = ()
    dead_letters: str = "dead-letters"
    security: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of aiokafka's clients for TLS and SASL."""
    static_membership: bool = True
    standby_replicas: int = 0

    session_timeout: float = 45.0
    request_timeout: float = 50.0
    heartbeat_interval: float = 3.0
    max_poll_interval: float = 300.0
    max_poll_records: int = 128_000
    """All that was fetched: of less, one topic's records came first, and states were written again for the other's."""
    max_batch: int = 32_000
    """Records of one partition that are done together at most, if so many wait: a state is written once a batch."""
    batch_seconds: float = 2.0
    """How long a batch may be folded where so much waits; a thousand records are taken however long they take."""
    max_waiting: int = 256_000
    """Records that all partitions of a worker may take together, and as many again that wait for them."""
    max_waiting_bytes: int = 256 * MIB
    """Their values alike: where records are large, fewer wait, and a batch has what waits."""
    max_fetch_size: int = 2 * MIB
    catch_up_fetch_size: int = 4 * MIB
    fetch_max_wait: float = 0.1
    """How long an empty fetch waits; a partition that was just drained is not asked for again before."""
    commit_interval: float = 1.0
    heartbeat_grace: float = 0.8
    """Share of the session time-out after which a worker that heard nothing stops writing."""

    compression: str = "snappy"
    """Not lz4, of which aiokafka writes the slowest kind: four to six times the CPU for a quarter less bytes."""
    produce_batch: int = 512 * KIB
    produce_timeout: float = 30.0
    max_record: int = 943_718
    """The topics' max.message.bytes minus 10 %; whatever is bigger is quarantined."""

    cpu_slice: float = 0.005
    drain_deadline: float = 5.0
    stop_deadline: float = 20.0
    tick_interval: float = 0.25
    tick_batch: int = 500
    tail_check_interval: float = 10.0
    stuck_after: float = 60.0
    unassigned_after: float = 300.0
    """How long the group may assign nothing, not even an empty share; a rebalance takes a minute at most."""
    broker_patience: float = 10.0
    """How long the broker may be silent before the worker says that it is not ready."""

    flush_interval: float = 600.0
    """How long what RocksDB was given may lie in memory alone; after a crash it is read from the changelog again."""
    disk_age: float = 12 * 3_600.0
    """Stores that were not current for so long begin anew: a deletion may have left the changelog (after 24 h)."""
    block_cache: int = 64 * MIB
    write_buffer: int = 16 * MIB
    max_open_files: int = 256

    web_host: str = "127.0.0.1"
    web_port: int | None = None
    """Port of Faust's web server with health and metrics; None starts none."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.session_timeout > self.request_timeout:
            raise ConfigError("session_timeout must not exceed request_timeout: joining would time out.")
        if not self.name or "/" in self.name:
            raise ConfigError("A worker needs a name that can be a folder's.")
