"""Everything in one process: systems, their owners, the link table and the orders, on a fake clock and one seed."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from schemas.commands import Command, Result
from schemas.decisions import Decision, Kind
from schemas.events import ChangeEvent, Hint
from schemas.facts import Line, Order, Party, Payment
from schemas.links import LinkMessage, LinkRow, Parked
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef, order_key
from schemas.state import OrderState
from streams.order.alike import resemblance
from streams.order.echo import Echo, echoes
from streams.order.link import Linked, binds, on_message, on_tick, place, route
from streams.order.step import Input, Seen, Tick, step
from streams.order.world import World
from tests.simulator import company
from tests.simulator.delivery import Delivery
from tests.simulator.fakes import Doc, FakePlatform

_LONGEST = 4_000


class Simulation:
    """One run. `settle` plays until nothing moves and nothing is due within a day."""

    def __init__(
        self, seed: int = 0, world: World | None = None, *, doubles: bool = False, deaths: float = 0.0
    ) -> None:
        """*doubles*: what is told may be told twice; *deaths*: how often a worker dies before it kept what it folded."""
        self.dice = Random(seed)
        self.deaths = deaths
        self.unkept: defaultdict[str, list[Input]] = defaultdict(list)
        """What a worker had taken of an order when it died: it comes again, with what came since."""
        self.world = world or company.world()
        self.now = company.START
        self.doubles = doubles
        self.states: dict[str, OrderState] = {}
        self.public: dict[str, PublicOrder] = {}
        self.rows: dict[str, LinkRow] = {}
        self.row_due: dict[str, datetime] = {}
        self.queues: defaultdict[str, deque[Any]] = defaultdict(deque)
        self.commands: list[Command] = []
        self.hints: list[Hint] = []
        self.parked: list[Parked] = []
        self.systems = {name: FakePlatform(name) for name in company.CONNECTIONS}
        self.owners = {name: Delivery(system, self.dice, self.emit) for name, system in self.systems.items()}
        self.log: list[str] = []
        self.echoes = Counter[Echo]()

    # -- what people do -----------------------------------------------------------------------------------------------

    def order(self, total: str = "100.00", **changes: Any) -> tuple[str, Doc]:
        """Place an order in the shop; return its key and document."""
        number = f"SO-{len(self.systems['shop'].of('order')) + 1}"
        amount = Decimal(total)
        values: dict[str, Any] = {
            "number": number, "stage": "open", "currency": "EUR", "payable_amount": amount, "placed_at": self.now,
            "tax_amount": Decimal(0), "customer": Party(name="Ada", email="ada@example.com"),
            "lines": (Line(id="l1", sku="MUG", unit_price=amount, net_amount=amount),),
        }  # fmt: skip
        doc = self.systems["shop"].add("order", Order(**{**values, **changes}), self.now)
        self.look("shop", doc)
        return order_key(company.TENANT, ObjectRef("shop", "s", "order", doc.id)), doc

    def total(self, doc: Doc, amount: str) -> None:
        """Change what an order costs."""
        line = Line(id="l1", sku="MUG", unit_price=Decimal(amount), net_amount=Decimal(amount))
        self.edit("shop", doc, payable_amount=Decimal(amount), lines=(line,))

    def pay(self, system: str, amount: str, *, reference: str = "", **parents: str) -> Doc:
        """Receive money in *system*."""
        facts = Payment(amount=Decimal(amount), currency="EUR", paid_at=self.now, reference=reference)
        doc = self.systems[system].add("payment", facts, self.now, **parents)
        self.look(system, doc)
        return doc

    def edit(self, system: str, doc: Doc, **changes: Any) -> None:
        """Let a person change a document."""
        self.systems[system].edit(doc, **changes)
        doc.changed_at = self.now
        self.look(system, doc)

    def merge(self, doc: Doc, into: Doc) -> None:
        """Let a person merge two orders of the shop: the first is gone and says where it went."""
        self.systems["shop"].edit(doc, merged_into=into.id)
        doc.gone = True
        self.look("shop", doc)

    def decide(self, key: str, kind: Kind, **more: Any) -> None:
        """Let a person decide about an order."""
        id_ = f"{kind}-{len(self.log)}-{more.get('object', '')}"
        decision = Decision(id=id_, tenant=company.TENANT, order=key, kind=kind, **more)
        self.fold(key, decision)

    def parked_documents(self) -> list[str]:
        """Return the documents of which a person must say whether they bill their order."""
        return sorted(key for state in self.states.values() for key in state.disputed)

    def look(self, system: str, doc: Doc, *, hook: bool = False) -> None:
        """Let the system tell of a document."""
        if hook:
            self.emit(self.systems[system].event(doc, (0, 0), hook=True))
        else:
            self.owners[system].read(doc)

    # -- the machinery ------------------------------------------------------------------------------------------------

    def emit(self, item: ChangeEvent | Result) -> None:
        queue = f"results {item.order}" if isinstance(item, Result) else f"events {item.object.key}"
        self.queues[queue].append(item)
        if self.doubles and self.dice.random() < 0.3:
            self.queues[queue].append(item)

    def settle(self, hours: float = 24) -> None:
        """Play until silence; time jumps to whatever is due next."""
        until, steps = self.now + timedelta(hours=hours), 0
        while self._move() or self._wait(until):
            steps += 1
            assert steps < _LONGEST, self.log[-30:]

    def run(self, seconds: float) -> None:
        """Play for a while and leave what is due later alone."""
        self.settle(seconds / 3600)

    @contextmanager
    def one_batch(self, key: str) -> Iterator[None]:
        """Fold all that is told of an order meanwhile in one step."""
        fold, held = self.fold, list[Input]()
        self.fold = lambda _key, *inputs: held.extend(inputs)  # type: ignore[method-assign]
        yield
        self.settle(0)
        self.fold = fold  # type: ignore[method-assign]
        self.fold(key, *held)

    def told(self, doc: Doc) -> None:
        """Fold all that the shop told of an order."""
        while self.queues[f"events shop@s/order/{doc.id}"]:
            self._take(f"events shop@s/order/{doc.id}")

    def _move(self) -> bool:
        ready = [name for name, queue in self.queues.items() if queue]
        owners = list(self.owners.values())
        if ready and self.dice.random() < 0.7:
            return self._take(self.dice.choice(ready))
        self.dice.shuffle(owners)
        if any(owner.work(self.now) for owner in owners):
            return True
        return self._take(self.dice.choice(ready)) if ready else False

    def _take(self, name: str) -> bool:
        item = self.queues[name].popleft()
        if isinstance(item, tuple):
            self.fold(item[0], item[1])
        elif isinstance(item, Result):
            self.fold(item.order, item)
        elif isinstance(item, ChangeEvent):
            key = route(item, self.world)
            if key:
                self.fold(key, Seen(item))
            else:
                self._tell(place(item, self.world))
        else:
            self._linked(on_message(self.rows.get(item.key) or LinkRow(key=item.key), item, self.now))
        return True

    def _tell(self, message: LinkMessage) -> None:
        self.queues[f"links {message.key}"].append(message)

    def _linked(self, linked: Linked) -> None:
        self.rows[linked.row.key] = linked.row
        if linked.due_at is None:
            self.row_due.pop(linked.row.key, None)
        else:
            self.row_due[linked.row.key] = linked.due_at
        for message in linked.messages:
            self._tell(message)
        for placed in linked.placed:
            self.fold(placed.order, Seen(placed.event, placed.share, placed.share_version))
        for alike in linked.alike:
            self.fold(alike.order, alike)
        self.hints += linked.hints
        if linked.parked is not None:
            self.parked.append(linked.parked)

    def fold(self, key: str, *inputs: Input) -> None:
        """Step one order with *inputs*; a worker that dies has told of what came of them, and kept nothing."""
        inputs = (*self.unkept.pop(key, ()), *inputs)
        before = self.states.get(key) or OrderState(key=key, tenant=company.TENANT)
        stepped = step(before, inputs, self.world, self.now)
        self.echoes += Counter(echoes(before, stepped.state, (one.event for one in inputs if isinstance(one, Seen))))
        if self.deaths and self.dice.random() < self.deaths:
            self.unkept[key] += inputs
        else:
            self.states[key] = stepped.state
        if stepped.public is not None:
            self.public[key] = stepped.public
        for one in stepped.forwards:
            order = one.event.order if isinstance(one, Seen) else one.order
            self.queues[f"forwards {key}"].append((order, one))
        self.hints += stepped.hints
        looks = resemblance(before, stepped.state, self.world, self.now)
        if looks is not None:
            self._tell(looks)
        known = set(binds(before, self.world))
        for bind in binds(stepped.state, self.world):
            if bind not in known:
                self._tell(bind)
        for command in stepped.commands if not stepped.shadow else ():
            self.log.append(f"{self.now:%H:%M:%S} {command.connection} {command.capability} {command.fields}")
            self.commands.append(command)
            self.owners[command.connection].accept(command)

    def _wait(self, until: datetime) -> bool:
        if self.unkept:
            self.fold(next(iter(self.unkept)))
            return True
        dues = {key: state.due_at for key, state in self.states.items() if state.due_at is not None}
        times = [*dues.values(), *self.row_due.values(), *(at for one in self.owners.values() for at in one.next_at())]
        nearest = min(times, default=None)
        if nearest is None or nearest > until or len(self.parked) > 3:
            return False
        self.now = max(self.now, nearest)
        for key, at in dues.items():
            if at <= self.now:
                self.fold(key, Tick())
        for key, at in list(self.row_due.items()):
            if at <= self.now:
                self._linked(on_tick(self.rows[key], self.now))
        return True

    # -- what is asked afterwards -------------------------------------------------------------------------------------

    def live(self, system: str, kind: str) -> list[Doc]:
        """Return documents that a person would count."""
        dead = {"void", "reversed", "failed", "cancelled"}
        return [doc for doc in self.systems[system].of(kind) if getattr(doc.facts, "status", "") not in dead]

    def sum(self, system: str, kind: str) -> Decimal:
        """Return what the documents of a kind add up to."""
        name = "payable_amount" if kind in {"invoice", "order"} else "amount"
        return sum((getattr(doc.facts, name) for doc in self.live(system, kind)), Decimal(0))

    def writes(self) -> int:
        """Return how many writes took effect anywhere."""
        return sum(len(system.writes) for system in self.systems.values())

    def finding(self, key: str, code: str) -> bool:
        """Tell whether the order shows a finding."""
        return any(found.code == code for found in self.public[key].findings)
