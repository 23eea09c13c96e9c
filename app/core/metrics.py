"""What every role counts and measures; the names are a contract with deploy/grafana and deploy/prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from schemas.findings import CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

# A series beside each counter says when it began, at half the cost of a scrape.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the package leaves it without types
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
_ACKS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UNUSABLE = ("oversize", "quarantined", "rejected", "unreadable")
_WAITS = ("parent", "person")
_JOURNEYS = (
    *(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
    *(120.0, 300.0, 900.0, 3_600.0),
)


class Metrics:
    """The metrics of one process in one registry.

    Labels are bounded: platforms, tenants, connections, topics, partitions, capabilities, outcomes, reasons, causes and
    finding codes; never an order's or a person's id.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.events = self._counter("o2c_events", "Events by topic and outcome.", ("topic", "outcome"))
        self.batch_size = self._histogram("o2c_batch_size", "Records per processed batch.", _BATCHES)
        self.ack = self._histogram("o2c_ack_seconds", "From sending to Kafka's acknowledgement.", _ACKS)
        self.lag = self._gauge("o2c_lag", "Records not yet processed.", ("topic", "partition"))
        self.end_to_end = self._histogram(
            "o2c_end_to_end_seconds", "From a change in one system to its confirmed write in another.", _JOURNEYS
        )
        self.writes = self._counter(
            "o2c_writes", "Commands by what came of them.", ("platform", "connection", "capability", "outcome")
        )
        self.quota_left = self._gauge("o2c_quota_left", "Requests that the platform allows now.", ("connection",))
        self.quota_reset_at = self._gauge(
            "o2c_quota_reset_at",
            "When the next request may go, in seconds of the epoch; now where one may.",
            ("connection",),
        )
        self.daily_quota_left = self._gauge(
            "o2c_daily_quota_left", "Requests that the platform's cap of a day allows now.", ("connection",)
        )
        self.connection_down = self._gauge(
            "o2c_connection_down", "1 for the cause of which nothing is written now.", ("tenant", "connection", "cause")
        )
        self.token_expiry = self._gauge(
            "o2c_token_expiry_seconds", "Seconds until the refresh credential expires.", ("connection",)
        )
        self.complete_up_to_age = self._gauge(
            "o2c_complete_up_to_age_seconds", "Age of the mark up to which a sweep saw everything.", ("connection",)
        )
        self.healed_by_sweep = self._counter(
            "o2c_healed_by_sweep", "Changes that a sweep found and no webhook told of.", ("connection",)
        )
        self.echoes = self._counter(
            "o2c_echoes",
            "Looks that showed nothing but what o2c had written, by where it was typed and who told it back.",
            ("source", "system"),
        )
        self.webhooks_missing = self._gauge(
            "o2c_webhooks_missing", "Wanted topics that nobody is told by webhook, at the last look.", ("connection",)
        )
        self.webhooks_mended = self._counter(
            "o2c_webhooks_mended", "Changes to subscriptions that the connectors made by themselves.", ("connection",)
        )
        self.parked = self._gauge("o2c_parked", "Objects that wait for their order or for a person.", ("reason",))
        self.dead_letters = self._counter("o2c_dead_letters", "Records that nobody can use.", ("reason",))
        self.hooks = self._counter("o2c_hooks", "Webhook deliveries by outcome.", ("platform", "outcome"))
        self.deliveries = self._counter(
            "o2c_deliveries", "Kept webhook deliveries by what they meant.", ("platform", "outcome")
        )
        self.findings = self._gauge("o2c_findings", "Orders that have a finding now.", ("code",))
        self.console = self._histogram("o2c_console_seconds", "How long the console took for an answer.", _ACKS)
        self._begin()

    def _begin(self) -> None:
        """Begin at 0 where labels are known: `increase` sees nothing in a series that begins with its first count."""
        for metric, names in ((self.dead_letters, _UNUSABLE), (self.parked, _WAITS), (self.findings, CODES)):
            for name in names:
                metric.labels(name)

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes, of type CONTENT_TYPE."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help_: str, labels: Sequence[str]) -> Counter:
        return Counter(name, help_, labels, registry=self.registry)

    def _gauge(self, name: str, help_: str, labels: Sequence[str]) -> Gauge:
        return Gauge(name, help_, labels, registry=self.registry)

    def _histogram(self, name: str, help_: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, help_, registry=self.registry, buckets=buckets)


def new_metrics() -> Metrics:
    """Return metrics in a registry of their own, so that two roles in one test process never meet."""
    return Metrics(CollectorRegistry())
