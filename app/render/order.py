"""From a canonical order to the requests: planned by the pure core, step by step as results come in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from app import platforms
from app.core.errors import ConfigError, DecodeError
from app.render.recording import Rendered
from app.render.studio import Studio, studio
from schemas.connection import Connection
from schemas.events import ChangeEvent
from schemas.facts import Facts, Order
from schemas.flow import Facts as Known
from schemas.flow import Flow, Target
from schemas.platform import Platform
from schemas.refs import ObjectRef, order_key
from schemas.state import OrderState
from streams.order.step import Input, Seen, step
from streams.order.world import World

_TENANT, _GIVER, _ACCOUNT = "local", "orders", "local"
_ROUNDS = 50


class Outcome(msgspec.Struct, frozen=True):
    """The requests in the order they left, and why something was not written, one sentence each."""

    sent: tuple[Rendered, ...]
    refused: tuple[str, ...]


def default_target(platform: Platform, connection: str, allow: tuple[str, ...] = ()) -> Target:
    """Return what `o2c init` makes of a platform: it keeps the orders where it can, else it bills them."""
    keeps = "upsert_order" in platform.capabilities
    bills = "upsert_invoice" in platform.capabilities and not keeps
    return Target(connection=connection, order=keeps, document="invoice" if bills else "none", allow=allow)


def read_events(text: bytes) -> list[ChangeEvent]:
    """Return the change events in *text*, facts or events as JSON or JSON lines; DecodeError tells the line.

    Hints, as `o2c parse` prints them among events, are passed over.
    """
    found: list[ChangeEvent] = []
    for number, value in enumerate(_values(text), start=1):
        try:
            read = msgspec.json.decode(value) if isinstance(value, bytes) else value
            if not (isinstance(read, dict) and read.get("kind") == "hint"):
                found.append(_event(read, number))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(
                f"Line {number} is neither facts nor a change event ({error}); see schemas/generated."
            ) from error
    return found


def _values(text: bytes) -> Sequence[object]:
    """Return the values of a JSON text, or the lines of one that is no JSON as a whole."""
    try:
        whole = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [line for line in text.splitlines() if line.strip()]
    return whole if isinstance(whole, list) else [whole]


def _event(value: object, number: int) -> ChangeEvent:
    if not isinstance(value, dict):
        raise msgspec.ValidationError("Expected an object")
    if "object" in value:
        return msgspec.convert(value, ChangeEvent, strict=False)
    facts = msgspec.convert({"type": "order", **value}, Facts, strict=False)
    kind = type(facts).__name__.lower()
    id_ = (facts.number if isinstance(facts, Order) else "") or str(number)
    return ChangeEvent(tenant=_TENANT, object=ObjectRef(_GIVER, _ACCOUNT, kind, id_), facts=facts)


async def render(
    slug: str, events: Sequence[ChangeEvent], allow: tuple[str, ...] = (), like: Connection | None = None
) -> Outcome:
    """Return what the sink of *slug* sends for the order in *events*, mapped as *like* says; its sandbox answers."""
    giver = next((event for event in events if isinstance(event.facts, Order)), None)
    if giver is None:
        raise DecodeError("There is no order among the facts; give one, of type order.")
    async with studio(slug, like) as bench:
        world = _world(slug, bench.connection, giver, events, allow)
        refused = [reason async for reason in _planned(bench, world, giver, events)]
        return Outcome(tuple(bench.recorder.sent), tuple(refused))


def _world(
    slug: str, target: Connection, giver: ChangeEvent, events: Iterable[ChangeEvent], allow: tuple[str, ...]
) -> World:
    platform = platforms.load(slug).platform
    if unknown := sorted(set(allow) - set(platform.capabilities)):
        raise ConfigError(f"{platform.title} cannot {unknown[0]}; it can {', '.join(sorted(platform.capabilities))}.")
    connections = {target.name: target}
    for event in events:
        name = event.object.connection
        kind = name if name in platforms.slugs() else "external"
        connections[name] = Connection(name=name, tenant=giver.tenant, platform=kind, account=event.object.account)
    flow = Flow(
        name="rendered",
        tenant=giver.tenant,
        key_giver=giver.object.connection,
        order_type=giver.object.type,
        targets=(default_target(platform, target.name, allow),),
        mode="live",
    )
    known = {name: platforms.load(name).platform for name in {one.platform for one in connections.values()}}
    return World(facts=Known(connections=connections, flows=(flow,)), platforms=known)


async def _planned(
    bench: Studio, world: World, giver: ChangeEvent, events: Sequence[ChangeEvent]
) -> AsyncIterator[str]:
    """Deliver what is planned until nothing is left; yield what was refused or kept from being planned."""
    state = OrderState(key=order_key(giver.tenant, giver.object), tenant=giver.tenant)
    stepped = step(state, [Seen(event) for event in events], world, datetime.now(UTC))
    for _ in range(_ROUNDS):
        inputs: list[Input] = []
        for command in stepped.commands:
            result = await bench.deliver(command)
            inputs += [result, *(Seen(event) for event in result.events)]
            if result.outcome != "confirmed":
                yield f"{command.capability} is {result.outcome}: {result.reason}"
        if not inputs:
            break
        stepped = step(stepped.state, inputs, world, datetime.now(UTC))
    findings = stepped.public.findings if stepped.public else ()
    for finding in findings:
        if finding.severity == "block":
            yield f"{finding.message.rstrip('.')}; {finding.next_step}."
