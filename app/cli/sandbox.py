"""o2c sandbox start|stop|status|order|act|visit|subscribe: platforms to try everything on, without an account."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from app import platforms
from app.config.load import load
from app.core.errors import ConfigError
from app.starting.background import FOLDER, Sandboxes, System, facts_of, slugs
from app.subscribing.registering import Registrar

EXAMPLE = "o2c sandbox start shopify,hubspot,xero,stripe"
_CODES = "2 it does not run, or cannot be started."
_OLD = 3
_GOODS = (("MUG", "Mug", "10.00", 2), ("LAMP", "Desk lamp", "89.00", 1), ("PEN", "Pen", "1.50", 10))
_PEOPLE = ("Ada Example", "Bo Lindqvist", "Chi Nguyen", "Eva Moreau")
_RATE = "20"
Work = Callable[[argparse.Namespace, Sandboxes], Coroutine[Any, Any, tuple[Any, list[str]]]]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "sandbox", help="platforms to try everything on, without an account", epilog=f"example: {EXAMPLE}"
    )
    actions = parser.add_subparsers(dest="action", required=True)
    start = _action(
        actions, "start", "start sandbox platforms on this machine", EXAMPLE, _start,
        "Each is a local server that answers as the vendor's does; what it holds is gone when it stops. A shop begins "
        "with a few orders of last month. Exit: 0 they run, 2 one cannot be started.",
    )  # fmt: skip
    everything = ",".join(slugs())
    start.add_argument("platforms", nargs="?", default=everything, help=f"which, by commas (default: {everything})")
    start.add_argument("--old-orders", type=int, default=_OLD, help=f"orders of last month in a new shop ({_OLD})")
    start.add_argument("--quota-scale", type=float, default=1.0, help="multiply the vendors' quotas (default: 1)")
    _action(
        actions, "stop", "stop them", "o2c sandbox stop", _stop,
        "Stops every sandbox that was started from this folder. Exit: 0 done.",
    )  # fmt: skip
    _action(
        actions, "status", "tell which run, where, and what lets you in", "o2c sandbox status", _status,
        "Exit: 0 shown.",
    )  # fmt: skip
    order = _action(
        actions, "order", "buy something in the sandbox shop", "o2c sandbox order --pay stripe", _order,
        f"Places an order as a customer does, and pays it in the shop or by Stripe. Exit: 0 placed, {_CODES}",
    )  # fmt: skip
    order.add_argument("--pay", choices=("shopify", "stripe", "no"), default="shopify", help="where it is paid")
    act = _action(
        actions, "act", "do in a platform what a person does there", "o2c sandbox act shopify create_order order.json",
        _act, "Prints what came of it; a verb that is none is answered with those there are. "
        f"Exit: 0 done, 1 refused, {_CODES}",
    )  # fmt: skip
    act.add_argument("platform", help="which platform")
    act.add_argument("verb", help="what to do, as in create_order, pay_order, charge, type_invoice")
    act.add_argument("asked", nargs="?", default="-", help="JSON file, - for standard input (default)")
    visit = _action(
        actions, "visit", "open a sandbox page as a person who agrees", "o2c sandbox visit http://127.0.0.1:9101/consent",
        _visit, "For machines without a browser: BROWSER='o2c sandbox visit %s &' lets `o2c connect` use it. "
        f"Exit: 0 visited, 1 the page refuses, {_CODES}",
    )  # fmt: skip
    visit.add_argument("url", help="the address that a command printed")
    subscribe = _action(
        actions, "subscribe", "do the clicks of `o2c webhooks register`", "o2c sandbox subscribe", _subscribe,
        "Where a platform has no API for webhooks, a person enters the gateway's address in its console; this does so "
        f"for the sandboxes that the configuration names. Exit: 0 done, {_CODES}",
    )  # fmt: skip
    subscribe.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    example: str,
    work: Work,
    description: str,
) -> argparse.ArgumentParser:
    action = actions.add_parser(
        name, help=what, epilog=f"example: {example}".replace("%", "%%"), description=description.replace("%", "%%")
    )
    action.add_argument("--data", type=Path, default=FOLDER, help=f"folder of logs and state (default: {FOLDER})")
    action.add_argument("--json", action="store_true", help="print JSON")
    action.set_defaults(run=run, work=work)
    return action


def run(args: argparse.Namespace) -> int:
    """Do it and tell what came of it."""
    work: Work = args.work
    document, lines = asyncio.run(work(args, Sandboxes(args.data.absolute())))
    if args.json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(document)) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


async def _start(args: argparse.Namespace, sandboxes: Sandboxes) -> tuple[Any, list[str]]:
    wanted = list(dict.fromkeys(slug.strip() for slug in args.platforms.split(",") if slug.strip()))
    new = "shopify" not in {system.platform for system in await sandboxes.running()}
    systems = await sandboxes.start(wanted, args.quota_scale)
    if new and "shopify" in wanted:
        for number in range(args.old_orders):
            await _bought(sandboxes, number, datetime.now(UTC) - timedelta(days=31 - number), "shopify")
    return _shown(systems), _lines(systems)


async def _stop(args: argparse.Namespace, sandboxes: Sandboxes) -> tuple[Any, list[str]]:
    del args
    stopped = [system.platform for system in await sandboxes.stop()]
    return {"stopped": stopped}, [f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running."]


async def _status(args: argparse.Namespace, sandboxes: Sandboxes) -> tuple[Any, list[str]]:
    del args
    systems = await sandboxes.running()
    return _shown(systems), _lines(systems) or [f"No sandbox runs; start some with `{EXAMPLE}`."]


def _shown(systems: Sequence[System]) -> list[dict[str, Any]]:
    return [
        {"platform": one.platform, "account": one.account, "url": one.url, "key": facts_of(one.platform).key}
        for one in systems
    ]


def _lines(systems: Sequence[System]) -> list[str]:
    lines = []
    for one in systems:
        facts = facts_of(one.platform)
        way = f"key {facts.key}" if facts.key else f"client {facts.secrets.get('client_id', '')}"
        lines.append(f"{one.platform:<18} {one.url}  account {one.account}, {way}")
    return lines


async def _order(args: argparse.Namespace, sandboxes: Sandboxes) -> tuple[Any, list[str]]:
    before = sum(row["kind"] == "order" for row in await sandboxes.books("shopify"))
    made = await _bought(sandboxes, before, None, args.pay)
    paid = {"shopify": "paid in the shop", "stripe": "paid by Stripe", "no": "not paid yet"}[args.pay]
    return {**made, "paid": args.pay}, [f"Order {made['number']} over {made['total']} EUR, {paid}."]


async def _bought(sandboxes: Sandboxes, which: int, at: datetime | None, pay: str) -> dict[str, Any]:
    """Buy something; *which* varies what, and by whom."""
    sku, title, price, quantity = _GOODS[which % len(_GOODS)]
    name = _PEOPLE[which % len(_PEOPLE)]
    line = {"sku": sku, "title": title, "quantity": quantity, "price": price, "tax_rate": _RATE}
    email = f"{name.partition(' ')[0].lower()}@example.com"
    placed = {} if at is None else {"placed_at": at.isoformat()}
    made = await sandboxes.act(
        "shopify", "create_order", {"name": name, "email": email, "currency": "EUR", "lines": [line], **placed}
    )
    if pay == "shopify":
        await sandboxes.act("shopify", "pay_order", {"id": made["id"], **({"at": at.isoformat()} if at else {})})
    elif pay == "stripe":
        charge = {"order_id": made["number"], "amount": made["total"], "currency": "EUR", "email": email}
        await sandboxes.act("stripe", "charge", charge)
    return made


async def _act(args: argparse.Namespace, sandboxes: Sandboxes) -> tuple[Any, list[str]]:
    answer = await sandboxes.act(args.platform, args.verb, _asked(args.asked))
    return answer, [json.dumps(answer)]


def _asked(file: str) -> dict[str, Any]:
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigError(f"What is asked is no JSON object ({error}); correct it.") from error


async def _visit(args: argparse.Namespace, sandboxes: Sandboxes) -> tuple[Any, list[str]]:
    led = await sandboxes.visit(args.url)
    return {"visited": led}, [f"Agreed; sent on to {led}."]


async def _subscribe(args: argparse.Namespace, sandboxes: Sandboxes) -> tuple[Any, list[str]]:
    settings = load(args.config, os.environ)
    urls = {system.url: system for system in await sandboxes.running()}
    done: list[Mapping[str, str]] = []
    for resolved in settings.connections:
        system, registrar = urls.get(resolved.connection.base_url), Registrar(settings, resolved)
        if system is None or registrar.subscriber is not None or not registrar.source.topics():
            continue
        secret = resolved.secrets.get(platforms.load(system.platform).platform.hook_secret, "")
        await sandboxes.post(system, "webhooks", {"url": registrar.address, "secret": secret})
        done.append({"connection": resolved.connection.name, "address": registrar.address})
    lines = [f"{one['connection']}: delivers to {one['address']}" for one in done]
    return done, lines or ["No sandbox of the configuration needs clicks."]
