"""The whole event stream a second time, and every webhook a second time: no command, no write, identical states."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from app.core import topics
from app.demo.history import generated
from app.demo.play import Player
from tests.e2e.people import head, order_in_shop
from tests.e2e.running import QUIET, Offsets, Running
from tests.e2e.scenes import records

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.asyncio(loop_scope="package")]
SOURCES = (topics.CRM_CHANGES, topics.ACCOUNTING_CHANGES)
INPUTS = (*SOURCES, topics.ORDER_FACTS, topics.LINKS, topics.RESULTS)
"""All that the stream processors read: what systems told, and what the processors and the connectors told each other."""


async def again(company: Running, *names: str) -> Offsets:
    """Produce every record of *names* once more, bytes and headers as they were; return the new end offsets."""
    played = await records(company, *names)
    producer = AIOKafkaProducer(bootstrap_servers=company.settings.kafka.bootstrap, acks="all")
    await producer.start()
    try:
        for record in played:
            how: dict[str, Any] = {"key": record.key, "headers": list(record.headers), "partition": record.partition}
            await producer.send(record.topic, record.value, **how)
        await producer.flush()
    finally:
        await producer.stop()
    assert len(played) > 100, "there is a history to replay"
    return await company.ends(names)


async def states(company: Running) -> dict[bytes, bytes]:
    """Return what the processors keep, key -> newest bytes: orders and links, the observations' versions included."""
    return {
        record.key: record.value for record in await records(company, topics.ORDERS_CHANGELOG, topics.LINKS_CHANGELOG)
    }


def exported(company: Running, path: Path) -> bytes:
    """Return what `o2c orders export` writes."""
    words = ["-m", "app", "orders", "export", "--config", str(company.stack.folder / "o2c.toml"), str(path)]
    subprocess.run([sys.executable, *words], check=True, timeout=240)
    return path.read_bytes()


async def played(company: Running) -> None:
    """Play a history of orders and deals, and a payment and an edit that begin elsewhere; return once it is over."""
    player = Player(company.session, company.stack.urls)
    await player.play(generated(8, 3, seed=7))
    key, _ = await order_in_shop(company)
    await company.act("books", "type_payment", invoice_id=head(company, "books", key)["id"], amount="24.00")
    await company.act("crm", "edit_deal", id=head(company, "crm", key)["id"], reference="PO-R")
    await company.until(lambda: head(company, "qbo", key)["status"] == "paid", "the payment is everywhere")
    await company.until(lambda: head(company, "qbo", key)["order_ref"] == "PO-R", "the edit is everywhere")
    await company.silent(QUIET)


async def test_nothing_is_commanded_written_or_changed(company: Running, tmp_path: Path) -> None:
    await played(company)
    writes, commands = company.writes(), await company.ends([topics.COMMANDS])
    inner, public = await states(company), exported(company, tmp_path / "before.jsonl")
    books = {name: company.books(name) for name in company.sandboxes}
    assert min(writes.values()) > 0, "every system was written to"
    assert len(public.splitlines()) >= 12
    assert sum(commands.values()) > 50

    before = await company.ends(INPUTS)
    ends = await again(company, *INPUTS)
    assert sum(ends.values()) >= 2 * sum(before.values()), "all of it is on the topics a second time"
    await company.caught_up()  # the processors' group has committed all of it: it was read and folded
    await company.silent(QUIET)
    assert await company.ends([topics.COMMANDS]) == commands
    assert company.since(writes) == {}, company.last_writes(writes)
    assert await states(company) == inner

    told = {name: sandbox.hooks.counts["delivered"] for name, sandbox in company.sandboxes.items()}
    for name, hooks in company.hooks.items():
        for send in list(hooks):
            send()
        assert len(hooks) > 5, name
    await company.silent(QUIET)
    for name, sandbox in company.sandboxes.items():
        assert sandbox.hooks.counts["delivered"] > told[name], f"{name}: delivered and answered 2xx"
        assert sandbox.hooks.counts["given_up"] == 0
    assert await company.ends([topics.COMMANDS]) == commands
    assert company.since(writes) == {}, company.last_writes(writes)
    assert exported(company, tmp_path / "after.jsonl") == public
    assert {name: company.books(name) for name in company.sandboxes} == books
