"""o2c demo: real orders through sandbox systems and a real Kafka, and the verdict to the cent."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiokafka.errors import KafkaError

from app.broker import provide
from app.cli.topics import apply_topics
from app.config.load import load
from app.console.states import read_orders
from app.core.errors import ConfigError
from app.demo.history import Row, generated
from app.demo.play import Played, Player
from app.demo.reading import read
from app.demo.registering import register_webhooks
from app.demo.stack import SYSTEMS, Stack, free_port
from app.demo.topics import drop_topics
from app.demo.verdict import copies, differences, held, order_key, paid, wanted
from app.demo.watch import Watch, summary

EXAMPLE = "o2c demo --orders 300"
LEDGERS = ("books", "qbo")
_SECONDS_PER_CHANGE = 0.012
_LONG = 5_000
"""Changes from which a history is long: then webhooks alone must do, since every sweep reads all that changed, and
parcels are told to the CRM but not to the ledgers; a console would read all of it beside them."""
_QUIET, _QUIET_LONG = 8.0, 20.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "demo",
        help="watch orders flow through sandbox systems",
        epilog=f"example: {EXAMPLE}",
        description="Starts Kafka (or uses O2C_KAFKA), sandboxes and the roles, plays order histories and compares "
        "what every system holds, then ends all that it started. A history of your own is JSON lines (at, order, type, "
        "data), or a CSV with FILE.mapping.json beside it, which names a column for each of our fields, as in "
        '{"at": "Created", "order": "Number", "data.total": "Total", "data.currency": {"value": "EUR"}}; '
        "docs/histories.md lists types and fields. Exit: 0 all systems agree, 1 they differ, 2 the history is wrong or "
        "something could not be started, 130 interrupted.",
    )
    parser.add_argument("--orders", type=int, default=120, help="shop orders to generate (default: 120)")
    parser.add_argument("--deals", type=int, default=20, help="CRM deals to generate (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the generated histories")
    parser.add_argument("--file", default="", help="play this history (.jsonl or .csv, also .gz) instead")
    parser.add_argument("--export", default="", help="leave orders and ledgers as JSON lines in this folder")
    parser.add_argument("--tamper", choices=("", "cent", "remove", "double"), default="", help="falsify one document")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds to wait for silence (default: 240, more for many orders)"
    )
    parser.add_argument(
        "--prefix",
        help="prefix of topic names, which then are left behind (default: a new one each time, deleted after)",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo in a folder of its own and clean up."""
    rows = list(read(Path(args.file))) if args.file else generated(args.orders, args.deals, args.seed)
    if not rows:
        raise ConfigError("There is nothing to play; give --orders or --deals more than 0.")
    if args.export:
        _prepare(Path(args.export))
    with tempfile.TemporaryDirectory(prefix="o2c-demo-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(_until_told(_demo(args, rows, Path(folder))))


async def _until_told(demo: Coroutine[None, None, int]) -> int:
    """Run the demo; Ctrl-C and SIGTERM end it, with everything that it started."""
    task = asyncio.create_task(demo)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        sys.stderr.write("o2c: interrupted; what was started has ended.\n")
        return 130
    except (aiohttp.ClientError, KafkaError) as error:
        message = f"Something that the demo runs does not answer any more ({error}); run it again."
        raise ConfigError(message) from error


async def _demo(args: argparse.Namespace, rows: list[Row], folder: Path) -> int:
    long = len(rows) >= _LONG
    scale, sweep = (1_000.0 if args.file else 50.0), (3_600.0 if long else 5.0)
    orders = len({row.order for row in rows})
    _say(args, f"{len(rows)} changes of {orders} orders; quotas scaled by {scale:g}, swept each {sweep:g} s")
    if long:
        _say(args, "a long history: parcels go to the CRM, not to the ledgers, and no console is started")
    prefix = f"demo-{secrets.token_hex(4)}." if args.prefix is None else args.prefix
    async with _kafka(folder, "" if args.prefix is not None else prefix) as bootstrap:
        stack = Stack(folder, scale, sweep, parcels=not long)
        try:
            await stack.start_sandboxes()
            config = stack.write_config(bootstrap, free_port(), scale, prefix=prefix, console_port=free_port())
            settings = load(config, os.environ)
            await apply_topics(settings)
            roles = ("streams", "connectors") if long else ("streams", "connectors", "console")
            for role in roles:
                await stack.start_role(role, config, f"{role}-1")
            settings = await register_webhooks(stack.urls, config)
            await stack.start_role("gateway", config, "gateway-1")
            pages = [
                settings.gateway.public_url,
                *(f"http://127.0.0.1:{getattr(settings, role).port}" for role in roles),
            ]
            code = await _played(args, rows, stack, pages, _QUIET_LONG if long else _QUIET)
            if args.export:
                states = await read_orders(settings)
                lines = b"".join(msgspec.json.encode(state) + b"\n" for state in states.values())
                (Path(args.export) / "orders.jsonl").write_bytes(lines)
            return code
        finally:
            await stack.stop()


async def _played(args: argparse.Namespace, rows: list[Row], stack: Stack, pages: list[str], quiet: float) -> int:
    async with aiohttp.ClientSession() as session:
        for page in pages:
            await _ready(session, page)
        watch = Watch(session, stack.urls, pages)
        player = Player(session, stack.urls, ends_late=bool(args.file))
        patience = args.patience or max(240.0, len(rows) * _SECONDS_PER_CHANGE)
        started = time.monotonic()
        _say(args, "playing")
        async with watch.shown(sys.stderr, lambda: player.played.orders, quiet=args.json):
            await player.play(rows)
            await _settled(watch, stack, quiet, patience)
            await player.play_late()
            await _type_payments(session, stack, player)
            await _settled(watch, stack, quiet, patience)
        seconds = time.monotonic() - started
        if args.tamper:
            url = f"{stack.urls[LEDGERS[0]]}/_sandbox/act/tamper"
            async with session.post(url, json={"how": args.tamper}) as reply:
                reply.raise_for_status()
        books = {system.connection: await watch.books(system.connection) for system in SYSTEMS}
        if args.export:
            _export(Path(args.export), books)
        found = compare(rows, player.played, books)
        seen, calls, orders = await watch.figures(), await watch.counts(), player.played.orders
        if args.json:
            verdict = {"agree": not found, "differences": found, "seconds": seconds, "calls": calls, "orders": orders}
            sys.stdout.write(json.dumps({**verdict, **seen.as_json()}) + "\n")
        else:
            _verdict(found, summary(orders, seen, seconds), calls)
        return 1 if found else 0


async def _settled(watch: Watch, stack: Stack, quiet: float, patience: float) -> None:
    """Wait until nothing moves any more; a role that ended meanwhile is an error, not silence."""
    silent = await watch.silence(quiet, patience, alive=lambda: not stack.dead())
    for ended in stack.dead():
        last = ended.log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
        raise ConfigError(f"{ended.name} ended by itself with {ended.process.returncode}: {''.join(last)[:400]}")
    if not silent:
        sys.stderr.write(f"still moving after {patience:g} s; give more with --patience\n")


def keys_of(played: Played) -> tuple[dict[str, str], dict[str, str]]:
    """Return order -> order key of shop orders and of deals."""
    accounts = {system.connection: system.account for system in SYSTEMS}
    shop = {order: order_key("demo", "shop", accounts["shop"], "order", id_) for order, id_ in played.shop_ids.items()}
    deals = {order: order_key("demo", "crm", accounts["crm"], "deals", id_) for order, id_ in played.deal_ids.items()}
    return shop, deals


def compare(rows: list[Row], played: Played, books: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Return every disagreement between the ledgers and the history."""
    want = wanted(rows)
    shop, deals = keys_of(played)
    found = differences("books", {**shop, **deals}, want, books["books"])
    found += differences("qbo", shop, want, books["qbo"])
    return found + copies("crm", shop, want, books["crm"]) + paid("shop", played.shop_ids, want, books["shop"])


async def _type_payments(session: aiohttp.ClientSession, stack: Stack, player: Player) -> None:
    """Let the bookkeeper type what came by bank transfer on the invoices that o2c made."""
    shop, deals = keys_of(player.played)
    async with session.get(f"{stack.urls['books']}/_sandbox/books") as reply:
        there = held(json.loads(line) for line in (await reply.text()).splitlines())
    invoices = {
        order: str(there[key].documents[0]["id"])
        for order, key in {**shop, **deals}.items()
        if key in there and there[key].documents
    }
    await player.type_payments("books", invoices)


async def _ready(session: aiohttp.ClientSession, role: str) -> None:
    for _ in range(900):
        try:
            async with session.get(f"{role}/health/ready") as reply:
                if reply.status == 200:  # noqa: PLR2004 - ready
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise ConfigError(f"The role at {role} did not become ready within 90 s; end what else keeps this machine busy.")


def _verdict(found: list[str], run: str, counts: Mapping[str, int]) -> None:
    for text in found[:40]:
        sys.stdout.write(text + "\n")
    calls = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    sys.stdout.write(f"{run}\nchanging calls: {calls}\n")
    sys.stdout.write("all systems agree\n" if not found else f"{len(found)} differences\n")


def _prepare(folder: Path) -> None:
    """Make the folder of the export; ConfigError now rather than after all was played."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        message = f"{folder} cannot be written to ({error.strerror}); name another folder with EXPORT or --export."
        raise ConfigError(message) from error


def _export(folder: Path, books: Mapping[str, list[dict[str, Any]]]) -> None:
    for name, rows in books.items():
        (folder / f"ledger-{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@asynccontextmanager
async def _kafka(folder: Path, made_up: str) -> AsyncIterator[str]:
    """Yield the address of a Kafka; the topics of a *made_up* prefix are deleted at the end, where it runs on."""
    broker = await provide(folder / "kafka", os.environ)
    try:
        yield broker.bootstrap
    finally:
        if made_up and broker.origin != "java":  # that one's data is deleted as a whole
            await drop_topics(broker.bootstrap, made_up)
        await broker.stop()


def _say(args: argparse.Namespace, text: str) -> None:
    if not args.json:
        sys.stderr.write(text + "\n")
