"""`o2c orders get` and its kin over the console's API: what a person reads, and what the exit code says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from app.cli import main
from app.config.load import load
from app.console.records import short_id
from app.console.server import Api
from app.console.store import Store
from app.console.telling import Teller
from app.core.metrics import new_metrics
from app.roles.status_page import add_status_routes
from tests.made_up import COMMAND, KEY, PAYMENT, at, history, parked, parked_look, public, state

CONFIG = """
[kafka]
bootstrap = "127.0.0.1:1"
[console]
url = "{url}"
api_keys = [
  {{ name = "desk", tenant = "acme", role = "viewer", key = "a viewer of acme, long enough" }},
  {{ name = "desk2", tenant = "other", role = "viewer", key = "a viewer of other, long enough" }},
]
[[tenant]]
name = "acme"
connections = {{ shop = {{ platform = "shopify" }}, books = {{ platform = "xero" }} }}
[[tenant]]
name = "other"
"""
Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def o2c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Run]:
    """Return the command line beside a console that knows one order."""
    path = tmp_path / "o2c.toml"
    path.write_text(CONFIG.format(url=""))
    store, metrics, settings = Store(tmp_path / "c.sqlite"), new_metrics(), load(path, {})
    quiet = public("e" * 32, number="SO-2002", shown=(), tracking_numbers=())
    store.apply([*history(), parked(), parked_look(), state(quiet, -60 * 24 * 40)])
    store.forget(at(-60).timestamp())
    app = Api(settings, store, Teller(settings), metrics).app()
    add_status_routes(app, metrics, live=dict, ready=dict)
    async with TestServer(app) as server:
        path.write_text(CONFIG.format(url=server.make_url("")))

        async def run(*words: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(main, [*words, "--config", str(path)])
            return code, *capsys.readouterr()

        yield run
    store.close()


@pytest.mark.parametrize("id_", [KEY, "SO-1001", "501", "inv-77", "INV-0042", "1Z999", COMMAND])
async def test_an_order_is_printed_whole_by_any_of_its_ids(o2c: Run, id_: str) -> None:
    code, out, _ = await o2c("orders", "get", id_)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["SO-1001", "invoiced", "24.00", "EUR"]
    told = "\n".join(" ".join(line.split()) for line in lines)
    for wanted in (
        "shop books",
        "invoice INV-0042 (written by o2c)",
        "invoiced 24.00",
        "seen 2026-03-01 12:04:00",
        f"upsert_invoice in books: confirmed [books|invoice] command {COMMAND}",
        "2026-03-01 12:03:00 POST /invoices -> 200 request 84c562555a8c51689f6ba7eaf9552a12",
        "2026-03-01 12:01:00.000 seen shop order SO-1001, open, 24.00 EUR, by read",
        f"2026-03-01 12:02:00.000 asked books upsert_invoice {COMMAND}",
        "2026-03-01 12:04:00.000 answered books upsert_invoice confirmed",
        "2026-03-01 12:09:00.000 decided ann said retry",
        (
            "stopped: record_payment in books was refused: The account is closed. Mend the cause, then "
            "`o2c orders retry SO-1001 'books|pay'`. [books|pay]"
        ),
        "conflict note: 'a' of a person was kept, 'b' of a person lost; `o2c conflicts revert SO-1001 note` gives it back.",
    ):
        assert wanted in told


async def test_systems_stand_in_columns(o2c: Run) -> None:
    _, out, _ = await o2c("orders", "get", "SO-1001")
    lines = out.splitlines()
    heads = next(line for line in lines if line.split() == ["shop", "books"])
    (order,) = (line for line in lines if line.split() == ["order", "SO-1001"])
    (invoice,) = (line for line in lines if line.lstrip().startswith("invoice "))
    assert order.index("SO-1001") == heads.index("shop")
    assert invoice.index("INV-0042") == heads.index("books")


async def test_json_is_the_answer_of_the_api(o2c: Run) -> None:
    code, out, _ = await o2c("orders", "get", "SO-1001", "--json")
    view = json.loads(out)
    assert (code, view["order"]["key"], len(view["hops"])) == (0, KEY, 7)


async def test_an_order_that_nothing_stops_says_so(o2c: Run) -> None:
    _, out, _ = await o2c("orders", "get", "SO-1001")
    assert "nothing of it waits" not in out
    _, out, _ = await o2c("orders", "get", "SO-2002")
    assert out.splitlines()[-3:] == ["writes: none", "what happened: not known here", "nothing of it waits."]


async def test_what_nobody_knows_is_said_with_the_next_step(o2c: Run) -> None:
    assert await o2c("orders", "get", "NOPE") == (1, "", "There is no order NOPE; see `o2c orders list`.\n")
    code, _, err = await o2c("parked", "show", "NOPE")
    assert (code, err) == (1, "o2c: Nothing is parked as NOPE; see `o2c parked list`.\n")
    code, _, err = await o2c("sync", "NOPE")
    assert (code, err) == (1, "o2c: There is no order NOPE; see `o2c orders list`.\n")


async def test_what_is_parked_is_no_order_but_where_it_is_is_said(o2c: Run) -> None:
    code, out, err = await o2c("orders", "get", PAYMENT.id)
    parked_id = short_id(PAYMENT.key)
    assert (code, out) == (1, "")
    assert err == f"{PAYMENT.key} is parked without an order; see `o2c parked show {parked_id}`.\n"
    code, out, _ = await o2c("parked", "show", parked_id)
    assert (code, out.split()[0]) == (0, parked_id)


async def test_lists_and_what_is_parked_are_printed(o2c: Run) -> None:
    _, out, _ = await o2c("parked", "list")
    assert PAYMENT.key in out
    _, out, _ = await o2c("parked", "show", PAYMENT.id)
    assert "maybe SO-1001" in out
    _, out, _ = await o2c("conflicts", "list")
    assert "'b' of a person lost" in out


@pytest.mark.parametrize(
    "words",
    [
        ("sync", "SO-1001"),
        ("orders", "retry", "SO-1001", "books|pay"),
        ("orders", "resume", "SO-1001"),
        ("conflicts", "revert", "SO-1001", "note"),
        ("parked", "dismiss", PAYMENT.id),
    ],
)
async def test_a_viewer_reads_only(o2c: Run, words: tuple[str, ...]) -> None:
    code, _, err = await o2c(*words)
    assert (code, err.startswith("o2c: The key desk is a viewer's; use a key of role ")) == (1, True)
