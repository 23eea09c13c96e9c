"""o2c render: the requests that a platform would get for an order."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

import msgspec

from app.config.load import load
from app.core.errors import ConfigError
from app.render.order import read_events, render
from schemas.connection import Connection

EXAMPLE = "o2c render --platform xero order.json"
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "render",
        help="show what a platform would be sent for an order",
        epilog=f"example: {EXAMPLE}",
        description="Plans the order as a live flow would, delivers it to the platform's sandbox in this process and "
        "prints each request as a JSON line: capability, method, path, headers without secrets, body, and what the "
        "sandbox answered (it refuses ledger accounts that it does not have). The file holds the order's facts "
        "(schemas/generated), or JSON lines of facts or change events: the order, its payments, credits and "
        "shipments. Exit: 0 all written, 1 something was refused or the file is unreadable, 2 there is no such "
        "platform, capability or connection.",
    )
    parser.add_argument("--platform", required=True, help="platform, for example xero")
    parser.add_argument(
        "--allow", action="append", default=[], help="capability that moves money or contacts the customer; repeatable"
    )
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="where --connection stands")
    parser.add_argument("--connection", default="", help="use this connection's options, accounts, taxes and stages")
    parser.add_argument("--json", action="store_true", help="JSON lines (the only format; accepted for scripts)")
    parser.add_argument("order", type=Path, help="file with the order, - for standard input")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the requests; DecodeError when the file holds no order."""
    text = sys.stdin.buffer.read() if str(args.order) == "-" else args.order.read_bytes()
    like = _connection(args.config, args.connection, args.platform) if args.connection else None
    outcome = asyncio.run(render(args.platform, read_events(text), tuple(args.allow), like))
    for request in outcome.sent:
        sys.stdout.write(_ENCODE(request).decode() + "\n")
    sys.stderr.writelines(f"{reason}\n" for reason in outcome.refused)
    return 1 if outcome.refused else 0


def _connection(path: Path, name: str, platform: str) -> Connection:
    found = {one.connection.name: one.connection for one in load(path, os.environ).connections}
    if name not in found or found[name].platform != platform:
        fitting = ", ".join(sorted(key for key, one in found.items() if one.platform == platform)) or "none"
        raise ConfigError(f"{path} has no connection {name} of {platform}; it has {fitting}.")
    return found[name]
