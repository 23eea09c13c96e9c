"""One target with everything that decides what it should show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from schemas.commands import Pair
from schemas.connection import Connection
from schemas.facts import Invoice, Order
from schemas.flow import Target
from schemas.money import text
from schemas.platform import Effect, Platform
from schemas.projection import project
from schemas.refs import ObjectRef
from schemas.state import Observation, OrderState, WriteRecord
from streams.order.derive import Derived
from streams.order.merge import hides, is_gone
from streams.order.once import once
from streams.order.plan.want import write_key

_RECORDS = Effect.RECORDS
_DEAD = frozenset(("void", "cancelled"))
_MONEY_THERE = frozenset[str | None](("confirmed", "uncertain"))
_MONEY_STARTED = _MONEY_THERE | {None}
AMOUNTS = ("payable_amount", "lines")
IN_FLIGHT = frozenset[str | None]((None, "uncertain"))
"""What is known of a write that was asked for and is not answered."""
_ON_ITS_WAY = IN_FLIGHT | {"deferred"}
_OPEN = frozenset[str | None](("uncertain", "deferred", "stale", None))


class Desk(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One target with everything that decides what it should show; what is derived from it is derived once."""

    state: OrderState
    derived: Derived
    target: Target
    connection: Connection
    platform: Platform
    closed: date | None = None
    """The last day of the ledger's closed periods."""
    replaced: int = 0
    """How many documents were replaced by a later one."""

    @once
    def name(self) -> str:
        """Return the connection's name."""
        return self.connection.name

    @once
    def looks(self) -> Sequence[Observation]:
        """Return what was seen of the order in this system."""
        name = self.name
        return [look for look in self.state.objects.values() if look.object.connection == name]

    @once
    def records(self) -> Sequence[WriteRecord]:
        """Return what was asked for in this system."""
        name = self.name
        return [record for record in self.state.writes.values() if record.connection == name]

    def can(self, capability: str) -> bool:
        """Tell whether the platform has the capability and the flow allows what it does in the world."""
        effect = self.platform.capabilities.get(capability)  # type: ignore[call-overload]  # any word may be asked
        return effect is _RECORDS or (effect is not None and capability in self.target.allow)

    def stage(self, word: str) -> str | None:
        """Return the system's own word for ours, None where it has none."""
        return self.connection.stages.get(word, self.platform.stages.get(word))

    def record(self, key: str) -> WriteRecord | None:
        """Return the write record of *key*."""
        return self.state.writes.get(key)

    def done(self, key: str) -> bool:
        """Tell whether what was written once and for all is there and confirmed: nothing more can come of it."""
        record = self.state.writes.get(key)
        return record is not None and record.bound is not None and record.outcome == "confirmed"

    def in_flight(self, key: str) -> bool:
        """Tell whether something was asked for and is not answered."""
        record = self.state.writes.get(key)
        return record is not None and record.outcome in IN_FLIGHT

    def bound(self, key: str) -> ObjectRef | None:
        """Return the object that a write is bound to."""
        record = self.state.writes.get(key)
        return None if record is None else record.bound

    @once
    def own(self) -> bool:
        """Tell whether this system gave the order its key."""
        giver = self.derived.giver
        return giver.object.connection == self.name and isinstance(giver.facts, Order)

    @once
    def order_ref(self) -> ObjectRef | None:
        """Return the order's object in this system: the key-giver's own, our copy, or one that a person made."""
        if self.own:
            return self.derived.giver.object
        return self.bound(write_key(self.name, "order")) or self.adopted_copy

    @once
    def adopted_copy(self) -> ObjectRef | None:
        """Return the order that a person typed here a second time and that is this one; none is written beside it."""
        return self._chosen(self.their_copies)

    @once
    def disputed_copies(self) -> tuple[Observation, ...]:
        """Return the orders that people typed here of which nobody can tell whether they are this one."""
        return self.their_copies if self.adopted_copy is None else ()

    @once
    def their_copies(self) -> tuple[Observation, ...]:
        """Return the living orders here that people made and that name this one; empty once a copy of ours is there."""
        if self.own or not self.target.order or self.bound(write_key(self.name, "order")) is not None:
            return ()
        return self._made_by_people(Order, self.looks)

    @once
    def keeps_order(self) -> bool:
        """Tell whether an order is written here: the key-giver's own, or our copy."""
        if not ((self.target.order or self.own) and self.can("upsert_order")) or self.their_copies:
            return False
        return self.own or self.order_ref is not None or not (self.derived.cancelled or self._too_early)

    @property
    def _too_early(self) -> bool:
        """Tell whether the order may not be shown here yet: a draft only where there is a word for it."""
        return self.derived.public.life_cycle == "draft" and self.stage("draft") is None

    @once
    def order_beside(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """Return what a document here waits for and names: the order, in a system that keeps both."""
        if not self.can("upsert_order"):
            return (), {}
        order, waits = self.order_ref, self.keeps_order and not self.own and self.adopted_copy is None
        look = self.state.objects.get(order.key) if order is not None else None
        there = order is not None and not (look is not None and is_gone(look))
        return (write_key(self.name, "order"),) if waits else (), {"order": order.id} if order and there else {}

    @once
    def parent(self) -> tuple[tuple[str, ...], dict[str, str]] | None:
        """Return what a payment, credit or shipment hangs on here: (write records to wait for, links)."""
        if self.target.document != "none":
            if self.ended or self.voiding:
                return None
            document, (waits, links) = self.document, self.order_beside
            links = links | ({"invoice": document.id} if document else {})
            return (waits if self.adopted else (*waits, self.document_key)), links
        order = self.order_ref
        waits = () if self.own or self.adopted_copy else (write_key(self.name, "order"),)
        if order is None and not self.target.order:
            return None
        return waits, {"order": order.id} if order else {}

    @once
    def money_entity(self) -> str:
        """Return what money, credits and parcels change here, one at a time: the document, else the order."""
        kind = "document" if self.target.document != "none" else "order"
        return f"{kind}:{self.state.key}"

    @once
    def document_key(self) -> str:
        """Return the write record of the newest document that bills the order here."""
        return self.document_at(self.replaced)

    def document_at(self, number: int) -> str:
        """Return the write record of the document that replaced *number* others."""
        return _document_at(self.name, number)

    @once
    def document(self) -> ObjectRef | None:
        """Return the document that bills the order here: ours, else one that a person made and that is adopted."""
        return self.bound(self.document_key) or self.adopted

    @once
    def adopted(self) -> ObjectRef | None:
        """Return the document that a person made here and that bills the order; none is written beside it.

        It is the only one and bills what the order says, or a person said that it is it, or money of ours hangs on it.
        """
        return self._chosen(self.theirs)

    @once
    def disputed(self) -> tuple[Observation, ...]:
        """Return the documents of people of which nobody can tell whether they bill the order: a person says it."""
        return self.theirs if self.adopted is None else ()

    @once
    def theirs(self) -> tuple[Observation, ...]:
        """Return the living documents here that people made and that name the order, but those of which they took it.

        Empty once a document of ours is there.
        """
        if self.bound(self.document_at(0)) is not None:
            return ()
        return self._made_by_people(Invoice, self.looks)

    @once
    def beside(self) -> tuple[Observation, ...]:
        """Return the living documents of people that name the order beside one of ours: somebody bills it twice."""
        if self.bound(self.document_at(0)) is None or self.ended or self.target.document == "none":
            return ()
        found = self._made_by_people(Invoice, [look for look in self.looks if not look.mirror_of])
        if not found:
            return ()
        bound = {record.bound.key for record in self.state.writes.values() if record.bound is not None}
        return tuple(look for look in found if look.object.key not in bound)

    def _made_by_people(self, kind: type[Invoice | Order], among: Iterable[Observation]) -> tuple[Observation, ...]:
        found = [look for look in among if isinstance(look.facts, kind) and self._is_theirs(look)]
        return tuple(sorted(found, key=lambda look: look.object)) if found else ()

    def _is_theirs(self, look: Observation) -> bool:
        if look.object.account != self.connection.account:
            return False
        living = not is_gone(look) and look.share != "0" and getattr(look.facts, "status", "") not in _DEAD
        ours = look.object.key in self._past or (isinstance(look.facts, Order) and bool(look.mirror_of))
        return living and not ours and self.state.said_of.get(look.object.key) is not False

    def _chosen(self, theirs: tuple[Observation, ...]) -> ObjectRef | None:
        if not theirs:
            return None
        if said := [look.object for look in theirs if self.state.said_of.get(look.object.key)]:
            return min(said)
        alone = len(theirs) == 1 and self._agrees(theirs[0])
        return theirs[0].object if alone or self._hung_on else None

    def _agrees(self, look: Observation) -> bool:
        """Tell whether a document or an order is over the same amount; a copy without any says nothing else."""
        order, facts = self.derived.order, look.facts
        total = facts.payable_amount if isinstance(facts, Invoice | Order) else None
        if look.object == self.derived.giver.object or total is None or not isinstance(facts, Invoice | Order):
            return True
        same = text(total, order.currency) == text(self.derived.payable, order.currency)
        return facts.currency == order.currency and same

    @once
    def _hung_on(self) -> bool:
        hanging = tuple(write_key(self.name, what) for what in ("payment", "credit", "refund"))
        return any(record.key.startswith(hanging) and record.bound for record in self.records)

    @once
    def _past(self) -> frozenset[str]:
        """Return what we made before it was undone and made anew: nobody else's document."""
        return frozenset(key for record in self.state.writes.values() for key in record.past)

    @once
    def paid_by_itself(self) -> bool:
        """Tell whether the document here is a sales receipt: it is its own payment, and none may be put on it."""
        ref = self.document
        look = None if ref is None else self.state.objects.get(ref.key)
        if look is not None and isinstance(look.facts, Invoice):
            return look.facts.document == "sales_receipt"
        return self.target.document == "sales_receipt"

    @once
    def ended(self) -> bool:
        """Tell whether the document was deleted or voided there: then nothing is hung on it, nor is it made anew."""
        ref = self.document
        look = None if ref is None else self.state.objects.get(ref.key)
        return look is not None and (is_gone(look) or (isinstance(look.facts, Invoice) and look.facts.status in _DEAD))

    @once
    def void_key(self) -> str:
        """Return the write record of the void of the document here."""
        ref = self.document
        return write_key(self.name, "void", ref.key if ref is not None else "")

    @once
    def voiding(self) -> bool:
        """Tell whether a void was asked for and not refused: nothing more is hung on the document."""
        record = self.record(self.void_key)
        return self.making_room or (record is not None and not record.stopped)

    @once
    def room_key(self) -> str:
        """Return the write record of the void of the newest document, where amounts are fixed."""
        return self.room_at(self.replaced + 1)

    def room_at(self, number: int) -> str:
        """Return the write record of the void that made room for document *number*."""
        return write_key(self.name, "room", str(number))

    @once
    def making_room(self) -> bool:
        """Tell whether that void was asked for: the next document follows, whatever the order says by then.

        Where the document was paid before the void came, it is `stale` or refused, and the document stays.
        """
        record = self.record(self.room_key)
        if record is None or record.stopped:
            return False
        return record.bound is not None or record.outcome in _ON_ITS_WAY

    @once
    def is_open(self) -> bool:
        """Tell whether the document is of an open period."""
        ref = self.document
        look = None if ref is None else self.state.objects.get(ref.key)
        day = look.facts.issue_date if look is not None and isinstance(look.facts, Invoice) else None
        return self.closed is None or (day is not None and day > self.closed)

    @once
    def frozen(self) -> bool:
        """Tell whether the document may not change its amounts: money or a credit hangs on it, or the order ended."""
        started = bool(self._money & _MONEY_STARTED) and not self.correcting
        return started or self._paid_there or self.derived.cancelled

    @once
    def fixed(self) -> bool:
        """Tell whether the document may not change its amounts, or cannot."""
        return self.frozen or self.platform.fixed_amounts

    @once
    def correcting(self) -> bool:
        """Tell whether amounts were asked of the document and not answered, and no money is there yet.

        What money was asked for waits behind them in the system's queue, so they are no edit after payment.
        """
        record = self.record(self.document_key)
        asked = record is not None and record.bound is not None and "payable_amount" in record.asked
        return asked and record is not None and record.outcome in _OPEN and not self._money & _MONEY_THERE

    @once
    def _money(self) -> frozenset[str | None]:
        """Return what came of the payments and credits that were asked for here."""
        hanging = (write_key(self.name, "payment"), write_key(self.name, "credit"))
        return frozenset(one.outcome for one in self.records if one.key.startswith(hanging))

    @once
    def _paid_there(self) -> bool:
        ref = self.document
        look = None if ref is None else self.state.objects.get(ref.key)
        return look is not None and isinstance(look.facts, Invoice) and bool(look.facts.paid_amount)


def _document_at(connection: str, number: int) -> str:
    return f"{connection}|document|{number}" if number else f"{connection}|document"


def replaced(state: OrderState, connection: str) -> int:
    """Return how many of our documents in a system were replaced by a later one."""
    number = 0
    while (record := state.writes.get(_document_at(connection, number + 1))) is not None and record.bound is not None:
        number += 1
    return number


def shown(state: OrderState, ref: ObjectRef | None, record: WriteRecord | None) -> Mapping[str, str] | None:
    """Return the fields that an object shows, as far as our last write to it is known.

    What was not looked at since we wrote it shows what the write made; None where nothing is known, or it is gone.
    """
    look = state.objects.get(ref.key) if ref is not None else None
    if look is None and ref is not None and record is not None and record.bound == ref and record.base:
        return {name: pair.made for name, pair in record.base.items()}
    if look is None or is_gone(look):
        return None
    fields = project(look.facts)
    if record is None or look.last_read >= record.look:
        return fields
    return {**fields, **{name: pair.made for name, pair in record.base.items() if hides(record, name, look)}}


def equal(wanted: str, there: str, base: Pair | None) -> bool:
    """Tell whether a system shows what is wanted, or made it of exactly what is wanted."""
    return wanted == there or (base is not None and base.sent == wanted and base.made == there)


@lru_cache(maxsize=8192)
def book_date(moment: datetime | None, zone: str) -> date | None:
    """Return the day of *moment* in the ledger company's zone."""
    return None if moment is None else moment.astimezone(ZoneInfo(zone)).date()
