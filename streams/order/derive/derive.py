"""derive(state, world): the agreed order, its totals, statuses, documents and findings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal

import msgspec

from schemas.facts import Credit, Facts, Invoice, LifeCycle, Order, Party, Payment, Shipment
from schemas.flow import Flow
from schemas.money import ZERO
from schemas.order_state import PublicOrder, Shown, Waiting
from schemas.projection import project
from schemas.refs import ObjectRef
from schemas.state import Agreed, Conflict, Observation, OrderState, WriteRecord
from streams.order.derive import money, status
from streams.order.derive.checks import check, disputed
from streams.order.derive.money import Counted
from streams.order.derive.shared import SHARED, agree, finding
from streams.order.merge import is_gone
from streams.order.once import kept, once
from streams.order.world import World

_LIVES: Mapping[str, LifeCycle] = {
    "draft": "draft", "on_hold": "on_hold", "void": "cancelled", "cancelled": "cancelled",
}  # fmt: skip


class Derived(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What the state means; everything `plan` needs besides the state itself."""

    flow: Flow
    giver: Observation
    order: Order
    """The key-giver's facts with the agreed values of shared fields."""
    payable: Decimal
    payments: tuple[Counted, ...]
    credits: tuple[Counted, ...]
    shipments: tuple[Counted, ...]
    agreed: dict[str, Agreed]
    conflicts: tuple[Conflict, ...]
    """What lost against another edit just now."""
    public: PublicOrder

    @property
    def blocked(self) -> bool:
        """Tell whether a finding stops the planning of this order."""
        return any(finding.severity == "block" for finding in self.public.findings)

    @once
    def cancelled(self) -> bool:
        """Tell whether the order ended without being delivered."""
        return self.public.life_cycle == "cancelled"


def derive(state: OrderState, world: World) -> Derived | None:
    """Return what *state* means, or None while the order itself was not seen (its parts wait)."""
    found = world.key_giver(state)
    facts = None if found is None or found[1].share == "0" else found[1].facts
    if found is None or not isinstance(facts, (Order, Invoice)):
        return None
    flow, giver = found
    order = facts if isinstance(facts, Order) else as_order(facts)
    agreed, conflicts = agree(state, flow, giver, world)
    order = _with_agreed(order, agreed)
    ours = money.written_keys(state)
    paid, credited = money.payments(state, flow, ours), money.credited(state, flow, ours)
    parcels = money.shipments(state, flow, ours)
    held = money.holding(state, flow, world, ours)
    public = _public(state, (flow, giver, order), (paid, credited, parcels), ours, held=bool(held))
    findings = (*check(state, world, giver, order, flow), *map(finding, conflicts), *map(disputed, held))
    return Derived(
        flow=flow,
        giver=giver,
        order=order,
        payable=order.payable_amount or ZERO,
        payments=tuple(paid),
        credits=tuple(credited),
        shipments=tuple(parcels),
        agreed=agreed,
        conflicts=conflicts,
        public=msgspec.structs.replace(public, findings=tuple(sorted(findings))),
    )


def as_order(bill: Invoice) -> Order:
    """Return the order that an accounting entry without an order stands for."""
    return Order(
        number=bill.number or bill.reference,
        status=_LIVES.get(bill.status, "open"),
        currency=bill.currency,
        customer=bill.customer,
        lines=bill.lines,
        net_amount=bill.net_amount,
        tax_amount=bill.tax_amount,
        payable_amount=bill.payable_amount,
        prices_include_tax=bill.prices_include_tax,
        placed_at=None if bill.issue_date is None else datetime.combine(bill.issue_date, time(12), UTC),
        due_date=bill.due_date,
        note=bill.note,
        po_number=bill.po_number,
    )


def _with_agreed(order: Order, agreed: dict[str, Agreed]) -> Order:
    """Return the order as everybody should show it; what came from the key-giver stays as it is."""
    fields = project(order)
    edits = tuple(
        (name, agreed[name].value) for name in SHARED if name in agreed and agreed[name].value != fields.get(name, "")
    )
    return kept(_edited, order, edits) if edits else order


def _edited(order: Order, edits: tuple[tuple[str, str], ...]) -> Order:
    changed: dict[str, str | date | Party | None] = dict(edits)
    if "email" in changed:
        changed["customer"] = msgspec.structs.replace(order.customer or Party(), email=changed.pop("email"))
    if "due_date" in changed:
        due = dict(edits)["due_date"]
        changed["due_date"] = date.fromisoformat(due) if due else None
    return msgspec.structs.replace(order, **changed)


def _public(
    state: OrderState,
    known: tuple[Flow, Observation, Order],
    counted: tuple[list[Counted], list[Counted], list[Counted]],
    ours: frozenset[str],
    *,
    held: bool,
) -> PublicOrder:
    (flow, giver, order), (paid, credited, parcels) = known, counted
    payable, received = order.payable_amount or ZERO, money.total(paid)
    refunds = [one for one in credited if isinstance(one.look.facts, Credit) and one.look.facts.document == "refund"]
    refunded, documents = money.total(refunds), money.documents(state)
    life = status.life_cycle(order, giver, held=held)
    financial = status.financial(payable, received, refunded, invoiced=bool(documents), cancelled=life == "cancelled")
    goods = status.fulfilment(order, parcels)
    left = [one.look.facts for one in parcels if isinstance(one.look.facts, Shipment)]
    tracking = {number for parcel in left for number in parcel.tracking_numbers}
    due = _owed(payable, received, money.total(credited) - refunded) if life != "cancelled" else ZERO
    late = order.overdue and due > ZERO
    return PublicOrder(
        key=state.key,
        tenant=state.tenant,
        flow=flow.name,
        number=order.number,
        life_cycle=life,
        financial=financial,
        fulfilment=goods,
        overdue=late or any(isinstance(look.facts, Invoice) and look.facts.overdue for look in documents),
        headline=status.headline(life, financial, goods),
        currency=order.currency,
        payable_amount=payable,
        invoiced_amount=_invoiced(documents),
        paid_amount=received,
        credited_amount=money.total(credited),
        refunded_amount=refunded,
        amount_due=due,
        tracking_numbers=tuple(sorted(tracking)),
        shown=_shown(state, ours),
        waiting=_waiting(state),
    )


def _owed(payable: Decimal, received: Decimal, credited: Decimal) -> Decimal:
    """Return what the buyer still owes: a credit note lowers it, money paid back does not."""
    return max(ZERO, payable - received - credited)


def _invoiced(documents: list[Observation]) -> Decimal:
    """Return the largest sum that one system has billed: two ledgers that mirror an order do not bill it twice."""
    sums: dict[str, Decimal] = {}
    for look in documents:
        if isinstance(look.facts, Invoice):
            sums[look.object.connection] = sums.get(look.object.connection, ZERO) + look.facts.payable_amount
    return max(sums.values(), default=ZERO)


def _shown(state: OrderState, ours: frozenset[str]) -> tuple[Shown, ...]:
    records = {record.bound.key: record for record in state.writes.values() if record.bound is not None}
    return tuple(
        _shown_one(look, records.get(key), ours=key in ours)
        for key, look in sorted(state.objects.items(), key=lambda pair: pair[1].object)
    )


def _shown_one(look: Observation, record: WriteRecord | None, *, ours: bool) -> Shown:
    write, generation = ("", 0) if record is None else (record.key, record.generation)
    known = (look.object, is_gone(look), ours, write, generation)
    return _of_facts(None, *known) if look.facts is None else kept(_of_facts, look.facts, *known)


def _of_facts(facts: Facts | None, ref: ObjectRef, gone: bool, ours: bool, write: str, generation: int) -> Shown:  # noqa: FBT001  what is kept has no names
    return Shown(
        connection=ref.connection,
        account=ref.account,
        type=ref.type,
        id=ref.id,
        kind="" if facts is None else type(facts).__name__.lower(),
        status="deleted" if gone else _status(facts),
        amount=_amount(facts),
        ours=ours,
        write=write,
        generation=generation,
    )


def _status(facts: Facts | None) -> str:
    if isinstance(facts, Order):
        return project(facts).get("status", "")
    return str(getattr(facts, "status", ""))


def _amount(facts: Facts | None) -> Decimal | None:
    if isinstance(facts, (Payment, Credit)):
        return facts.amount
    return getattr(facts, "payable_amount", None)


def _waiting(state: OrderState) -> tuple[Waiting, ...]:
    return tuple(
        Waiting(
            connection=record.connection,
            capability=record.capability,
            outcome=record.outcome or "",
            reason=record.reason,
            write=record.key,
            digest=record.stopped,
        )
        for record in sorted(
            [one for one in state.writes.values() if one.outcome != "confirmed"], key=lambda one: one.key
        )
    )
