"""Checks before anything is posted: each yields a finding, `block` stops this order only."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from schemas.facts import Credit, Invoice, Order
from schemas.findings import Finding
from schemas.flow import Flow
from schemas.money import ZERO, rounded
from schemas.state import Observation, OrderState
from streams.order import alias, alike
from streams.order.merge import copies, is_gone
from streams.order.once import kept
from streams.order.world import World


def check(state: OrderState, world: World, giver: Observation, order: Order, flow: Flow) -> Iterator[Finding]:
    """Yield what is wrong or noteworthy about the order."""
    yield from _status_words(state, world)
    yield from _copies(state)
    yield from kept(_amounts, order, flow.rounding_cap)
    yield from _currencies(state, order)
    yield from alias.findings(state)
    yield from _merging(state, giver)
    yield from alike.findings(state, giver)
    if is_gone(giver):
        yield Finding("order_deleted", "warn", f"{giver.object.key} was deleted there; nothing is created anew.")


def _status_words(state: OrderState, world: World) -> Iterator[Finding]:
    for look in state.objects.values():
        stage = look.facts.stage if isinstance(look.facts, (Order, Invoice)) else ""
        if not stage:
            continue
        platform = world.platform(look.object.connection)
        if platform is None:
            continue
        key = f"{look.object.type}:{stage}"
        connection = world.connection(look.object.connection)
        mapped = connection.statuses if connection is not None else {}
        if key not in platform.statuses and key not in mapped and stage not in mapped:
            yield Finding(
                "unmapped_status", "block", f"{platform.title} shows {stage!r}, which is not mapped.", look.object.key,
                f'add "{stage}" to the statuses of the connection {look.object.connection}',
            )  # fmt: skip


def _copies(state: OrderState) -> Iterator[Finding]:
    for look in copies(state):
        yield Finding(
            "copy", "block", f"{look.object.key} carries the mark of another document of ours.", look.object.key,
            "remove the mark from the copy, or delete the copy",
        )  # fmt: skip


def _amounts(order: Order, cap: Decimal) -> tuple[Finding, ...]:
    return (*_payable(order), *_totals(order, cap))


def _payable(order: Order) -> Iterator[Finding]:
    """BR-DEC where there is nothing but a total: nobody pays a third of a cent, nor is it ours to guess."""
    total = order.payable_amount
    if total is not None and not order.lines and total != rounded(total, order.currency):
        message = f"The total {total:f} is finer than {order.currency} allows."
        yield Finding("totals_differ", "block", message, "", "correct the order")


def _totals(order: Order, cap: Decimal) -> Iterator[Finding]:
    """BR-CO-13 and BR-CO-15 on the order: lines and tax add up to the total, within what a rounding line may take.

    A CRM that knows no tax is billed as one line of its total.
    """
    if not order.lines or order.payable_amount is None:
        return
    billed = sum((line.net_amount + line.tax_amount for line in order.lines), ZERO)
    off = rounded(order.payable_amount - billed, order.currency)
    if abs(off) > cap:
        severity: Literal["block", "warn"] = "warn" if order.tax_amount is None else "block"
        yield Finding(
            "totals_differ", severity, f"Lines add up to {billed:f}, the total is {order.payable_amount:f}.", "",
            "correct the order, or raise rounding_cap",
        )  # fmt: skip
    elif off:
        yield Finding("rounding", "warn", f"A rounding line of {off:f} closes the gap to {order.payable_amount:f}.")


def _currencies(state: OrderState, order: Order) -> Iterator[Finding]:
    for look in state.objects.values():
        currency = look.facts.currency if isinstance(look.facts, (Invoice, Credit)) else order.currency
        if currency != order.currency and not is_gone(look):
            yield Finding(
                "currency_differs",
                "warn",
                f"{look.object.key} is in {currency}, the order in {order.currency}.",
                look.object.key,
            )


def _merging(state: OrderState, giver: Observation) -> Iterator[Finding]:
    for ref in alias.awaited(giver, state):
        message = f"{ref.key} was merged into this order, which waits until its order has handed over."
        yield Finding("merging", "block", message, ref.key)


def disputed(look: Observation) -> Finding:
    """Return that somebody asks for money of the order back, and nobody has decided."""
    facts = look.facts
    asked = f"{facts.amount:f} {facts.currency} ({facts.reason})" if isinstance(facts, Credit) else "money"
    message = f"{asked} is asked back by {look.object.key}; the order is on hold until that is decided."
    return Finding("disputed", "warn", message, look.object.key, f"answer it in {look.object.connection}")


def rounding(order: Order) -> Decimal:
    """Return what a rounding line must carry so that the lines add up to the source's total."""
    billed = sum((line.net_amount + line.tax_amount for line in order.lines), ZERO)
    return rounded((order.payable_amount or ZERO) - billed, order.currency) if order.lines else ZERO
