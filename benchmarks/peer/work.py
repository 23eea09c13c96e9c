"""What every worker in Python does with one event: the very same code, so that only the engines differ.

A state is MessagePack, its lines kept as the bytes they came as; KafkaStreamsJob.java does and writes the same.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, gc=False):
    """What is read of an event; the rest of it is skipped."""

    object: str
    kind: str
    version: int
    amount: int
    cancelled: bool
    lines: msgspec.Raw


class Part(msgspec.Struct, array_like=True, gc=False):
    """The newest known version of one object."""

    kind: str
    version: int
    amount: int
    cancelled: bool
    lines: bytes


class State(msgspec.Struct, array_like=True, gc=False):
    """One order."""

    status: str = "open"
    invoiced: int = 0
    paid: int = 0
    credited: int = 0
    objects: dict[str, Part] = {}


class Command(msgspec.Struct, gc=False):
    """What others are told when the totals of an order change."""

    order: str
    status: str
    invoiced: int
    paid: int
    credited: int


read_event = msgspec.json.Decoder(Event).decode
read_state = msgspec.msgpack.Decoder(State).decode
write_state = msgspec.msgpack.Encoder().encode
_write_command = msgspec.json.Encoder().encode


def merge(state: State, event: Event) -> bool:
    """Keep *event* if it is the newest version of its object; False when it changes nothing."""
    known = state.objects.get(event.object)
    if known is not None and known.version >= event.version:
        return False
    state.objects[event.object] = Part(event.kind, event.version, event.amount, event.cancelled, bytes(event.lines))
    return True


def recompute(state: State) -> bool:
    """Set totals and status from the objects; True when a total changed."""
    invoiced = paid = credited = 0
    cancelled = shipped = False
    for part in state.objects.values():
        kind = part.kind
        if kind == "order":
            cancelled = part.cancelled
        elif kind == "shipment":
            shipped = True
        elif part.cancelled:
            continue
        elif kind == "invoice":
            invoiced += part.amount
        elif kind == "payment":
            paid += part.amount
        elif kind == "credit":
            credited += part.amount
    changed = (invoiced, paid, credited) != (state.invoiced, state.paid, state.credited)
    state.invoiced, state.paid, state.credited = invoiced, paid, credited
    state.status = "cancelled" if cancelled else _status(state, shipped=shipped)
    return changed


def _status(state: State, *, shipped: bool) -> str:
    if 0 < state.invoiced <= state.paid + state.credited:
        return "settled"
    if state.paid > 0:
        return "part-paid"
    if shipped:
        return "shipped"
    return "invoiced" if state.invoiced > 0 else "open"


def command(key: bytes, state: State) -> bytes:
    """Return what others are told."""
    return _write_command(Command(key.decode(), state.status, state.invoiced, state.paid, state.credited))


def step(key: bytes, held: bytes | None, value: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the new state and the command that one event leads to, None for what does not change."""
    state = read_state(held) if held else State()
    if not merge(state, read_event(value)):
        return None, None
    told = command(key, state) if recompute(state) else None
    return write_state(state), told
