"""From the states of orders to the plans of their flows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

import msgspec

from app.planning.plan import Action, Lost, Plan, Row, Trouble, digest_of, totals_of
from app.planning.rehearsal import PLANNED, backfilling, live, rehearse
from schemas.commands import Command
from schemas.facts import Credit, Facts, Invoice, Order, Payment
from schemas.flow import Flow
from schemas.money import text
from schemas.order_state import PublicOrder
from schemas.projection import digest, project
from schemas.refs import ObjectRef
from schemas.state import OrderState
from streams.order.derive import derive
from streams.order.plan import desks
from streams.order.plan.begin import EVER, is_old
from streams.order.plan.desk import Desk
from streams.order.plan.want import write_key
from streams.order.world import World

DOCUMENTS = {
    "upsert_order": "order",
    "set_status": "status",
    "upsert_invoice": "invoice",
    "upsert_sales_receipt": "sales receipt",
    "request_payment": "payment request",
    "void_invoice": "void",
    "record_payment": "payment",
    "reverse_payment": "payment reversal",
    "issue_credit": "credit note",
    "void_credit": "void of a credit note",
    "apply_credit": "credit application",
    "record_refund": "refund",
    "reverse_refund": "refund reversal",
    "record_shipment": "shipment",
    "upsert_customer": "customer",
    "add_note": "note",
}
_AMOUNTLESS = frozenset(("set_status", "add_note", "record_shipment"))


class Draft:
    """The plan of one flow, order by order."""

    def __init__(self, flow: Flow) -> None:
        """Begin with no order."""
        self.flow = flow
        self.orders = self.unread = 0
        self.rows: list[Row] = []
        self.findings: list[Trouble] = []
        self.conflicts: list[Lost] = []

    def plan(self, mode: str, at: datetime, since: datetime) -> Plan:
        """Return the plan, sorted by order number."""
        rows = tuple(sorted(self.rows, key=lambda row: (row.number, row.order)))
        return Plan(
            flow=self.flow.name,
            tenant=self.flow.tenant,
            mode=mode,
            digest=digest_of(self.flow.tenant, self.flow.name, rows),
            planned_at=at,
            since=since,
            orders=self.orders,
            unread=self.unread,
            rows=rows,
            totals=totals_of(rows),
            findings=tuple(sorted(self.findings, key=lambda one: (one.number, one.order, one.finding))),
            conflicts=tuple(sorted(self.conflicts, key=lambda one: (one.number, one.order, one.field))),
        )


class Drafts:
    """The plans of some flows, made from the states of all orders, one after the other."""

    def __init__(self, world: World, flows: Collection[Flow], now: datetime, since: datetime = EVER) -> None:
        """Plan *flows* as if each were live, whatever it is in *world*; *since* is how far back a backfill reaches."""
        names = [flow.name for flow in flows]
        self._world, self._live, self._now, self._since = world, live(world, names), now, since
        self._whole = backfilling(self._live, names, since)
        self._drafts = {flow.name: Draft(flow) for flow in flows}

    def add(self, state: OrderState) -> None:
        """Plan one order; what belongs to another flow, or is one with another order, is passed over."""
        found = self._live.key_giver(state)
        if found is None or state.alias_of or (draft := self._drafts.get(found[0].name)) is None:
            return
        draft.orders += 1
        rehearsed = rehearse(state, self._live, self._now)
        public = rehearsed.first.public
        if public is None:
            draft.unread += not state.asleep
            return
        asked = {command.id for command, _ in rehearsed.commands}
        if any(is_old(look, self._live) for look in state.objects.values()):
            rehearsed = rehearse(state, self._whole, self._now)
        draft.rows += [
            _row(command, public, follows=follows, old=command.id not in asked)
            for command, follows in rehearsed.commands
        ]
        draft.rows += _adopted(state, self._live)
        named = {"order": public.key, "number": public.number}
        told = [finding for finding in public.findings if finding.code != "before_start"]  # the rows say it
        draft.findings += [Trouble(**named, finding=finding) for finding in told]
        draft.conflicts += [
            Lost(
                **named,
                field=one.field,
                kept=one.kept,
                kept_by=one.kept_by,
                lost=one.lost,
                lost_by=one.lost_by,
            )
            for one in public.conflicts
        ]

    def plans(self) -> list[Plan]:
        """Return the plan of each flow."""
        return [draft.plan(self._world.mode(draft.flow), self._now, self._since) for draft in self._drafts.values()]


def _row(command: Command, public: PublicOrder, *, follows: bool, old: bool) -> Row:
    action: Action = "change" if command.kind == "set" else "create"
    known = not command.bound_id.startswith(PLANNED)
    amount, currency = money(command, public) if action == "create" else ("", "")
    return Row(
        order=public.key,
        number=public.number,
        target=command.connection,
        document=DOCUMENTS[command.capability],
        action=action,
        amount=amount,
        currency=currency,
        date=project(command.facts).get("issue_date") or project(command.facts).get("date", ""),
        reason=_reason(command, public),
        existing=command.bound_id if known else "",
        asks_first=action == "create" and command.presence == "unknown",
        follows=follows,
        old=old,
        capability=command.capability,
        write=command.write,
        content=content(command),
    )


def content(command: Command) -> str:
    """Return a digest of what is written.

    The status that a new order shows is left out: it moves on as the writes of the other targets are done.
    """
    if command.kind == "set":
        return command.digest
    return digest({name: value for name, value in command.fields.items() if name != "status"})


def money(command: Command, public: PublicOrder) -> tuple[str, str]:
    """Return amount and currency of what is made; a void takes back what its document shows."""
    if command.capability in _AMOUNTLESS:
        return "", ""
    if command.capability == "void_invoice":
        voided = command.links.get("invoice")
        for shown in public.shown:
            if (shown.connection, shown.id) == (command.connection, voided) and shown.amount is not None:
                return text(shown.amount, public.currency), public.currency
        return "", ""
    return _amount(command.facts)


def _amount(facts: Facts) -> tuple[str, str]:
    if isinstance(facts, Order | Invoice) and facts.payable_amount is not None:
        return text(facts.payable_amount, facts.currency), facts.currency
    if isinstance(facts, Payment | Credit):
        return text(facts.amount, facts.currency), facts.currency
    return "", ""


def _reason(command: Command, public: PublicOrder) -> str:
    """Return why this is written, in words."""
    target = command.connection
    if command.capability == "set_status":
        return f"the order is {command.status}"
    if command.kind == "set":
        old = {name: pair.made for name, pair in command.base.items()}
        return "; ".join(f"{name}: {old.get(name, '')!r} becomes {command.fields[name]!r}" for name in command.changes)
    if command.text:
        return command.text
    source = command.write.split("|", 2)[2:]
    if command.kind == "append" and source:
        return f"{source[0]} is not in {target}"
    return f"the order is {public.headline or public.life_cycle}, {target} has none of it"


def _adopted(state: OrderState, world: World) -> Iterator[Row]:
    """Yield the documents that people made and that bill the order, where it would be billed by us otherwise."""
    derived = derive(state, world)
    if derived is None or derived.blocked:
        return
    for desk in desks(state, derived, world):
        if desk.target.document != "none" and desk.adopted is not None and desk.adopted != derived.giver.object:
            yield _taken(desk, desk.adopted, desk.target.document.replace("_", " "), desk.document_key)
        if desk.adopted_copy is not None:
            yield _taken(desk, desk.adopted_copy, "order", write_key(desk.name, "order"))


def _taken(desk: Desk, ref: ObjectRef, document: str, write: str) -> Row:
    derived, facts = desk.derived, desk.state.objects[ref.key].facts
    amount, currency = ("", "") if facts is None else _amount(facts)
    total = text(derived.payable, derived.order.currency)
    return Row(
        order=desk.state.key,
        number=derived.public.number,
        target=desk.name,
        document=document,
        action="adopt",
        amount=amount,
        currency=currency,
        date="" if facts is None else project(facts).get("issue_date", ""),
        reason=f"{desk.name} has it already" + ("" if amount in ("", total) else f", the order is {total}"),
        existing=ref.id,
        capability="adopt",
        write=write,
        content=msgspec.json.encode([amount, currency]).decode(),
    )
