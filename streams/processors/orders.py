"""The table of orders: change events, placed facts and results in; commands, order states, binds and links out."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from app.core import topics
from schemas.broadcast import Fact
from schemas.cloudevents import decode
from schemas.commands import Command, Result
from schemas.decisions import Decision
from schemas.errors import DecodeError, misfit
from schemas.events import UNTOLD, ChangeEvent, Hint
from schemas.links import ALIKE, Alike, LinkMessage, Parked, Placed
from schemas.state import FORMAT, Handover, OrderState
from schemas.trace import derived_trace, trace_headers
from streams.engine.fold import ECHO, HEALED, TICK_TOPIC, Folded, Out, Record, count_label, wait_label
from streams.order.alike import resemblance
from streams.order.echo import echoes
from streams.order.link import fresh_binds, is_nobodys, place, route
from streams.order.merge import content_digest
from streams.order.step import Forward, Input, Seen, Stepped, Tick, step
from streams.order.world import World
from streams.processors.hot import Hot
from streams.processors.stored import Stored
from streams.processors.world import Worlds

_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_PLACED = msgspec.json.Decoder(Placed)
_RESULT = msgspec.json.Decoder(Result)
_DECISION = msgspec.json.Decoder(Decision)
_RESEMBLING = msgspec.json.Decoder(Alike)
_STATE, _HANDOVER = Stored(OrderState, FORMAT), Stored(Handover, FORMAT)
_HELD = 32 * 1024 * 1024
"""Bytes of the encoded states whose decoded form is kept; that takes three and a half times as much beside them."""
_FORWARDED = "placed"
_HANDED, _ALIKE = ("o2c-kind", b"handover"), ("o2c-kind", ALIKE)
"""Tell a hand-over, and orders that look alike, on `order-facts` from placed facts."""


class Unreadable(msgspec.Struct, frozen=True):
    """Why a record cannot be used."""

    reason: str


Decoded = tuple[str, tuple[Input, ...]] | ChangeEvent | Unreadable
"""An order and what came for it, an event for somewhere else, or nothing that can be used."""


class Orders:
    """Folds what happened to orders; every output is a function of the records, the states and the broadcast facts."""

    name = "orders"

    def __init__(self, configured: World, prefix: str = "") -> None:
        """Work with *configured* flows and platforms; *prefix* stands before every topic name."""
        self._prefix = prefix
        self._worlds = Worlds(configured)
        self._configured = configured
        self._decoded: tuple[Sequence[Record], list[Decoded]] = ((), [])
        self._hot: Hot[OrderState] = Hot(_HELD)
        inbound = (topics.CRM_CHANGES, topics.ACCOUNTING_CHANGES, topics.ORDER_FACTS, topics.RESULTS, topics.DECISIONS)
        self.topics = tuple(prefix + name for name in inbound)
        self.changelog = prefix + topics.ORDERS_CHANGELOG

    def keys(self, records: Sequence[Record]) -> list[bytes]:
        """Return the orders that *records* speak of; what was decoded is kept for the fold."""
        decoded = [self._decode(record) for record in records]
        self._decoded = records, decoded
        return [key.encode() for key in dict.fromkeys(one[0] for one in decoded if isinstance(one, tuple))]

    def _decode(self, record: Record) -> Decoded:
        if record.topic == TICK_TOPIC:
            return record.key.decode(), (Tick(),)
        try:
            return self._message(record)
        except (DecodeError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            return Unreadable(misfit(error))

    def _message(self, record: Record) -> Decoded:
        name = record.topic.removeprefix(self._prefix)
        if name == topics.ORDER_FACTS and _HANDED in record.headers:
            handover = _HANDOVER.read(record.value)
            return handover.order, (handover,)
        if name == topics.ORDER_FACTS and _ALIKE in record.headers:
            alike = _RESEMBLING.decode(record.value)
            return alike.order, (alike,)
        if name == topics.ORDER_FACTS:
            placed = _PLACED.decode(record.value)
            return placed.order, (Seen(placed.event, placed.share, placed.share_version),)
        if name == topics.RESULTS:
            result = _RESULT.decode(record.value)
            return result.order, _told_with(result)
        if name == topics.DECISIONS:
            decision = _DECISION.decode(record.value)
            return decision.order, (decision,)
        event = _told(decode(record.headers, record.value), record)
        self._check_tenant(event)
        key = route(event, self._configured)
        return (key, (Seen(event),)) if key and key.encode() == record.key else event

    def _check_tenant(self, event: ChangeEvent) -> None:
        """Raise DecodeError when *event* tells of, or hangs on, what is another tenant's."""
        for ref in (event.object, *(anchor.ref for anchor in event.anchors)):
            known = self._configured.connection(ref.connection)
            if known is not None and known.tenant != event.tenant:
                raise DecodeError(f"The connection {ref.connection} is not the tenant's that the event names.")

    def fold(
        self,
        partition: int,
        records: Sequence[Record],
        states: Mapping[bytes, bytes | None],
        now: datetime,
        broadcast: Mapping[str, Mapping[bytes, bytes]],
    ) -> Folded:
        """Merge, derive and plan once per order and batch; forward what belongs elsewhere."""
        del partition
        world = self._worlds.now(broadcast.get(self._prefix + topics.BROADCAST, {}))
        inputs: defaultdict[str, list[Input]] = defaultdict(list)
        outs: list[Out] = []
        dead: list[tuple[Record, str, str]] = []
        counts: Counter[str] = Counter()
        origins: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for record, decoded in zip(records, self._known(records), strict=True):
            if isinstance(decoded, Unreadable):
                dead.append((record, "unreadable", decoded.reason))
            elif isinstance(decoded, tuple):
                inputs[decoded[0]] += decoded[1]
                origins[decoded[0]][record.topic] += 1
            elif is_nobodys(decoded, self._configured):
                counts[f"{record.topic}/ignored"] += 1
            else:
                outs.append(self._elsewhere(decoded))
                counts[f"{record.topic}/{_FORWARDED}"] += 1
        changed: dict[bytes, bytes | None] = {}
        timers: dict[bytes, datetime | None] = {}
        waits: dict[bytes, Sequence[bytes]] = {}
        for order, found in inputs.items():
            key = order.encode()
            state = self._state(order, found, states.get(key))
            stepped = step(state, found, world, now)
            healed = _healed(state, found)
            _count(counts, state, stepped, (found, healed), origins[order])
            if not stepped.changed and Tick() in found:
                timers[key] = stepped.state.due_at
            public, stepped = _news(stepped)
            if stepped.changed:
                changed[key] = encoded = _ENCODE(stepped.state)
                self._hot.put(key, encoded, stepped.state)
            if stepped.changed and not stepped.told_again:
                timers[key] = stepped.state.due_at
                waits[key] = self._waits(stepped.state, stepped, world)
            outs += self._outs(state, stepped, world, now)
            outs += [self._untold(event) for event in healed]
            outs += self._parked(state, stepped.state, now)
            if public is not None:
                outs.append(self._shown(order, public, stepped.trace))
        return Folded(states=changed, outs=outs, dead=dead, counts=counts, timers=timers, waits=waits)

    def _known(self, records: Sequence[Record]) -> list[Decoded]:
        """Return what `keys` decoded, where it was asked about these very records last."""
        of, decoded = self._decoded
        return decoded if of is records else [self._decode(record) for record in records]

    def _state(self, key: str, inputs: Sequence[Input], stored: bytes | None) -> OrderState:
        if stored is None:
            return OrderState(key=key, tenant=_tenant(inputs))
        if (held := self._hot.get(key.encode(), stored)) is not None:
            return held
        return _STATE.read(stored)

    def _elsewhere(self, event: ChangeEvent) -> Out:
        """Forward a routed event to its order's partition, and an unrouted one to the home of its object."""
        key = route(event, self._configured)
        if key:
            placed = Placed(order=key, event=msgspec.structs.replace(event, order=key))
            return Out(self._prefix + topics.ORDER_FACTS, key.encode(), _ENCODE(placed), trace_headers(event.trace))
        return self._link(place(event, self._configured), event.trace)

    def _link(self, message: LinkMessage, trace: str = "") -> Out:
        return Out(self._prefix + topics.LINKS, message.key.encode(), _ENCODE(message), trace_headers(trace))

    def _outs(self, before: OrderState, stepped: Stepped, world: World, now: datetime) -> list[Out]:
        outs = [self._command(command) for command in stepped.commands] if not stepped.shadow else []
        hints = self._prefix + topics.HINTS
        outs += [Out(hints, hint.object.connection.encode(), _ENCODE(hint)) for hint in stepped.hints]
        outs += [self._forward(one) for one in stepped.forwards]
        if not stepped.changed or stepped.told_again:
            return outs
        told = resemblance(before, stepped.state, world, now)
        outs += [] if told is None else [self._link(told)]
        return outs + [self._link(bind) for bind in fresh_binds(before, stepped.state, world)]

    def _untold(self, event: ChangeEvent) -> Out:
        """Say that a sweep found what nobody had told: the owner looks whether webhooks tell anything at all."""
        hint = Hint(tenant=event.tenant, object=event.object, reason=UNTOLD, trace=event.trace, told_at=event.told_at)
        return Out(self._prefix + topics.HINTS, hint.object.connection.encode(), _ENCODE(hint))

    def _parked(self, before: OrderState, after: OrderState, now: datetime) -> list[Out]:
        """List the documents that a person must look at, and strike out those of which that is over."""
        outs = []
        for key in after.disputed:
            if key not in before.disputed:
                ref = after.objects[key].object
                parked = Parked(object=ref, tenant=after.tenant, anchors=(), since=now, order=after.key)
                outs.append(Out(self._prefix + topics.PARKED, key.encode(), _ENCODE(parked)))
        over = [key for key in before.disputed if key not in after.disputed]
        return outs + [Out(self._prefix + topics.PARKED, key.encode(), None) for key in over]

    def _shown(self, key: str, public: bytes, trace: str) -> Out:
        return Out(self._prefix + topics.ORDER_STATES, key.encode(), public, trace_headers(trace))

    def _forward(self, one: Forward) -> Out:
        """Send what an alias was given to the order that it is one with."""
        prefix = self._prefix
        if isinstance(one, Seen):
            order, event = one.event.order, one.event
            placed = Placed(order=order, event=event, share=one.share, share_version=one.share_version)
            return Out(prefix + topics.ORDER_FACTS, order.encode(), _ENCODE(placed), trace_headers(event.trace))
        if isinstance(one, Handover):
            return Out(prefix + topics.ORDER_FACTS, one.order.encode(), _ENCODE(one), (_HANDED,))
        topic = topics.RESULTS if isinstance(one, Result) else topics.DECISIONS
        return Out(prefix + topic, one.order.encode(), _ENCODE(one))

    def _command(self, command: Command) -> Out:
        key, headers = command.connection.encode(), trace_headers(command.trace)
        return Out(self._prefix + topics.COMMANDS, key, _ENCODE(command), headers)

    def _waits(self, state: OrderState, stepped: Stepped, world: World) -> list[bytes]:
        """Wait for the end of an outage, a first look at an account, a change of the flow's mode, a backfill.

        The order is counted under every finding.
        """
        topic = self._prefix + topics.BROADCAST
        down = {record.connection for record in state.writes.values() if record.outcome == "deferred"}
        labels = [wait_label(topic, f"up/{name}".encode()) for name in sorted(down)]
        if stepped.public is not None:
            labels.append(wait_label(topic, f"mode/{stepped.public.flow}".encode()))
            codes = sorted({one.code for one in stepped.public.findings})
            labels += [count_label("findings", code) for code in codes]
            labels += self._starts(stepped.public.flow, world) if "before_start" in codes else []
            unseen = {one.subject for one in stepped.public.findings if one.code == "unseen_account"}
            labels += [wait_label(topic, self._start(name, world)) for name in sorted(unseen)]
        return labels

    def _starts(self, flow: str, world: World) -> list[bytes]:
        """Return what may let an order be written that is too old by now."""
        topic, known = self._prefix + topics.BROADCAST, world.facts
        begun = [self._start(name, world) for name in known.starts if name in known.connections]
        return [wait_label(topic, name) for name in (f"backfill/{flow}".encode(), *sorted(begun))]

    def _start(self, name: str, world: World) -> bytes:
        connection = world.facts.connections[name]
        return Fact(kind="start", subject=f"{name}@{connection.account}").key


def _count(
    counts: Counter[str],
    before: OrderState,
    stepped: Stepped,
    taken: tuple[Sequence[Input], Sequence[ChangeEvent]],
    origins: Mapping[str, int],
) -> None:
    """Add what is to be counted of a step, by label: of its inputs and of what sweeps healed.

    *origins* tells how many records came of each topic.
    """
    inputs, healed = taken
    outcome = "applied" if stepped.changed else "duplicate"
    for topic, count in origins.items():
        counts[f"{topic}/{outcome}"] += count
    for event in healed:
        counts[f"{event.object.connection}/{HEALED}"] += 1
    for label in _echoed(before, stepped.state, inputs):
        counts[label] += 1


def _healed(state: OrderState, inputs: Sequence[Input]) -> list[ChangeEvent]:
    """Return the looks that a sweep brought and that show what nobody told before."""
    healed: list[ChangeEvent] = []
    if not any(isinstance(one, Seen) and one.event.origin == "sweep" for one in inputs):
        return healed
    shown = {key: look.digest for key, look in state.objects.items()}
    for one in inputs:
        if isinstance(one, Seen):
            key, digest = one.event.object.key, content_digest(one.event)
            if one.event.origin == "sweep" and shown.get(key) != digest:
                healed.append(one.event)
            shown[key] = digest
    return healed


def _echoed(before: OrderState, after: OrderState, inputs: Sequence[Input]) -> Iterator[str]:
    """Yield a count for each look that showed nothing but what we had written."""
    if after.writes:
        for source, system in echoes(before, after, (one.event for one in inputs if isinstance(one, Seen))):
            yield f"{source}>{system}/{ECHO}"


def _news(stepped: Stepped) -> tuple[bytes | None, Stepped]:
    """Return what is shown of the order where that is news, and the step that remembers what was shown last."""
    if not stepped.changed or stepped.public is None:
        return None, stepped
    shown = _ENCODE(stepped.public)
    digest = hashlib.blake2b(shown, digest_size=8).hexdigest()
    if digest == stepped.state.shown:
        return None, stepped
    return shown, msgspec.structs.replace(stepped, state=msgspec.structs.replace(stepped.state, shown=digest))


def _told_with(result: Result) -> tuple[Input, ...]:
    """Return *result* and then what the system showed: who sees a value must know by then what was sent."""
    if not result.events:
        return (result,)
    return (msgspec.structs.replace(result, events=()), *(Seen(event) for event in result.events))


def _told(event: ChangeEvent, record: Record) -> ChangeEvent:
    """Return *event* with a trace and the time at which it was told; another service's record has its time stamp."""
    if event.told_at is not None and event.trace:
        return event
    trace = event.trace or derived_trace(f"{record.topic}/{record.partition}/{record.offset}")
    stamped = datetime.fromtimestamp(record.timestamp / 1000, UTC) if record.timestamp > 0 else None
    return msgspec.structs.replace(event, trace=trace, told_at=event.told_at or stamped)


def _tenant(inputs: Sequence[Input]) -> str:
    for one in inputs:
        if isinstance(one, Seen):
            return one.event.tenant
        if isinstance(one, (Result, Decision)):
            return one.tenant
        if isinstance(one, Handover):
            return one.state.tenant
    return ""
