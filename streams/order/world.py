"""What the pure core is told about the world, as one value."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from schemas.connection import Connection
from schemas.flow import Facts, Flow
from schemas.platform import Platform
from schemas.refs import ObjectRef, order_key
from schemas.state import Observation, OrderState
from streams.order.once import once


class World(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Configuration and broadcast facts, and the platforms by slug; what follows from them alone is found once."""

    facts: Facts
    platforms: Mapping[str, Platform]

    def connection(self, name: str) -> Connection | None:
        """Return a configured connection."""
        return self.facts.connections.get(name)

    def platform(self, connection: str) -> Platform | None:
        """Return the platform behind a connection."""
        return self._behind.get(connection)

    @once
    def _behind(self) -> dict[str, Platform | None]:
        return {name: self.platforms.get(known.platform) for name, known in self.facts.connections.items()}

    def shown(self, connection: str, capability: str) -> frozenset[str] | None:
        """Return the fields of *capability* that a connection stores and shows again; None where nothing is said."""
        place = (connection, capability)
        if place not in self._fields:
            known, platform = self.connection(connection), self.platform(connection)
            if known is None or platform is None:
                return None
            self._fields[place] = platform.shown(capability, known.options)
        return self._fields[place]

    def kept(self, connection: str, capabilities: tuple[str, ...]) -> frozenset[str]:
        """Return the fields that a connection stores and shows again by any of *capabilities*."""
        place = (connection, capabilities)
        if place not in self._kept:
            shown = (self.shown(connection, capability) or () for capability in capabilities)
            self._kept[place] = frozenset[str]().union(*shown)
        return self._kept[place]

    @once
    def taking_part(self) -> dict[tuple[str, str, bool], tuple[Flow, tuple[str, ...]]]:
        """Return in which shared fields objects take part: by flow, connection, and whether one gives the key."""
        return {}

    @once
    def _kept(self) -> dict[tuple[str, tuple[str, ...]], frozenset[str]]:
        return {}

    @once
    def _fields(self) -> dict[tuple[str, str], frozenset[str] | None]:
        return {}

    @once
    def _giving_flows(self) -> dict[tuple[str, str, str], Flow | None]:
        return {}

    def mode(self, flow: Flow) -> str:
        """Return the mode in force: what was set at run time, else the configuration's."""
        return self.facts.modes.get(flow.name, flow.mode)

    def canonical(self, ref: ObjectRef) -> str:
        """Return order, invoice, ... for an object of a configured connection, "" for an unknown one."""
        platform = self.platform(ref.connection)
        return "" if platform is None else platform.objects.get(ref.type, "")

    def flow_of(self, tenant: str, ref: ObjectRef) -> Flow | None:
        """Return the flow whose orders are objects like *ref*."""
        for flow in self.facts.flows:
            if flow.tenant == tenant and flow.key_giver == ref.connection and self._is_order(flow, ref):
                return flow
        return None

    def _is_order(self, flow: Flow, ref: ObjectRef) -> bool:
        """Tell whether *ref* is an order, or of the type that the flow takes for one, as Stripe's invoices."""
        kind = self.canonical(ref)
        return (
            flow.order_type == ref.type if kind == "invoice" else kind == "order" and flow.order_type in ("", ref.type)
        )

    def key_giver(self, state: OrderState) -> tuple[Flow, Observation] | None:
        """Return the flow of an order and the object that gave it its key, once it was seen."""
        for look in state.objects.values():
            flow = self._giving(state.tenant, look.object)
            if flow is not None and order_key(state.tenant, look.object) == state.key:
                return flow, look
        return None

    def _giving(self, tenant: str, ref: ObjectRef) -> Flow | None:
        kind = (tenant, ref.connection, ref.type)
        if kind not in self._giving_flows:
            self._giving_flows[kind] = self.flow_of(tenant, ref) or self.orphan_flow(tenant, ref)
        return self._giving_flows[kind]

    def orphan_flow(self, tenant: str, ref: ObjectRef) -> Flow | None:
        """Return the flow in which an accounting entry like *ref* becomes an order when it has none."""
        if self.canonical(ref) != "invoice":
            return None
        for flow in self.facts.flows:
            heard = any(target.connection == ref.connection for target in flow.targets)
            if flow.tenant == tenant and flow.orphan == "create_order" and heard:
                return flow
        return None
