"""SCENARIOS 28, 30, 32 and 39: workers lose their memory, stand still, or come back with another configuration."""

from __future__ import annotations

import shutil
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.cli.topics import apply_topics
from app.core import topics
from app.demo.stack import free_port
from tests.e2e.people import HEAD, LINES, head
from tests.e2e.running import Running, running
from tests.e2e.scenes import Stage, over
from tests.e2e.test_one_edit import shown

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]
ORDERS = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Return a company of its own with orders in all five systems."""
    folder = tmp_path_factory.mktemp("restarts")
    async with running(kafka, folder, f"restarts-{uuid.uuid4().hex[:8]}-", settle=1.0) as there:
        found = Stage(there)
        await found.fill(ORDERS)
        yield found


def documents(company: Running) -> dict[str, Counter[str]]:
    """Return how many documents of each kind every system holds."""
    return {system: Counter(str(row["kind"]) for row in company.books(system)) for system in HEAD}


async def test_28_a_changelog_that_is_lost_makes_nothing_twice(stage: Stage) -> None:
    company, prefix = stage.company, stage.company.settings.topics.prefix
    orders = list(stage.stock)[:ORDERS]
    await company.silent(2)
    before = documents(company)
    await company.stack.kill("streams-1")
    await company.admin.delete_topics([prefix + topics.ORDERS_CHANGELOG, prefix + topics.LINKS_CHANGELOG])
    await apply_topics(company.settings)
    shutil.rmtree(company.settings.data_dir / "streams-1", ignore_errors=True)
    await company.stack.start_role("streams", _config(company), "streams-1")
    for key, id_ in orders:
        await company.act("shop", "edit_order", id=id_, po_number=f"PO-{key[:6]}")
    for key, _ in orders:
        await company.until(lambda key=key: set(shown(company, key).values()) == {f"PO-{key[:6]}"}, "the edit arrives")
    await over(company)
    await company.silent()
    assert documents(company) == before, "what was there was found, and nothing was made"
    assert {head(company, system, key)["total"] for system in HEAD for key, _ in orders} == {"24.00"}


def _config(company: Running) -> Path:
    return company.stack.folder / "o2c.toml"


def beside(company: Running, name: str, **changed: str) -> Path:
    """Write the configuration of a second worker: with status pages of its own, and what is *changed*."""
    text = _config(company).read_text("utf-8")
    for role in ("streams", "connectors"):
        text = text.replace(f"port = {getattr(company.settings, role).port}", f"port = {free_port()}")
    for old, new in changed.items():
        assert f'= "{old}"' in text
        text = text.replace(f'= "{old}"', f'= "{new}"')
    path = _config(company).with_name(f"{name}.toml")
    path.write_text(text, encoding="utf-8")
    return path


async def test_39_another_tax_mapping_in_a_rolling_restart_reissues_nothing(stage: Stage) -> None:
    company, old = stage.company, _config(stage.company)
    orders = list(stage.stock)[:4]
    before = documents(company)
    await company.stack.start_role("streams", beside(company, "second", OUTPUT="OUTPUT2"), "streams-2")
    await renumbered(stage, orders, "BOTH")
    for config in (beside(company, "third", OUTPUT="OUTPUT2"), old):  # partitions go to the new one, and back
        await company.stack.kill("streams-1")
        await company.stack.start_role("streams", config, "streams-1")
        await renumbered(stage, orders, config.stem.upper())
    await company.stack.kill("connectors-1")
    await company.stack.start_role("connectors", beside(company, "fourth", OUTPUT="OUTPUT2"), "connectors-1")
    await renumbered(stage, orders, "WRITTEN")
    await company.silent()
    assert documents(company) == before, "nothing was credited or issued again"
    for key, _ in orders:
        assert [head(company, system, key)["total"] for system in HEAD] == ["24.00"] * len(HEAD)
        assert company.findings(key) == []
    await company.stack.kill("connectors-1")
    await company.stack.start_role("connectors", old, "connectors-1")
    await company.stack.kill("streams-2")


async def renumbered(stage: Stage, orders: list[tuple[str, str]], word: str) -> None:
    """Give orders another customer's number in the shop, and wait until every system shows it."""
    for key, id_ in orders:
        await stage.company.act("shop", "edit_order", id=id_, po_number=f"{word}-{key[:4]}")
    for key, _ in orders:
        wanted = {f"{word}-{key[:4]}"}
        await stage.company.until(
            lambda key=key, wanted=wanted: set(shown(stage.company, key).values()) == wanted, f"{word} arrives"
        )


async def test_30_a_system_that_reverts_what_we_write_is_left_alone_after_three_rounds(stage: Stage) -> None:
    company = stage.company
    key, id_ = stage.order()
    await company.act("shop", "edit_order", id=id_, lines=[{**LINES[0], "quantity": 3}])
    await company.until(lambda: head(company, "qbo", key)["total"] == "36.00", "the new total is there")
    bill = str(head(company, "qbo", key)["id"])
    for _ in range(6):
        await company.act("qbo", "edit_invoice", id=bill, lines=LINES)
        await company.caught_up()
        await company.silent(2)
    assert any(one.code == "reverted" for one in company.order(key).findings), company.order(key).findings
    assert head(company, "qbo", key)["total"] == "24.00", "the fourth time it stays as somebody wants it there"


async def test_32_a_worker_that_stood_still_writes_nothing_after_its_successor(stage: Stage) -> None:
    company = stage.company
    still = next(one for one in company.stack._running if one.name == "connectors-1")
    keys = [(await stage.placed())[0] for _ in range(5)]
    still.process.send_signal(signal.SIGSTOP)
    keys += [(await stage.placed())[0] for _ in range(5)]
    await company.stack.start_role("connectors", beside(company, "fifth"), "connectors-2")
    for key in keys:
        await stage.everywhere(key)
    still.process.send_signal(signal.SIGCONT)
    await company.silent()
    assert {head(company, system, key)["total"] for system in HEAD for key in keys} == {"24.00"}
