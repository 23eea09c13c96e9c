"""How a source registers its webhooks: subscriptions as values, and the talks that bring them about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

import msgspec

from app.core.talk import Talk

ALL = "*"
"""A topic that stands for every topic."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One registration at a platform: which topics go to which address."""

    key: str = ""
    """Tells the subscriptions of one address apart, "" where there is one."""
    topics: tuple[str, ...]
    address: str
    """"" while a platform that keeps one address apart from its topics has none."""
    id: str = ""
    """The platform's own, "" for what is only wanted."""
    active: bool = True
    """False once the platform or a person switched it off."""
    sound: bool = True
    """False when something but topics and address is not as o2c registers it."""
    expires_at: datetime | None = None

    def tells(self, topic: str) -> bool:
        """Say whether *topic* is told."""
        return topic in self.topics or ALL in self.topics


class Subscriber:
    """Lists, makes, changes and ends the subscriptions of one account; registering twice must be harmless."""

    def wanted(self, address: str, topics: Sequence[str]) -> tuple[Subscription, ...]:
        """Return what should be registered so that *topics* go to *address*."""
        raise NotImplementedError

    def found(self) -> Talk[list[Subscription]]:
        """Read every subscription that the credential sees, other people's included."""
        raise NotImplementedError

    def create(self, wanted: Subscription) -> Talk[str]:
        """Register, and return the signing secret where the platform shows it this once, else ""."""
        raise NotImplementedError

    def update(self, found: Subscription, wanted: Subscription) -> Talk[str]:
        """Bring *found* to *wanted*: address, missing topics, switched on, renewed; a new secret is returned."""
        raise NotImplementedError

    def delete(self, found: Subscription, topics: Sequence[str]) -> Talk[None]:
        """End *found*, where it is shared with others only its *topics*."""
        raise NotImplementedError


def same_place(one: str, other: str) -> bool:
    """Tell whether two addresses are one hook of the gateway, whatever host it answers under."""
    return _place(one) == _place(other) != ""


def _place(address: str) -> str:
    _, hooks, place = urlsplit(address).path.rstrip("/").rpartition("/hooks/")
    return place if hooks and place.count("/") == 1 else ""
