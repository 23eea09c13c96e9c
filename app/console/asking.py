"""One short answer per route: a view, or what is to be told to the workers. Everything is of the key's tenant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Literal

import msgspec

from app.config.model import Settings
from app.console.answers import conflict_list, one_parked, order_view, parked_list, parked_view
from app.console.refused import Refused
from app.console.standings import Standings
from app.console.telling import Message, Word, decided, paused, said, stopped
from app.console.tenant import Tenant
from app.console.views import (
    About,
    ConflictList,
    ConnectionList,
    ConnectionView,
    FlowList,
    FlowView,
    Into,
    Link,
    Orders,
    OrderView,
    ParkedList,
    ParkedView,
)
from schemas.decisions import Kind
from schemas.order_state import PublicOrder

_LARGEST_PAGE = 1_000


class Asking(msgspec.Struct, frozen=True):
    """One request after its key was checked."""

    tenant: Tenant
    by: str
    """Name of the key."""
    parts: Mapping[str, str]
    """Of the path."""
    query: Mapping[str, str]
    body: msgspec.Struct | None
    """As the route says."""
    settings: Settings
    standings: Standings

    def order(self) -> PublicOrder:
        """Return the order that the path names."""
        order = self.tenant.order(self.parts["key"])
        if order is None:
            raise Refused(404, f"There is no order {self.parts['key']}.", "Find its key by /api/orders?id=ID.")
        return order

    def page(self) -> tuple[str, int]:
        """Return where the page begins and how long it may be."""
        limit = self.query.get("limit") or "100"
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= _LARGEST_PAGE:
            raise Refused(400, f"limit is {limit!r}.", f"Write a number from 1 to {_LARGEST_PAGE}.")
        return self.query.get("after", ""), int(limit)


def _find(asking: Asking) -> Orders:
    if not (id_ := asking.query.get("id", "").strip()):
        raise Refused(400, "The parameter id is missing.", "Ask for /api/orders?id=SO-1001.")
    return Orders(orders=tuple(asking.tenant.find(id_)))


def _order(asking: Asking) -> OrderView:
    return order_view(asking.tenant, asking.order())


def _decide(kind: Kind) -> Callable[[Asking], Message]:
    """Return what takes a decision of that kind; the body or the path says what about."""

    def answer(asking: Asking) -> Message:
        about = asking.parts.get("field", "")
        if isinstance(asking.body, About):
            about = asking.body.write
        elif isinstance(asking.body, Into):
            about = asking.body.into
        return decided(asking.tenant, asking.order(), kind, about, asking.by)

    return answer


def _conflicts(asking: Asking) -> ConflictList:
    return conflict_list(asking.tenant, *asking.page())


def _parked_list(asking: Asking) -> ParkedList:
    return parked_list(asking.tenant, *asking.page())


def _parked(asking: Asking) -> ParkedView:
    object_ = one_parked(asking.tenant, asking.parts["id"])
    found = asking.tenant.parked_as(object_)
    if not found:
        raise Refused(404, f"{object_} is not parked any more.", "See `o2c parked list`.")
    return parked_view(asking.tenant, found[0])


def _say(word: Word) -> Callable[[Asking], Message]:
    def answer(asking: Asking) -> Message:
        order = asking.body.order if isinstance(asking.body, Link) else ""
        return said(asking.tenant, asking.parts["id"], word, order, asking.by)

    return answer


async def _connections(asking: Asking) -> ConnectionList:
    return await asking.standings.of(asking.tenant.name)


async def _connection(asking: Asking) -> ConnectionView:
    known = {one.connection: one for one in (await _connections(asking)).connections}
    return known[_known(asking, "connection", known)]


def _pause(*, yes: bool) -> Callable[[Asking], Message]:
    def answer(asking: Asking) -> Message:
        own = next(tenant for tenant in asking.settings.tenants if tenant.tenant == asking.tenant.name)
        return paused(_known(asking, "connection", own.connections), yes=yes)

    return answer


def _flows(asking: Asking) -> FlowList:
    return FlowList(
        flows=tuple(
            FlowView(
                flow=flow.name,
                mode=_mode(asking.tenant.fact("mode", flow.name)),
                configured=flow.mode,
                key_giver=flow.key_giver,
                targets=tuple(target.connection for target in flow.targets),
            )
            for flow in asking.settings.flows
            if flow.tenant == asking.tenant.name
        )
    )


def _mode(word: str) -> Literal["live", "shadow", "stopped"]:
    """Return the mode in force; what is no mode lets nothing be written."""
    return "live" if word == "live" else "shadow" if word == "shadow" else "stopped"


def _stop(asking: Asking) -> Message:
    return stopped(_known(asking, "flow", [flow.flow for flow in _flows(asking).flows]))


def _known(asking: Asking, kind: str, names: Collection[str]) -> str:
    name = asking.parts["name"]
    if name not in names:
        raise Refused(404, f"There is no {kind} {name}.", f"Name one of {', '.join(sorted(names)) or 'none'}.")
    return name


ANSWERS: Mapping[str, Callable[[Asking], msgspec.Struct]] = {
    "findOrders": _find,
    "getOrder": _order,
    "syncOrder": _decide("sync"),
    "retryOrder": _decide("retry"),
    "resumeOrder": _decide("resume"),
    "recreateDocument": _decide("recreate"),
    "mergeOrder": _decide("merge"),
    "revertConflict": _decide("revert"),
    "listConflicts": _conflicts,
    "listParked": _parked_list,
    "getParked": _parked,
    "linkParked": _say("link"),
    "releaseParked": _say("release"),
    "dismissParked": _say("dismiss"),
    "pauseConnection": _pause(yes=True),
    "resumeConnection": _pause(yes=False),
    "listFlows": _flows,
    "stopFlow": _stop,
}
"""By name of the route; they ask the read model, which is not done in the event loop."""
LOOKS: Mapping[str, Callable[[Asking], Awaitable[msgspec.Struct]]] = {
    "listConnections": _connections,
    "getConnection": _connection,
}
"""By name of the route; they do not ask the read model."""
