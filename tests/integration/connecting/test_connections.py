"""`o2c connections list|show` beside a running connectors role: what Kafka holds and what the role shows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from app.cli import main
from app.config.load import load
from app.connecting.storing import TokenShelf
from app.core.auth import Tokens
from app.demo.stack import free_port
from tests.integration.connectors.test_ownership import Stand, orders, stand

__all__ = ["stand"]
pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]


async def told(stand: Stand, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code = await asyncio.to_thread(main, ["connections", *words, "--config", str(stand.config), "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


async def until(
    stand: Stand, capsys: pytest.CaptureFixture[str], true: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Look until *true* holds, and return what was told."""
    deadline = time.monotonic() + 180
    while True:
        found: dict[str, Any] = await told(stand, capsys, "show", "books")
        if true(found):
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.3)


def on_port(stand: Stand) -> None:
    text = stand.config.read_text("utf-8").replace("port = 0", f"port = {free_port()}")
    stand.config.write_text(text, encoding="utf-8")


async def test_what_is_known_is_shown_and_what_is_not_is_null(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    on_port(stand)
    first, *others = orders(3)
    await stand.order(first)
    before = await told(stand, capsys, "show", "books")
    assert before["state"] == "unknown"
    assert before["why"].startswith("The connectors do not answer at http://127.0.0.1:")
    assert (before["waiting"], before["quota_left"], before["complete_up_to"]) == (1, None, None), "nobody took it yet"

    await stand.start()
    await stand.results(1)
    well = await until(
        stand, capsys, lambda now: now["state"] == "well" and now["complete_up_to"] and not now["waiting"]
    )
    assert (well["waiting"], well["why"], well["credential"]) == (0, "", "configured")
    assert well["quota_left"] > 0
    assert well["account"] == stand.account

    await told(stand, capsys, "pause", "books")
    await until(stand, capsys, lambda now: now["state"] == "paused")
    await asyncio.sleep(2)
    await stand.order(*others)
    paused = await until(stand, capsys, lambda now: now["waiting"] == 2)
    assert paused["paused"] is True
    await told(stand, capsys, "resume", "books")
    await stand.results_of([first, *others])
    await until(stand, capsys, lambda now: (now["state"], now["waiting"]) == ("well", 0))

    stand.sandbox.oauth.revoke()
    stopped = await until(stand, capsys, lambda now: now["state"] == "stopped")
    assert "refuse" in stopped["why"]
    (row,) = await told(stand, capsys, "list")
    assert {**stopped, "quota_left": 0, "why": ""} == {**row, "quota_left": 0, "why": ""}


async def test_a_person_reads_it_as_a_table(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(main, ["connections", "list", "--config", str(stand.config)]) == 0
    head, row, why = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "connection"
    assert head.index("state") == row.index("unknown")
    assert row.count("not known") == 3
    assert row.endswith("0")
    assert why.startswith("  The connectors do not answer at ")
    assert await asyncio.to_thread(main, ["connections", "show", "books", "--config", str(stand.config)]) == 0
    card = capsys.readouterr().out
    assert card.startswith("books\n  tenant             acme\n")
    assert "\n  quota left         not known\n" in card


async def test_missing_topics_are_a_sentence(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    stand.config.write_text(stand.config.read_text("utf-8").replace(stand.prefix, "nothing-"), encoding="utf-8")
    assert await asyncio.to_thread(main, ["connections", "list", "--config", str(stand.config)]) == 2
    assert "does not exist; run `o2c topics apply`." in capsys.readouterr().err


async def test_tokens_under_another_key_are_as_good_as_none_until_somebody_connects_again(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    on_port(stand)
    client = 'client_id = "sandbox-client", client_secret = "sandbox-secret"'
    text = stand.config.read_text("utf-8").replace('token = "sandbox-access-token"', client)
    stand.config.write_text(text, encoding="utf-8")
    settings = load(stand.config, {})
    lost = settings.model_copy(update={"key": SecretStr("a key that nobody has any more")})
    await TokenShelf(lost, "books").keep(Tokens(access="a", refresh="r"))
    await stand.start()
    (order,) = orders(1)
    await stand.order(order)
    (result,) = await stand.results(1)
    assert (result.outcome, stand.invoices()) == ("deferred", [])
    stopped = await until(stand, capsys, lambda now: now["state"] == "stopped")
    assert (stopped["credential"], "`o2c connect`" in stopped["why"]) == ("unreadable", True)
    assert '"tokens.unreadable"' in stand.log()
    await TokenShelf(settings, "books").keep(Tokens(access="", refresh="sandbox-refresh-token"))
    await stand.logged("connection.up")
    await stand.order(order)
    assert [one.outcome for one in await stand.results(2)] == ["deferred", "confirmed"]
    assert stand.invoices() == [order.mark]
