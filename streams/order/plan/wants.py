"""What each target of a flow should show of an order."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from schemas.facts import Credit, Order, Payment, Shipment
from schemas.findings import Finding
from schemas.money import ZERO
from schemas.projection import digest
from schemas.refs import ObjectRef
from schemas.state import Observation, WriteRecord
from streams.order.derive.money import Counted
from streams.order.derive.status import HEADLINES
from streams.order.merge import is_gone
from streams.order.once import kept
from streams.order.plan.dating import paid_on
from streams.order.plan.desk import Desk
from streams.order.plan.documents import documents, is_hung_on, whole_note
from streams.order.plan.endings import ending
from streams.order.plan.notes import notes
from streams.order.plan.reversing import reversals, voided_credits
from streams.order.plan.taxing import taxed
from streams.order.plan.unapplied import applications, came_and_went
from streams.order.plan.want import Want, write_key

_ENDS = frozenset(("cancelled", "void"))
_FULL = frozenset(("paid", "overpaid", "refunded"))
_PART = frozenset(("partially_paid", "partially_refunded", "paid"))
_TRACKED = ("carrier", "tracking")
"""What of a parcel is known or put right later. Where it is, is not told again: some systems mail the customer."""
_TAKEN_BACK = frozenset(("failed", "cancelled", "reversed", "void", "returned"))


def wants(desk: Desk) -> Iterator[Want]:
    """Yield what the target should show, parents before what hangs on them."""
    yield from _order(desk)
    yield from documents(desk)
    if is_hung_on(desk):
        yield from _hanging(desk)
    yield from _status(desk)


def _hanging(desk: Desk) -> Iterator[Want]:
    """Yield what hangs on the document, or on the order where there is none."""
    yield from _payments(desk)
    yield from applications(desk)
    yield from _credits(desk)
    yield from voided_credits(desk)
    yield from _shipments(desk)
    yield from notes(desk)


def _canonical(desk: Desk) -> str:
    return desk.derived.giver.object.key


def _order(desk: Desk) -> Iterator[Want]:
    own = desk.own
    if not desk.keeps_order:
        return
    yield Want(
        write=write_key(desk.name, "order"),
        connection=desk.name,
        capability="upsert_order",
        kind="create",
        canonical=_canonical(desk),
        entity=f"order:{desk.state.key}",
        facts=kept(_headed, desk.derived.order, desk.derived.public.headline),
        bound=desk.derived.giver.object if own else None,
        shared=desk.target.fields if own else (*desk.target.fields, "payable_amount", "lines", "currency"),
    )


def _headed(order: Order, headline: str) -> Order:
    return msgspec.structs.replace(order, headline=headline)


def _payments(desk: Desk) -> Iterator[Want]:
    if not (desk.target.payments and desk.can("record_payment")):
        return
    counted = {one.key: one for one in desk.derived.payments if one.look.object.connection != desk.name}
    if _is_advance(desk):
        for one in counted.values():
            if not came_and_went(desk) or desk.record(write_key(desk.name, "payment", one.key)) is not None:
                yield _advance(desk, one)
    elif (parent := desk.parent) is not None and not (desk.target.document != "none" and desk.paid_by_itself):
        for one in counted.values():
            if not desk.done(write_key(desk.name, "payment", one.key)):
                yield _payment(desk, one, parent)
    yield from reversals(desk, counted)


def _payment(desk: Desk, one: Counted, parent: tuple[tuple[str, ...], dict[str, str]]) -> Want:
    facts = one.look.facts
    if not isinstance(facts, Payment):
        raise TypeError(one.key)
    return Want(
        write=write_key(desk.name, "payment", one.key),
        connection=desk.name,
        capability="record_payment",
        kind="append",
        canonical=f"{one.key}+{_canonical(desk)}",
        entity=desk.money_entity,
        facts=msgspec.structs.replace(
            facts, amount=one.amount, date=paid_on(desk, facts), fee=None, allocations=(), customer=None
        ),
        after=parent[0],
        links=parent[1],
        source=one.look,
    )


def _is_advance(desk: Desk) -> bool:
    """Tell whether money belongs to the customer's account: no document here will bill the order as it is."""
    if desk.target.document == "none" or not desk.platform.advance_payments:
        return False
    unbilled = desk.derived.payable <= ZERO or desk.derived.cancelled
    return unbilled and desk.document is None and desk.record(desk.document_key) is None


def _advance(desk: Desk, one: Counted) -> Want:
    want = _payment(desk, one, ((), {}))
    if not isinstance(want.facts, Payment):
        raise TypeError(one.key)
    return msgspec.structs.replace(
        want, facts=msgspec.structs.replace(want.facts, customer=desk.derived.order.customer)
    )


def _credits(desk: Desk) -> Iterator[Want]:
    if desk.target.document == "none":
        yield from _credits_of_order(desk)
        return
    if not desk.derived.credits and not desk.derived.cancelled:
        return
    if not (desk.target.credits and desk.can("issue_credit")) or desk.document is None or desk.ended:
        return
    if desk.voiding:
        yield from ending(desk, [], (), {})
        return
    foreign = [one for one in desk.derived.credits if one.look.object.connection != desk.name]
    if not foreign and not desk.derived.cancelled:
        return
    links = {"invoice": desk.document.id, **_paid_by(desk)}
    paid = tuple(want.write for want in _payments(desk) if want.capability == "record_payment")
    before = paid if desk.adopted else (desk.document_key, *paid)
    whole = whole_note(desk)
    cancelled = desk.record(whole) is not None
    straight = [one for one in foreign if _is_straight(desk, one, cancelled=cancelled)]
    noted = [one for one in foreign if not cancelled or desk.record(write_key(desk.name, "credit", one.key))]
    noted = [one for one in noted if one not in straight]
    for one in noted:
        yield from _credit(desk, one, before, links)
    yield from ending(desk, [*noted, *straight], before, links)
    for one in straight:
        yield from _refund(desk, one, before, links)
    for one in foreign:
        if one not in straight:
            note = write_key(desk.name, "credit", one.key) if one in noted else whole
            yield from _refund(desk, one, (*before, note), links, note=desk.bound(note))


def _credits_of_order(desk: Desk) -> Iterator[Want]:
    """Tell a system that keeps the order what was credited or paid back; there is no document to correct first."""
    parent = desk.parent
    if not desk.target.credits or parent is None:
        return
    waits, links = parent[0], {**parent[1], **_paid_by(desk)}
    for one in desk.derived.credits:
        if one.look.object.connection == desk.name:
            continue
        if _is_refund(one):
            yield from _refund(desk, one, waits, links)
        elif desk.can("issue_credit"):
            yield from _credit(desk, one, waits, links)


def _is_refund(one: Counted) -> bool:
    return isinstance(one.look.facts, Credit) and one.look.facts.document == "refund"


def _is_straight(desk: Desk, one: Counted, *, cancelled: bool) -> bool:
    """Tell whether money goes back straight from a sales receipt: no note has taken its income back before."""
    if not (desk.paid_by_itself and _is_refund(one) and desk.can("record_refund")):
        return False
    return not cancelled or desk.record(write_key(desk.name, "refund", one.key)) is not None


def _note(desk: Desk, one: Counted, facts: Credit) -> Credit:
    note = msgspec.structs.replace(facts, document="credit_note", amount=one.amount, allocations=(), number="")
    return note if desk.target.document == "none" else taxed(note, desk.derived.order, desk.derived.payable)


def _credit(desk: Desk, one: Counted, before: tuple[str, ...], links: dict[str, str]) -> Iterator[Want]:
    if isinstance(one.look.facts, Credit):
        yield Want(
            write=write_key(desk.name, "credit", one.key),
            connection=desk.name,
            capability="issue_credit",
            kind="append",
            canonical=f"{one.key}+{_canonical(desk)}",
            entity=desk.money_entity,
            facts=_note(desk, one, one.look.facts),
            after=before,
            links=links,
            source=one.look,
        )


def _refund(
    desk: Desk, one: Counted, before: tuple[str, ...], links: dict[str, str], note: ObjectRef | None = None
) -> Iterator[Want]:
    """Pay back what the source paid back: out of the credit note, or straight from a sales receipt."""
    facts = one.look.facts
    if isinstance(facts, Credit) and facts.document == "refund" and desk.can("record_refund"):
        yield Want(
            write=write_key(desk.name, "refund", one.key),
            connection=desk.name,
            capability="record_refund",
            kind="append",
            canonical=f"{one.key}+{_canonical(desk)}",
            entity=desk.money_entity,
            facts=msgspec.structs.replace(_note(desk, one, facts), document="refund"),
            after=before,
            links={**links, **({"credit": note.id} if note else {})},
            source=one.look,
        )


def _paid_by(desk: Desk) -> dict[str, str]:
    """Link the payment here that is paid back: one that we recorded, else the only one that the system took itself."""
    prefix = write_key(desk.name, "payment") + "|"
    bound = [record.bound for record in desk.records if record.key.startswith(prefix) and record.bound]
    own = [one.look.object for one in desk.derived.payments if one.look.object.connection == desk.name]
    if bound or len(own) == 1:
        return {"payment": min(bound or own).id}
    return {}


def _shipments(desk: Desk) -> Iterator[Want]:
    if not (desk.target.shipments and desk.can("record_shipment")):
        return
    parent = desk.parent
    if parent is None:
        return
    for one in desk.derived.shipments:
        key, facts = write_key(desk.name, "shipment", one.key), one.look.facts
        if one.look.object.connection != desk.name and isinstance(facts, Shipment):
            yield Want(
                write=key,
                connection=desk.name,
                capability="record_shipment",
                kind="append",
                canonical=f"{one.key}+{_canonical(desk)}",
                entity=desk.money_entity,
                facts=facts,
                after=parent[0],
                links=parent[1],
                shared=_TRACKED if facts.tracking_numbers else (),
                status=desk.derived.public.fulfilment,
                source=one.look,
            )


def _status(desk: Desk) -> Iterator[Want]:
    """Show the headline word where the system has one for it; a shown status is never lowered without a cause."""
    key, word = write_key(desk.name, "status"), _word_to_show(desk)
    record, ref = desk.record(key), desk.order_ref
    if word or (record is not None and record.outcome != "confirmed"):
        yield Want(
            write=key,
            connection=desk.name,
            capability="set_status",
            kind="set",
            canonical=_canonical(desk),
            entity=f"order:{desk.state.key}",
            facts=desk.derived.order,
            bound=ref,
            status=word,
        )


def _word_to_show(desk: Desk) -> str:
    """Return the word that the system does not show and should, "" where there is none."""
    word, ref = desk.derived.public.headline, desk.order_ref
    if not (desk.target.status and desk.can("set_status")) or ref is None or desk.stage(word) is None:
        return ""
    look = desk.state.objects.get(ref.key)
    if look is None or is_gone(look) or not isinstance(look.facts, Order) or look.facts.stage == desk.stage(word):
        return ""
    record = desk.record(write_key(desk.name, "status"))
    known = _acknowledged(record, look, shown_word(look.facts), word)
    return "" if known or _kept(desk, record, look.facts) else word


def _kept(desk: Desk, record: WriteRecord | None, facts: Order) -> bool:
    """Tell whether the shown status stays although the order's is lower: nothing in the state explains a step back."""
    return lowers(facts, desk.derived.public.headline) and not _cause(desk, record, facts)


def status_findings(desk: Desk) -> Iterator[Finding]:
    """Yield that somebody moved the order further here than it is; it is neither followed nor taken back."""
    ref, word = desk.order_ref, desk.derived.public.headline
    if ref is None or desk.own or not desk.can("set_status"):
        return
    look = desk.state.objects.get(ref.key)
    if look is None or is_gone(look) or not isinstance(look.facts, Order):
        return
    record = desk.record(write_key(desk.name, "status"))
    if _kept(desk, record, look.facts) and not _acknowledged(record, look, shown_word(look.facts), word):
        message = f"{desk.name} shows {shown_word(look.facts)}, the order is {word}."
        step = f"move it back, or change the order in {desk.derived.giver.object.connection}"
        yield Finding("status_differs", "warn", message, look.object.key, step)


def shown_word(facts: Order) -> str:
    """Return the headline word that an order object shows."""
    return facts.headline or facts.status


def _acknowledged(record: WriteRecord | None, look: Observation, there: str, word: str) -> bool:
    """Tell whether the system shows the word, or what it made of it, or has not been looked at since we wrote it."""
    pair = record.base.get("status") if record is not None else None
    if there == word or (pair is not None and pair.sent == word and pair.made == there):
        return True
    done = record is not None and record.outcome == "confirmed" and record.digest == digest({"status": word})
    return done and record is not None and look.last_read < record.look


def lowers(facts: Order, word: str) -> bool:
    """Tell whether writing *word* would take the shown status back."""
    there = shown_word(facts)
    return there in HEADLINES and HEADLINES.index(there) > HEADLINES.index(word)


def _cause(desk: Desk, record: WriteRecord | None, facts: Order) -> bool:
    """Tell whether the state explains a step back: we wrote the shown word, and what justified it was undone."""
    pair = record.base.get("status") if record is not None else None
    there, word = shown_word(facts), desk.derived.public.headline
    if pair is None or there not in (pair.sent, pair.made):
        return False
    counted = there in _FULL and word in _PART
    return counted or there in _ENDS or any(_undone(look) for look in desk.state.objects.values())


def _undone(look: Observation) -> bool:
    taken_back = isinstance(look.facts, (Payment, Credit, Shipment)) and look.facts.status in _TAKEN_BACK
    return taken_back or is_gone(look) or look.share is not None
