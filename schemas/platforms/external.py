"""Another service of the same company that publishes change events itself: no API, nothing is written to it.

Its order is whatever it publishes as `o2c.order.changed.v1`; see docs/other-services.md.
"""

from __future__ import annotations

from types import MappingProxyType

from schemas.facts import type_names
from schemas.platform import Auth, Consistency, Limit, Limits, Platform

PLATFORM = Platform(
    slug="external",
    title="External service",
    side="order",
    base_url="https://external.invalid",
    docs="https://cloudevents.io",
    auth=Auth(),
    limits=Limits(windows=(Limit(1, 1.0),), timeout_seconds=1.0),
    consistency=Consistency(monotonic=frozenset(type_names), settle_seconds=1.0),
    objects=MappingProxyType({name: name for name in type_names}),
    statuses=MappingProxyType({}),
    capabilities=MappingProxyType({}),
    secrets=(),
    gaps=("Nothing is written to an external service; it reads `order-states`.",),
)
