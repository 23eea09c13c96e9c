"""An owner before a vendor that takes batches, in memory and with a fake clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from app.core.errors import O2CError, RejectedError, UncertainError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Invoice
from schemas.platform import Auth, Consistency, Effect, Limits, Platform
from sinks.base import Sink, Written
from sinks.delivery.journal import Journal
from sinks.delivery.owner import Owner
from tests.unit.sinks.delivery.keeping import Log

PLATFORM = Platform(
    slug="made_up", title="Made up", side="accounting", base_url="https://example.com", docs="https://example.com",
    auth=Auth(), limits=Limits(), consistency=Consistency(settle_seconds=20.0, search_lag_seconds=5.0),
    objects={"invoice": "invoice"}, statuses={}, capabilities={"upsert_invoice": Effect.RECORDS},
)  # fmt: skip


class Books(Sink):
    """An invoice needs its customer, found or made by e-mail; many invoices go in one call."""

    platform: ClassVar[Platform] = PLATFORM
    batch: ClassVar[Mapping[str, int]] = {"upsert_invoice": 50}

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        body = {"mark": command.mark, "note": command.fields.get("note", "")}
        if email := command.links.get("customer"):
            body["customer"] = yield from self._customer(email)
        if command.text == "poison":
            raise KeyError("a mistake in the mapper")
        lock = command.links.get("behind", "")
        request = Request(method="POST", path="/invoices", json=[body], mutates=True, step="invoice", lock=lock)
        reply = yield from self._ask(msgspec.structs.replace(request, shared=False))
        return shown(reply.json()[0])

    def write_many(self, commands: Sequence[Command]) -> Talk[list[Written | O2CError]]:
        body = [{"mark": one.mark, "note": one.fields.get("note", "")} for one in commands]
        reply = yield from self._ask(Request(method="POST", path="/invoices", json=body, mutates=True, step="invoices"))
        return [RejectedError(f"Made up: {row['error']}.") if "error" in row else shown(row) for row in reply.json()]

    def _customer(self, email: str) -> Talk[str]:
        found = (yield from self._ask(Request(method="GET", path="/customers", params={"email": email}))).json()
        if found:
            return str(found[0]["id"])
        body = {"email": email}
        request = Request(
            method="POST", path="/customers", json=body, mutates=True, step="customer", lock=f"customer:{email}"
        )
        try:
            reply = yield from self._ask(request)
        except RejectedError:  # another customer has the name
            named = {**body, "name": email}
            reply = yield from self._ask(msgspec.structs.replace(request, json=named, step="customer:renamed"))
        return str(reply.json()["id"])

    def _ask(self, request: Request) -> Talk[Response]:
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        return reply

    def probe(self, command: Command) -> Talk[Written | None]:
        reply = yield from self._ask(Request(method="GET", path="/invoices", params={"mark": command.mark}))
        return shown(reply.json()[0]) if reply.json() else None

    def reread(self, command: Command) -> Talk[Written | None]:
        reply = yield from self._ask(Request(method="GET", path="/invoices", params={"id": command.bound_id}))
        return shown(reply.json()[0]) if reply.json() else None

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        return from_status("Made up", response, mutating=mutating)


def shown(row: Mapping[str, Any]) -> Written:
    facts = Invoice(currency="EUR", payable_amount=Decimal(1), note=row["note"])
    return Written(type="invoice", id=row["id"], facts=facts, mark=row["mark"])


class Vendor:
    """Holds invoices and customers; *fates* by path: what happens to the next POSTs there."""

    def __init__(self, **fates: list[str]) -> None:
        self.invoices: list[dict[str, Any]] = []
        self.customers: list[dict[str, Any]] = []
        self.fates = fates
        self.posts: list[tuple[str, str, bytes]] = []
        self.refused: set[str] = set()
        self.taken: set[str] = set()
        self.hidden = False
        self.shouts = False
        """Words notes in capitals."""

    async def __call__(
        self, request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None
    ) -> Response:
        await asyncio.sleep(0)
        if before is not None:
            await before()
        await asyncio.sleep(0)
        kept = self.customers if request.path == "/customers" else self.invoices
        if request.method == "GET":
            ((name, value),) = request.params.items()
            return _reply([row for row in kept if row[name] == value and not (self.hidden and kept is self.customers)])
        content = request.content()[0]
        self.posts.append((request.path, key, content))
        fates = self.fates.get(request.path[1:], [])
        fate = fates.pop(0) if fates else "ok"
        if fate == "before":
            raise UncertainError("reset")
        if fate.isdigit():
            return Response(status=int(fate), body=b"{}")
        body = json.loads(content)
        if kept is self.customers and "name" not in body and body["email"] in self.taken:
            return Response(status=400, body=b"{}")
        rows = [self._add(kept, row) for row in (body if isinstance(body, list) else [body])]
        if fate == "after":
            raise UncertainError("reset")
        return _reply(rows if isinstance(body, list) else rows[0])

    def _add(self, kept: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
        if row.get("mark") in self.refused:
            return {"error": "no such account"}
        row = {**row, "note": row["note"].upper()} if self.shouts else row
        kept.append({**row, "id": f"{len(kept) + 1}"})
        return kept[-1]


def _reply(body: object) -> Response:
    return Response(status=200, body=json.dumps(body).encode())


class Bench:
    def __init__(self, vendor: Vendor, log: Log | None = None, time: float = 1_000.0, epoch: int = 1) -> None:
        self.time, self.vendor, self.log, self.lease = time, vendor, log or Log(), True
        self.clock: Callable[[], float] = lambda: self.time
        self.stopped: set[str] = set()
        connection = Connection(name="books", tenant="t", platform="made_up", account="a")
        self.owner = Owner(
            Books(connection), vendor, self.log, epoch=epoch, now=self._now, journal=Journal(self.log.rows.values()),
            owns=lambda: self.lease,
        )  # fmt: skip
        self.owner.live = lambda flow: flow not in self.stopped

    def _now(self) -> float:
        return self.clock()

    async def work(self, seconds: float = 1.0, *commands: Command) -> None:
        for command in commands:
            await self.owner.accept(command)
        for _ in range(int(seconds * 2) + 1):
            await self.owner._plan_afresh()
            self.owner._start_what_is_ready()
            while self.owner._tasks:
                await asyncio.gather(*self.owner._tasks)
            self.time += 0.5


def command(number: int, **changes: Any) -> Command:
    values: dict[str, Any] = {
        "id": f"c{number}", "kind": "create", "tenant": "t", "connection": "books", "account": "a",
        "capability": "upsert_invoice", "order": f"o{number}", "entity": f"e{number}", "write": "w", "canonical": "x",
        "mark": f"m{number}", "facts": Invoice(currency="EUR", payable_amount=Decimal(1)), "fields": {"note": "n"},
    }  # fmt: skip
    return Command(**{**values, **changes})


def single(number: int, **changes: Any) -> Command:
    """Return a command that goes by itself: nobody knows whether it was made before."""
    return command(number, presence="unknown", **changes)
