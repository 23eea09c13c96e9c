"""What only the engine measures, in the registry of the process."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from streams.engine.fold import COUNTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.core.metrics import Metrics

_SLICES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)


class Instruments:
    """Counters and gauges of one worker; created once per registry."""

    def __init__(self, metrics: Metrics) -> None:
        self.shared = metrics
        registry = metrics.registry
        self.recovered = Counter("o2c_recovered", "Changelog records applied by recovery.", registry=registry)
        self.recovery_remaining = Gauge(
            "o2c_recovery_remaining", "Changelog records to go.", ("topic", "partition"), registry=registry
        )
        self.persisted_above_end = Counter(
            "o2c_persisted_above_end", "Stores thrown away because the changelog was shorter.", registry=registry
        )
        self.fold_errors = Counter(
            "o2c_fold_errors", "Unexpected exceptions of a fold.", ("table", "error"), registry=registry
        )
        self.commit_age = Gauge("o2c_commit_age_seconds", "Since offsets were last committed.", registry=registry)
        self.commit_failures = Counter("o2c_commit_failures", "Commits refused.", registry=registry)
        self.generation = Gauge("o2c_generation", "Generation of the consumer group.", registry=registry)
        self.rebalances = Counter("o2c_rebalances", "Assignments received.", registry=registry)
        self.partitions = Gauge("o2c_partitions", "Table partitions by state.", ("state",), registry=registry)
        self.foreign = Counter(
            "o2c_changelog_foreign", "Changelog records found that this owner did not write.", registry=registry
        )
        self.fenced = Counter("o2c_fenced", "Batches dropped because the partition moved.", registry=registry)
        self.fold_seconds = Histogram(
            "o2c_fold_seconds", "CPU slice between two turns of the loop.", registry=registry, buckets=_SLICES
        )
        self.store_bytes = Gauge("o2c_store_cache_bytes", "RocksDB block cache in use.", registry=registry)
        self._gauges = {b"parked": metrics.parked, b"findings": metrics.findings}
        self._shown: set[bytes] = set()

    def show_counted(self, counts: Iterable[Mapping[bytes, int]]) -> None:
        """Show what the states of this worker's partitions are counted as; what moved away or ended counts 0 here."""
        total: Tally[bytes] = Tally()
        for one in counts:
            total.update(one)
        self._shown |= total.keys()
        for label in self._shown:
            metric, _, name = label.removeprefix(COUNTED).partition(b"/")
            if (gauge := self._gauges.get(metric)) is not None:
                gauge.labels(name.decode()).set(total[label])
