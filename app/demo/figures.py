"""What the roles say on /metrics, added up: read over HTTP; nothing of the pipeline is imported."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_CHANGES = ("crm-changes", "accounting-changes")
_JOURNEY = "o2c_end_to_end_seconds_bucket"
_WRITES = "o2c_writes_total"
_REFUSED = frozenset(("rejected", "unsupported"))
_READ = (
    _JOURNEY, _WRITES, "o2c_events_total", "o2c_lag", "o2c_findings", "o2c_parked", "o2c_dead_letters_total",
)  # fmt: skip
_SECONDS = 5.0


@dataclass(frozen=True)
class Figures:
    """The sums over all roles at one moment."""

    events: int = 0
    """Change events that the streams folded or placed."""
    writes: int = 0
    """Confirmed."""
    refusals: Mapping[str, int] = field(default_factory=dict)
    """Connection and capability -> writes that were refused, or are not supported."""
    lag: int = 0
    findings: int = 0
    parked: int = 0
    dead_letters: int = 0
    journeys: Mapping[float, float] = field(default_factory=dict)
    """Upper bound in seconds -> writes that took no longer from the telling of their change."""

    @property
    def refused(self) -> int:
        """How many writes were refused, or are not supported."""
        return sum(self.refusals.values())

    def quantile(self, share: float) -> float | None:
        """Return the seconds that *share* of the writes took at most, interpolated as Prometheus does; None of none."""
        bounds = sorted(self.journeys)
        total = self.journeys[bounds[-1]] if bounds else 0.0
        lower = below = 0.0
        for bound in bounds:
            count = self.journeys[bound]
            if total and count >= share * total:
                if math.isinf(bound):
                    return lower
                return lower + (bound - lower) * (share * total - below) / max(count - below, 1e-9)
            lower, below = bound, count
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, the median and the 95th percentile in seconds."""
        counts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "journeys"}
        return {**counts, "refused": self.refused, "p50": self.quantile(0.5), "p95": self.quantile(0.95)}


def figures(samples: Iterable[Sample]) -> Figures:
    """Return *samples* of any number of roles added up."""
    sums: defaultdict[str, float] = defaultdict(float)
    journeys: defaultdict[float, float] = defaultdict(float)
    refusals = Counter[str]()
    for sample in samples:
        if sample.name == _JOURNEY:
            journeys[float(sample.labels["le"])] += sample.value
        elif sample.name == _WRITES and sample.labels["outcome"] in _REFUSED:
            refusals["{connection} {capability}".format_map(sample.labels)] += int(sample.value)
        elif counted := _counted(sample):
            sums[counted] += sample.value
    return Figures(
        journeys=dict(journeys), refusals=dict(refusals), **{name: int(value) for name, value in sums.items()}
    )


def _counted(sample: Sample) -> str:
    """Return the figure that *sample* belongs to, "" for none."""
    labels = sample.labels
    if sample.name == "o2c_events_total":
        return "events" if labels["topic"].endswith(_CHANGES) and labels["outcome"] != "forwarded" else ""
    if sample.name == _WRITES:
        return "writes" if labels["outcome"] == "confirmed" else ""
    gauges = {"o2c_lag": "lag", "o2c_findings": "findings", "o2c_parked": "parked"}
    return gauges.get(sample.name) or ("dead_letters" if sample.name == "o2c_dead_letters_total" else "")


async def ask(session: aiohttp.ClientSession, pages: Iterable[str]) -> Figures:
    """Return the figures of the roles behind *pages*; one that does not answer adds nothing."""
    texts = await asyncio.gather(*(_page(session, page) for page in pages))
    families = [family for text in texts for family in text_string_to_metric_families(_read(text))]
    return figures(sample for family in families for sample in family.samples)


def _read(page: str) -> str:
    """Return the lines that are read and say something: parsing whole pages each second costs more than it says."""
    return "".join(f"{line}\n" for line in page.splitlines() if line.startswith(_READ) and not line.endswith(" 0.0"))


async def _page(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(f"{url}/metrics", timeout=aiohttp.ClientTimeout(_SECONDS)) as reply:
            return await reply.text()
    except (aiohttp.ClientError, TimeoutError):
        return ""
