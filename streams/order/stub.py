"""Closed orders shrink to a stub: bindings and write records stay; what a late event needs is read again first."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from schemas.flow import Flow
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef
from schemas.state import Observation, OrderState
from streams.order.merge import is_gone
from streams.order.world import World

_PAID = frozenset(("paid", "overpaid", "refunded", "void"))
_SENT = frozenset(("fulfilled", "delivered", "returned"))


def expires_at(state: OrderState, public: PublicOrder, flow: Flow) -> datetime | None:
    """Return when the order becomes a stub: so long after its last change, once nothing of it is open."""
    if not flow.expire_days or public.waiting or not _over(public) or state.held:
        return None
    changes = [look.changed_at for look in state.objects.values() if look.changed_at is not None]
    changes += [record.asked_at for record in state.writes.values() if record.asked_at is not None]
    return max(changes) + timedelta(days=flow.expire_days) if changes else None


def _over(public: PublicOrder) -> bool:
    if public.life_cycle in {"closed", "cancelled"}:
        return True
    return public.financial in _PAID and public.fulfilment in _SENT


def shrunk(state: OrderState, giver: ObjectRef, now: datetime) -> OrderState:
    """Return the stub: the key-giver's object whole, of every other one only that it is there."""
    objects = {
        key: look if look.object == giver or is_gone(look) else _slim(look) for key, look in state.objects.items()
    }
    return msgspec.structs.replace(state, objects=objects, asleep=True, expired_at=now, due_at=None, conflicts=())


def _slim(look: Observation) -> Observation:
    return Observation(
        object=look.object,
        version=look.version,
        last_read=look.last_read,
        gone=look.gone,
        share=look.share,
        share_version=look.share_version,
    )


def unread(state: OrderState, world: World) -> list[ObjectRef]:
    """Return the objects of a woken stub that must be read again before anything is planned."""
    if state.expired_at is None:
        return []
    return sorted(
        look.object
        for look in state.objects.values()
        if not look.digest and not is_gone(look) and world.connection(look.object.connection) is not None
    )
