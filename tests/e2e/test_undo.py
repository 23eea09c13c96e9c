"""A live flow that wrote what is wrong, on a real Kafka: stopped, its undo shown and done; both ledgers net to zero."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.sandbox.base import Sandbox
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from app.sandbox.platforms.xero import XeroSandbox
from tests.e2e.test_external import CONFIG, REALM, XERO, order, payment, process, publish

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(300)]
Row = dict[str, Any]
ORDERS = ("E-1", "E-2", "E-3", "E-4", "E-5")
"""Paid, unpaid, paid in part, paid and refunded in part, with a parcel."""


class Company:
    """Two ledgers, the command line of their company, and what their books come to."""

    def __init__(self, bootstrap: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.bootstrap, self.capsys, self.prefix = bootstrap, capsys, f"undo-{uuid.uuid4().hex[:8]}-"
        self.config = folder / "o2c.toml"
        self.ledgers: dict[str, Sandbox] = {
            "books": XeroSandbox(XERO, quota_scale=50), "qbo": QuickbooksOnlineSandbox(REALM, quota_scale=50),
        }  # fmt: skip

    def tell(self, topic: str, kind: str, data: Row) -> None:
        publish(self.bootstrap, self.prefix + topic, kind, data)

    async def says(self, *words: str) -> tuple[int, str, str]:
        """Run a command; return its exit code and what it printed."""
        code = await asyncio.to_thread(main, [*words, "--config", str(self.config)])
        return code, *self.capsys.readouterr()

    def rows(self, ledger: str, *kinds: str) -> list[Row]:
        """Return what a ledger holds and what counts there."""
        found = [row for row in self.ledgers[ledger].books() if row["kind"] in kinds]
        return [row for row in found if row["status"] not in {"void", "deleted"}]

    def net(self, ledger: str) -> tuple[Decimal, Decimal, Decimal]:
        """Return what a ledger bills, what it received, and what is still owed or left, over our documents."""
        ours = {kind: self._ours(ledger, kind) for kind in ("invoice", "credit", "payment", "refund")}
        billed = _sum(ours["invoice"], "total") - _sum(ours["credit"], "total")
        received = _sum(ours["payment"], "amount") - _sum(ours["refund"], "amount")
        return billed, received, _sum(ours["invoice"], "due") + _sum(ours["credit"], "due")

    def _ours(self, ledger: str, kind: str) -> list[Row]:
        return [row for row in self.rows(ledger, kind) if "o2c1:" in str(row.get("mark"))]

    async def until(self, true: Callable[[], Any], what: str) -> None:
        for _ in range(900):
            if true():
                return
            await asyncio.sleep(0.2)
        books = {name: self.rows(name, "invoice", "credit", "payment", "refund") for name in self.ledgers}
        raise AssertionError(f"{what}: {json.dumps(books, indent=1, default=str)}")


def _sum(rows: list[Row], name: str) -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))


def _child(kind: str, number: str, **facts: Any) -> Row:
    made = payment(number, "0.00")
    made["object"] = {**made["object"], "type": kind, "id": f"{number}-{kind}"}
    return {**made, "facts": {"type": kind, **facts}}


def _sold(company: Company) -> None:
    for number in ORDERS:
        company.tell("crm-changes", "order", order(number, "24.00"))
    for number, amount in (("E-1", "24.00"), ("E-3", "9.99"), ("E-4", "24.00")):
        company.tell("accounting-changes", "payment", payment(number, amount))
    parcel = _child("shipment", "E-5", carrier="UPS", tracking_numbers=["1Z1"], shipped_at="2026-03-03T10:00:00+00:00")
    company.tell("crm-changes", "shipment", parcel)


def _written(company: Company, ledger: str) -> bool:
    """Tell whether a ledger shows all that was sold, its money, the refund and the parcel."""
    counts = [len(company.rows(ledger, kind)) for kind in ("invoice", "payment", "credit", "refund")]
    parcels = [row for row in company.ledgers[ledger].books() if "1Z1" in str(row.get("tracking"))]
    return counts == [len(ORDERS) + 1, 3, 1, 1] and bool(parcels)


async def test_what_a_stopped_flow_wrote_is_taken_back_to_the_cent(
    kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    company = Company(kafka, tmp_path, capsys)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    async with AsyncExitStack() as stack:
        urls = {}
        for name, sandbox in company.ledgers.items():
            urls[name] = await sandbox.start()
            stack.push_async_callback(sandbox.stop)
        company.config.write_text(
            CONFIG.format(bootstrap=kafka, prefix=company.prefix, xero=XERO, realm=REALM, **urls), encoding="utf-8"
        )
        await apply_topics(load(company.config, os.environ))
        for role in ("streams", "connectors"):
            words = ("-m", "app", "run", role, "--config", str(company.config))
            await stack.enter_async_context(process(tmp_path, role, *words))
        typed = {"customer": "Somebody", "reference": "by hand", "currency": "EUR"}
        for ledger in company.ledgers.values():
            ledger.verbs["type_invoice"]({**typed, "lines": [{"title": "x", "quantity": 1, "price": "10.00"}]})
        _sold(company)
        refund = _child("credit", "E-4", document="refund", amount="6.00", tax_amount="1.00", currency="EUR")
        await company.until(lambda: all(len(company.rows(one, "payment")) == 3 for one in company.ledgers), "paid")
        company.tell("accounting-changes", "credit", refund)
        await company.until(lambda: all(_written(company, one) for one in company.ledgers), "written")

        words = ("flows", "undo", "erp", "--since", since)
        _, live, _ = await company.says(*words)
        digest = live.split()[-1]
        assert "to have it written" in live
        code, _, err = await company.says(*words, "--plan", digest)
        assert (code, "erp is live and writes on" in err) == (1, True)
        assert (await company.says("flows", "stop", "erp"))[0] == 0
        plan = await _settled(company, words, "unanswered", "unread")
        assert (plan["orders"], plan["unanswered"], plan["unread"], plan["findings"]) == (5, 0, 0, [])
        shown = {(row["target"], row["number"], row["document"], row["amount"]) for row in plan["rows"]}
        assert shown == {(target, *row) for target in company.ledgers for row in _ends()}
        totals = {(one["target"], one["document"]): one["amount"] for one in plan["totals"]}
        assert (totals["books", "void"], totals["qbo", "payment reversal"]) == ("96.00", "57.99")

        code, out, _ = await company.says(*words, "--plan", plan["digest"])
        assert (code, out) == (0, f"erp: {len(plan['rows'])} writes take back what it wrote for 5 orders.\n")
        await company.until(lambda: {company.net(one) for one in company.ledgers} == {(0, 0, 0)}, "net zero")
        again = await _settled(company, words, "under_way")
        assert [len(company._ours(one, "invoice")) for one in company.ledgers] == [1, 1], "all but E-4 are void"
        assert (again["orders"], again["rows"], again["under_way"]) == (0, [], 0)
        for ledger in company.ledgers:
            (theirs,) = [row for row in company.rows(ledger, "invoice") if "o2c1:" not in str(row["mark"])]
            assert (theirs["total"], theirs["due"]) == ("10.00", "10.00"), "nobody touched what a person typed"
        for number in ("E-1", "E-4"):
            _, said, _ = await company.says("orders", "get", number)
            assert "What o2c wrote in books was undone" in said
            assert "stays" not in said, "a person has nothing to do"


def _ends() -> set[tuple[str, str, str]]:
    """Return what takes back the five orders in each ledger: order, document, amount."""
    return {
        ("E-1", "payment reversal", "24.00"), ("E-1", "void", "24.00"), ("E-2", "void", "24.00"),
        ("E-3", "payment reversal", "9.99"), ("E-3", "void", "24.00"), ("E-4", "payment reversal", "24.00"),
        ("E-4", "refund reversal", "6.00"), ("E-4", "credit note", "18.00"), ("E-4", "credit application", "6.00"),
        ("E-5", "void", "24.00"),
    }  # fmt: skip


async def _settled(company: Company, words: tuple[str, ...], *counts: str) -> Row:
    """Ask what would be undone until nothing is counted any more under *counts*."""
    for _ in range(180):
        plan: Row = json.loads((await company.says(*words, "--json"))[1])
        if not any(plan[count] for count in counts):
            return plan
        await asyncio.sleep(0.5)
    raise AssertionError(f"not settled: {plan}")
