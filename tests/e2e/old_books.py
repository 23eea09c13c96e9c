"""A shop with old orders, of which a bookkeeper typed most into the ledger by hand: what o2c makes of these books."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from app.cli import main
from tests.e2e.running import Running, running

FLOW = """\
[[tenant.flows]]
name = "web"
key_giver = "shop"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
"""
_NAMES = ("Ada Lovelace", "Grace Hopper", "Alan Turing", "Radia Perlman", "Barbara Liskov", "Edsger Dijkstra")
_WAYS = ("{}", "#{}", "Order {}", "Order #{}")
_AT_ONCE = 16


@dataclass(frozen=True)
class Books:
    """How many orders there are, how many were typed, and of how many of those the amount is wrong."""

    orders: int
    typed: int
    wrong: int

    @property
    def missing(self) -> int:
        """Return how many orders nobody typed."""
        return self.orders - self.typed

    @property
    def right(self) -> int:
        """Return how many documents bill what their order says."""
        return self.typed - self.wrong


class Old:
    """The company on its first day."""

    def __init__(self, there: Running, books: Books, dice: Random) -> None:
        self.there, self.books, self._dice = there, books, dice

    async def keep(self) -> None:
        """Place the orders over the last year, and type what the bookkeeper typed."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with limit:
                await self._order(number)

        await asyncio.gather(*(one(number) for number in range(self.books.orders)))

    async def _order(self, number: int) -> None:
        day = datetime.now(UTC) - timedelta(days=365 * (1 - number / self.books.orders) + 1)
        price, name = Decimal(1_000 + 7 * number) / 100, _NAMES[number % len(_NAMES)]
        email = f"customer{number % 50}@example.com"
        line = {"sku": "MUG", "title": "Mug", "quantity": 1, "price": f"{price:.2f}", "tax_rate": "20"}
        placed = await self.there.act(
            "shop", "create_order", reference=f"#{5_000 + number}", name=name, email=email, lines=[line],
            placed_at=day.isoformat(),
        )  # fmt: skip
        if number >= self.books.typed:
            return
        if number < self.books.wrong:
            line = {**line, "price": f"{price + 1:.2f}"}
        typed = self._dice.choice(_WAYS).format(5_000 + number)
        written = self._dice.choice((name, name.upper(), f"{name[0]}. {name.split()[1]}", f"{name} Ltd", name[:-1]))
        await self.there.act(
            "books", "type_invoice", reference=typed, customer=written, lines=[line], date=day.date().isoformat()
        )
        assert placed["total"]

    # -- what the operations team does ---------------------------------------------------------------------------------

    async def o2c(self, *words: str) -> tuple[int, Any]:
        """Run a command with --json, in this process: to start one for each takes longer than the command.

        Return its exit code and what it printed, decoded.
        """
        config = str(self.there.stack.folder / "o2c.toml")
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = await asyncio.to_thread(main, [*words, "--config", config, "--json"])
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        return code, lines or err.getvalue()

    async def plan(self) -> dict[str, Any]:
        """Return the plan of the flow."""
        code, said = await self.o2c("plan", "--flow", "web")
        assert code == 0, said
        (plan,) = said[0]["plans"]
        return dict(plan)

    async def read_whole(self, seconds: float) -> None:
        """Wait until the plan knows every order and document."""
        books = self.books
        for _ in range(int(seconds / 2)):
            plan = await self.plan()
            seen = (plan["orders"], len(rows(plan, "adopt")), len(disputed(plan)))
            if seen == (books.orders, books.right, books.wrong):
                return
            await asyncio.sleep(2)
        raise AssertionError(f"not read whole within {seconds:.0f} s: {seen}")

    async def go_live(self, plan: dict[str, Any]) -> None:
        """Go live with what *plan* said."""
        code, said = await self.o2c("flows", "go-live", "web", "--plan", plan["digest"])
        assert code == 0, said

    async def backfill(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Ask for the old orders as *plan* lists them."""
        code, said = await self.o2c("flows", "backfill", "web", "--plan", plan["digest"])
        assert code == 0, said
        return dict(said[0])

    def invoices(self) -> list[dict[str, Any]]:
        """Return the invoices of the ledger."""
        return [row for row in self.there.books("books") if row["kind"] == "invoice"]

    def ours(self) -> list[dict[str, Any]]:
        """Return the invoices of the ledger that carry our mark."""
        return [row for row in self.invoices() if "o2c1:" in row["mark"]]

    def writes(self) -> int:
        """Return how many changing calls the ledger and the shop have had since the roles were started."""
        return sum(self.there.writes().values())

    def agrees(self) -> None:
        """Check the ledger against the shop: one invoice per order, to the cent but for those typed wrong."""
        books, ours = self.books, self.ours()
        assert len(ours) == books.missing
        assert len(self.invoices()) == books.orders
        expected = {f"{1.2 * (1_000 + 7 * number) / 100:.2f}" for number in range(books.typed, books.orders)}
        assert {row["total"] for row in ours} == expected


def rows(plan: dict[str, Any], action: str, *, old: bool | None = None) -> list[dict[str, Any]]:
    """Return the rows of *plan* with that action."""
    found = [row for row in plan["rows"] if row["action"] == action]
    return [row for row in found if old is None or row["old"] is old]


def disputed(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a person must look at."""
    return [one for one in plan["findings"] if one["finding"]["code"] == "ambiguous_document"]


@contextlib.asynccontextmanager
async def old_books(bootstrap: str, folder: Path, prefix: str, books: Books, seed: int) -> AsyncIterator[Old]:
    """Start everything over books that were kept by hand until now; the flow is in shadow."""
    kept: list[Old] = []

    async def past(there: Running) -> None:
        kept.append(Old(there, books, Random(seed)))
        await kept[0].keep()

    async with running(bootstrap, folder, prefix, webhooks=False, flow=FLOW, start="first start", past=past) as _there:
        yield kept[0]
