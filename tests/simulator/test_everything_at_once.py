"""Whatever happens to an order and in which order: nothing waits for ever, and every cent is somewhere or told."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import pytest

from schemas.facts import Credit
from tests.simulator import company
from tests.simulator.delivery import Fault
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

_LEDGERS = ("books", "second")
_FAULTS: tuple[Fault, ...] = ("", "", "", "before", "after", "slow", "crash")
_WRONG = frozenset(("rejected", "double", "ambiguous_document"))


@dataclass
class Life:
    """What happens to one order, and what it comes to."""

    play: Simulation
    key: str
    order: Doc
    total: int = 100
    paid: int = 0
    returned: int = 0
    events: tuple[str, ...] = field(default=("pay", "pay", "dearer", "cheaper", "note", "refund", "deal", "look"))

    def happens(self) -> None:
        """Let one thing happen; nobody pays more than it costs, nor takes back more than was paid."""
        getattr(self, f"_{self.play.dice.choice(self.events)}")()

    def _pay(self) -> None:
        amount = min(self.play.dice.choice((5, 1_000)), self.total - self.paid)
        if amount > 0:
            self.play.pay("shop", f"{amount}.00", order=self.order.id)
            self.paid += amount

    def _dearer(self) -> None:
        self._costs(self.total + 20)

    def _cheaper(self) -> None:
        if self.total - 10 >= max(self.paid, 1):
            self._costs(self.total - 10)

    def _costs(self, total: int) -> None:
        self.total = total
        self.play.total(self.order, f"{total}.00")
        self.play.told(self.order)

    def _note(self) -> None:
        self.play.edit("shop", self.order, note=f"note {self.play.dice.random():.4f}")
        self.play.told(self.order)

    def _refund(self) -> None:
        if self.returned + 5 <= self.paid:
            facts = Credit(document="refund", amount=Decimal(5), currency="EUR")
            shop = self.play.systems["shop"]
            self.play.look("shop", shop.add("credit", facts, self.play.now, order=self.order.id))
            self.returned += 5

    def _deal(self) -> None:
        if deals := [doc for doc in self.play.live("crm", "order") if doc.mark]:
            self.play.edit("crm", deals[0], note=f"deal {self.play.dice.random():.4f}")

    def _look(self) -> None:
        self.play.look("shop", self.order)

    def ends(self) -> None:
        """Let the shop cancel it."""
        self.play.edit("shop", self.order, status="cancelled")
        self.play.told(self.order)


def _lived(seed: int, paid_edit: Literal["ask", "credit_and_new"]) -> Life:
    """Play an order at two ledgers; for odd seeds the second cannot change what it issued."""
    fixed, world = bool(seed % 2), company.world(paid_edit=paid_edit)
    play = Simulation(seed, company.with_fixed(world, "second") if fixed else world, doubles=True, deaths=0.1)
    play.systems["second"].fixed = fixed
    for name in _LEDGERS:
        play.systems[name].shows_paid = bool(seed & 2)
    for owner in play.owners.values():
        owner.in_turn, owner.faults = True, _FAULTS if seed % 3 else ("",)
    life = Life(play, *play.order("100.00"))
    play.run(play.dice.choice((0, 1, 400)))
    for _ in range(play.dice.randint(2, 7)):
        with play.one_batch(life.key) if play.dice.random() < 0.5 else nullcontext():
            for _ in range(play.dice.randint(1, 3)):
                life.happens()
        for _ in range(play.dice.randint(0, 8)):
            play._move()
        play.run(play.dice.choice((0, 0, 1, 30, 400)))
    return life


def _settled(life: Life) -> set[str]:
    """Play until silence; return what a person is told."""
    life.play.settle(72)
    public = life.play.public[life.key]
    codes = {finding.code for finding in public.findings}
    assert public.waiting == (), life.play.log
    assert not codes & _WRONG, public.findings
    return codes


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("paid_edit", ["ask", "credit_and_new"])
def test_all_money_is_in_the_books_and_they_ask_for_what_is_owed(seed: int, paid_edit: Any) -> None:
    life = _lived(seed, paid_edit)
    codes = _settled(life)
    for name in _LEDGERS:
        assert life.play.sum(name, "payment") == life.paid, name
        if not life.returned and "paid_edit" not in codes:
            bills = life.play.live(name, "invoice")
            asked = sum((life.play.systems[name].open(doc.id) for doc in bills), Decimal(0))
            assert asked == life.total - life.paid, (name, life.play.log)


@pytest.mark.parametrize("seed", [*range(100), 361, 860])
@pytest.mark.parametrize("paid_edit", ["ask", "credit_and_new"])
def test_a_cancelled_order_comes_to_nothing_or_a_person_is_told(seed: int, paid_edit: Any) -> None:
    life = _lived(seed, paid_edit)
    life.ends()
    codes = _settled(life)
    for name in _LEDGERS:
        notes = [doc.facts for doc in life.play.live(name, "credit")]
        credited = sum(
            (one.amount for one in notes if isinstance(one, Credit) and one.document != "refund"), Decimal(0)
        )
        assert codes or life.play.sum(name, "invoice") == credited, (name, life.play.log)
        assert codes or life.play.sum(name, "payment") == life.paid, (name, life.play.log)
