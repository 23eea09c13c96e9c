"""An owner before a ledger that commits and drops the line, in memory and with a fake clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from app.core.errors import AuthError, O2CError, RateLimited, UncertainError
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
    auth=Auth(), limits=Limits(), consistency=Consistency(settle_seconds=100.0), objects={"invoice": "invoice"},
    statuses={}, capabilities={"upsert_invoice": Effect.RECORDS},
)  # fmt: skip


class Ledgerish(Sink):
    """An invoice is one POST; our mark finds it again."""

    platform: ClassVar[Platform] = PLATFORM

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        path = f"/invoices/{command.bound_id}" if command.bound_id else "/invoices"
        body = {"mark": command.mark, **command.fields}
        reply = yield Request(method="POST", path=path, json=body, mutates=True, step="invoice", key_in="header:Key")
        if (error := self.classify(reply, mutating=True)) is not None:
            raise error
        return written(reply.json())

    def probe(self, command: Command) -> Talk[Written | None]:
        reply = yield Request(method="GET", path="/invoices", params={"mark": command.mark})
        rows = reply.json()
        return written(rows[0]) if rows else None

    def reread(self, command: Command) -> Talk[Written | None]:
        reply = yield Request(method="GET", path=f"/invoices/{command.bound_id}")
        return written(reply.json())

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        return from_status("Made up", response, mutating=mutating)


def written(row: Mapping[str, Any]) -> Written:
    shouted = row.get("po_number", "").upper()  # systems have their own words
    facts = Invoice(currency="EUR", payable_amount=Decimal(24), note=row.get("note", ""), po_number=shouted)
    return Written(type="invoice", id=row["id"], facts=facts, mark=row["mark"])


class Vendor:
    """Holds invoices; *fate* decides for each POST: "ok", "before", "after" (committed, then the line drops), or a status."""

    def __init__(self, fates: Sequence[str | int] = ()) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.fates = list(fates)
        self.calls: list[str] = []
        self.priorities: list[int] = []
        self.visible_from = 0.0
        self.clock: Callable[[], float] = lambda: 0.0

    async def __call__(
        self, request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None
    ) -> Response:
        await asyncio.sleep(0)
        if before is not None:
            await before()
        self.calls.append(f"{request.method} {key[:4]}")
        self.priorities.append(request.priority)
        if request.method == "GET":
            return self._read(request)
        fate = self.fates.pop(0) if self.fates else "ok"
        if fate == "before":
            raise UncertainError("reset")
        if fate == "limited":
            raise RateLimited("slow down", 5.0)
        if fate == "refused":
            raise AuthError("who are you")
        if isinstance(fate, int):
            return Response(status=fate, body=b"{}")
        row = {
            **request.json,
            "id": request.path.split("/")[2] if request.path.count("/") > 1 else str(len(self.rows) + 1),
        }
        self.rows[row["id"]] = row
        if fate == "after":
            raise UncertainError("reset")
        return _reply(row)

    def _read(self, request: Request) -> Response:
        if "mark" in request.params:
            rows = [row for row in self.rows.values() if row["mark"] == request.params["mark"]]
            return _reply(rows if self.clock() >= self.visible_from else [])
        return _reply(self.rows[request.path.split("/")[2]])


def _reply(body: object) -> Response:
    return Response(status=200, body=json.dumps(body).encode())


class Bench:
    """One owner with its vendor, log and clock."""

    def __init__(self, fates: Sequence[str | int] = (), log: Log | None = None, vendor: Vendor | None = None) -> None:
        self.time = 1_000.0
        self.vendor, self.log = vendor or Vendor(fates), log or Log()
        self.vendor.clock = lambda: self.time
        connection = Connection(name="books", tenant="acme", platform="made_up", account="b")
        self.lease = True
        self.owner = Owner(
            Ledgerish(connection), self.vendor, self.log, epoch=1, now=lambda: self.time, journal=Journal(self.log.rows.values()),
            owns=lambda: self.lease,
        )  # fmt: skip

    async def work(self, seconds: float = 1.0) -> None:
        """Run the owner while *seconds* of fake time pass."""
        for _ in range(int(seconds * 2) + 1):
            self.owner._start_what_is_ready()
            while self.owner._tasks:
                await asyncio.gather(*self.owner._tasks)
            self.time += 0.5


def command_of(**changes: Any) -> Command:
    values: dict[str, Any] = {
        "id": "c1",
        "kind": "create",
        "tenant": "acme",
        "connection": "books",
        "account": "b",
        "entity": "document:o",
        "capability": "upsert_invoice",
        "order": "o",
        "write": "books|document",
        "canonical": "x",
        "mark": "m1",
        "facts": Invoice(currency="EUR", payable_amount=Decimal(24)),
        "fields": {"note": ""},
        "digest": "d1",
    }
    return Command(**{**values, **changes})
