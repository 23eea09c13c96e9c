"""SCENARIO 40 as it stands: fifty payments go in one call under one key, the call is cut off, one is wanted otherwise meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from app.core import topics
from app.sandbox.platforms.xero import XeroSandbox
from schemas.commands import Command
from schemas.facts import Payment
from schemas.refs import ObjectRef, mark_of, order_key, write_id
from tests.e2e.scenes import strike
from tests.integration.connectors.test_ownership import CONFIG, Stand
from tests.integration.connectors.test_pausing import said
from tests.platforms.xero.company import INVOICE, TENANT

pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]
FIFTY = 50
PAID = "PUT .*/Payments$"
XERO = CONFIG.replace("quickbooks_online", "xero").replace(
    'token = "sandbox-access-token"', 'token = "sandbox-token"'
).replace('sales = "1", payments = "35", rounding = "1"', 'sales = "200", payments = "090", rounding = "860"').replace(
    '"19" = "TAX", "0" = "NON"', '"20" = "OUTPUT", "0" = "NONE"'
)  # fmt: skip


@pytest.fixture
async def stand(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    sandbox = XeroSandbox(TENANT, quota_scale=100)
    sandbox.injector.faults = sandbox.faults.changed({"idempotency_off": 1})
    monkeypatch.setattr("tests.integration.connectors.test_ownership.CONFIG", XERO)
    stand = Stand(kafka, tmp_path, sandbox, TENANT)  # type: ignore[arg-type]
    await stand.open(f"{await sandbox.start(0)}/api.xro/2.0")
    try:
        yield stand
    finally:
        await stand.close()
        await sandbox.stop()


def wanted(number: int, capability: str, facts: object, **links: str) -> Command:
    key = order_key("acme", ObjectRef("shop", "s", "order", str(number)))
    id_ = write_id("books", TENANT, capability, str(number), 0)
    return Command(
        id=id_, kind="create" if capability == "upsert_invoice" else "append", tenant="acme", connection="books",
        account=TENANT, capability=capability, order=key, entity=f"document:{key}", write="w", canonical=str(number),
        mark=mark_of(key, id_), facts=facts, digest="first", links=links,
    )  # type: ignore[arg-type]  # fmt: skip


def money(number: int, reference: str = "") -> Payment:
    amount = Decimal(number + 1) / 100
    return Payment(amount=amount, currency="EUR", date=date(2026, 5, 2), reference=reference or f"P-{number}")


async def waiting(stand: Stand, commands: list[Command]) -> None:
    """Return once all *commands* are in the inbox: they can go in one call."""
    wanted, held, least = {f"books|{one.id}".encode() for one in commands}, set[bytes](), FIFTY
    while not wanted <= held:
        records = await stand.records(topics.INBOX, least)
        held, least = {record.key for record in records}, len(records) + 1


async def test_fifty_payments_of_one_call_that_is_cut_off_are_fifty_and_none_twice(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    await stand.start()
    bills = [
        wanted(number, "upsert_invoice", msgspec.structs.replace(INVOICE, reference=f"SO-{number}"))
        for number in range(FIFTY)
    ]
    await stand.order(*bills)
    bound = {one.command: one.bound for one in await stand.results_of(bills)}
    assert all(bound.values())
    await said(stand, capsys, "connections", "pause", "books")
    await asyncio.sleep(5)  # within that it is obeyed
    paid = [
        wanted(number, "record_payment", money(number), invoice=bound[bill.id].id)  # type: ignore[union-attr]
        for number, bill in enumerate(bills)
    ]
    await stand.order(*paid)
    await waiting(stand, paid)
    since = len(stand.sandbox.log)
    struck = strike(stand.sandbox, "reset_after_commit", PAID)
    await said(stand, capsys, "connections", "resume", "books")
    async with asyncio.timeout(120):
        while not struck:  # noqa: ASYNC110 - the sandbox says nothing of its own accord
            await asyncio.sleep(0.05)
    otherwise = msgspec.structs.replace(paid[7], facts=money(7, "P-7 once more"), digest="second")
    await stand.order(otherwise)
    results = [one for one in await stand.results_of(paid) if one.capability == "record_payment"]
    assert Counter(one.outcome for one in results)["confirmed"] >= FIFTY
    assert {one.outcome for one in results} <= {"confirmed", "superseded"}
    rows = [row for row in stand.sandbox.books() if row["kind"] == "payment"]
    assert sorted(Decimal(row["amount"]) for row in rows) == [money(number).amount for number in range(FIFTY)]
    calls = [entry for entry in list(stand.sandbox.log)[since:] if entry.mutating and re.search(PAID, entry.operation)]
    assert len(calls) == 1, "all went in one, and what became of it was asked"
