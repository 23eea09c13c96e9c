"""The real owner of a connection inside the simulator: its sink talks to a fake platform, on the simulator's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, ClassVar

import msgspec

from app.core.errors import O2CError, UncertainError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.commands import Command, Result
from schemas.connection import Connection
from schemas.events import ChangeEvent
from schemas.facts import Facts, Invoice
from schemas.platform import Consistency, Platform
from sinks.base import Sink, Written
from sinks.delivery.journal import Journal
from sinks.delivery.owner import Owner
from sinks.delivery.row import Row, row_key
from tests.simulator import company
from tests.simulator.fakes import Doc, FakePlatform

_LAG = 30.0
_SETTLE = 60.0


class LedgerSink(Sink):
    """A ledger whose invoices need a customer, found or made by e-mail."""

    platform: ClassVar[Platform] = msgspec.structs.replace(
        company.PLATFORMS["ledgerr"],
        consistency=Consistency(settle_seconds=_SETTLE, search_lag_seconds=_LAG),
    )

    def write(self, command: Command) -> Talk[Written]:
        """Find or make the buyer of a new invoice, then carry the write out."""
        facts, customer = command.facts, ""
        if isinstance(facts, Invoice) and not command.bound_id and facts.customer is not None:
            customer = yield from self._customer(facts.customer.email)
        body = {"command": msgspec.to_builtins(command), "customer": customer}
        step = command.capability
        return _written(
            (yield from self._ask(Request(method="POST", path="/docs", json=body, mutates=True, step=step)))
        )

    def _customer(self, email: str) -> Talk[str]:
        found = (yield from self._ask(Request(method="GET", path="/customers", params={"email": email}))).json()
        if found:
            return str(found[0])
        request = Request(
            method="POST", path="/customers", json=email, mutates=True, step="customer", lock=f"customer:{email}"
        )
        return str((yield from self._ask(request)).json())

    def probe(self, command: Command) -> Talk[Written | None]:
        """Search by mark."""
        reply = yield from self._ask(Request(method="GET", path="/docs", params={"mark": command.mark}))
        return _written(reply) if reply.body else None

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read by id."""
        reply = yield from self._ask(Request(method="GET", path="/docs", params={"id": command.bound_id}))
        return _written(reply) if reply.body else None

    def _ask(self, request: Request) -> Talk[Response]:
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        return reply

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Look at the status alone."""
        return from_status("Ledger", response, mutating=mutating)


def _written(reply: Response) -> Written:
    row = msgspec.json.decode(reply.body)
    return Written(type=row["kind"], id=row["id"], facts=msgspec.convert(row["facts"], Facts), mark=row["mark"])


@dataclass
class Customers:
    """The buyers that a fake platform knows, hidden from searches while they are new."""

    rows: list[tuple[str, datetime]] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    """The customer of each invoice that was made."""


@dataclass
class RealDelivery:
    """Stands where the simulator has a `Delivery`; *fates* by path say what happens to the next POSTs there."""

    platform: FakePlatform
    dice: Random
    emit: Callable[[ChangeEvent | Result], None]
    loop: asyncio.AbstractEventLoop
    fates: dict[str, list[str]] = field(default_factory=dict)
    epoch: int = 1
    customers: Customers = field(default_factory=Customers)
    rows: dict[str, Row] = field(default_factory=dict)
    inbox: dict[str, Command] = field(default_factory=dict)
    now: datetime = company.START
    posts: list[tuple[str, datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        connection: Connection = company.CONNECTIONS[self.platform.name]
        self.owner = Owner(
            LedgerSink(connection), self._send, self, epoch=self.epoch, now=self._time,
            journal=Journal(self.rows.values()),
        )  # fmt: skip
        for command in self.inbox.values():
            self.owner.restore(command)

    def _time(self) -> float:
        return self.now.timestamp()

    def crash(self) -> None:
        """Another worker takes over: memory is lost, inbox and journal are not."""
        self.epoch += 1
        self._begin()

    # -- what the simulator asks of an owner --------------------------------------------------------------------------

    def accept(self, command: Command) -> None:
        self.loop.run_until_complete(self.owner.accept(command))

    def work(self, now: datetime) -> bool:
        """Start all that may leave at *now* and play it to its end."""
        self.now = now
        return self.loop.run_until_complete(self._work())

    async def _work(self) -> bool:
        self.owner._start_what_is_ready()
        worked = bool(self.owner._tasks)
        while self.owner._tasks:
            await asyncio.gather(*self.owner._tasks)
        return worked

    def next_at(self) -> list[datetime]:
        at = self.owner.inbox.next_at()
        return [] if at is None else [datetime.fromtimestamp(at, UTC) + timedelta(milliseconds=1)]

    def read(self, doc: Doc) -> None:
        self.emit(self.platform.event(doc, (self.epoch, self.owner.answers.next_look())))

    # -- the platform -------------------------------------------------------------------------------------------------

    async def _send(
        self, request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None
    ) -> Response:  # fmt: skip
        await asyncio.sleep(0)
        if before is not None:
            await before()
        await asyncio.sleep(0)
        if request.method == "GET":
            return self._found(request)
        self.posts.append((request.path, self.now))
        fates = self.fates.get(request.path, [])
        fate = fates.pop(0) if fates else ""
        if fate == "before":
            raise UncertainError("The line dropped.")
        made = self._make(request)
        if fate == "after":
            raise UncertainError("The line dropped.")
        return made

    def _found(self, request: Request) -> Response:
        if request.path == "/customers":
            visible = self.now - timedelta(seconds=_LAG)
            there = [email for email, at in self.customers.rows if email == request.params["email"] and at <= visible]
            return _reply(there)
        if "mark" in request.params:
            return _doc(self.platform.find(request.params["mark"], self.now))
        return _doc(self.platform.docs.get(request.params["id"]))

    def _make(self, request: Request) -> Response:
        body = msgspec.json.decode(request.content()[0])
        if request.path == "/customers":
            self.customers.rows.append((body, self.now))
            return _reply(body)
        self.customers.used += [body["customer"]] if body["customer"] else []
        return _doc(self.platform.apply(msgspec.convert(body["command"], Command), self.now))

    # -- what is durable ----------------------------------------------------------------------------------------------

    async def keep_row(self, row: Row) -> int:
        self.rows[row_key(row.command, row.step)] = row
        return len(self.rows)

    async def drop_rows(self, keys: list[str]) -> None:
        for key in keys:
            del self.rows[key]

    async def keep_command(self, command: Command) -> None:
        self.inbox[command.id] = command

    async def drop_command(self, command: str) -> None:
        self.inbox.pop(command, None)

    async def publish_result(self, result: Result) -> None:
        self.emit(msgspec.structs.replace(result, events=()))
        for event in result.events:  # one by one: whatever comes between must not matter
            self.emit(event)

    async def dead_letter(self, command: Command, reason: str) -> None:
        raise AssertionError(f"{command.id} was refused: {reason}")


def _reply(body: Any) -> Response:
    return Response(status=200, body=msgspec.json.encode(body))


def _doc(doc: Doc | None) -> Response:
    if doc is None:
        return Response(status=200)
    return _reply({"id": doc.id, "kind": doc.kind, "mark": doc.mark, "facts": doc.facts})
