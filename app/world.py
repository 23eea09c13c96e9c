"""The configured world of the pure core, and how a producer uses it: an event goes at once to where it is folded."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from app import platforms
from app.config.model import Settings
from schemas.events import ChangeEvent
from schemas.flow import Facts
from streams.order.link import route
from streams.order.world import World

Route = Callable[[ChangeEvent], ChangeEvent]


def world(settings: Settings) -> World:
    """Return the configured world of the pure core."""
    connections = {resolved.connection.name: resolved.connection for resolved in settings.connections}
    used = {connection.platform for connection in connections.values()}
    return World(
        facts=Facts(
            connections=connections,
            flows=settings.flows,
            starts={one.connection.name: one.start_at for one in settings.connections if one.start_at is not None},
        ),
        platforms={slug: platforms.load(slug).platform for slug in used},
    )


def unseen(configured: World) -> World:
    """Return *configured* as the streams have it: no account was looked at before a connector said so."""
    facts = msgspec.structs.replace(configured.facts, unseen=frozenset(configured.facts.connections))
    return msgspec.structs.replace(configured, facts=facts)


def router(settings: Settings) -> Route:
    """Return what names the order of an event that tells it by itself.

    Its key is then that of the order, so that the record lies in the partition of the order's state and needs no
    second way over `order-facts`. The streams forward what was keyed otherwise, as other services may.
    """
    known = world(settings)

    def routed(event: ChangeEvent) -> ChangeEvent:
        order = route(event, known)
        return event if order == event.order else msgspec.structs.replace(event, order=order)

    return routed
