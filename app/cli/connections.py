"""o2c connections list|show: how connections stand. pause|resume: hold every write, and let them go again."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.errors import KafkaError

from app.broadcasting import send
from app.config.load import load
from app.config.model import ResolvedConnection, Settings
from app.connecting.looking import standings
from app.connecting.standing import Standing
from app.core.errors import ConfigError
from app.kafka import refused
from schemas.broadcast import Fact

EXAMPLE = "o2c connections pause books"
_WORDS = {"pause": "holds every write; nothing is lost", "resume": "writes again, oldest first"}
_UNKNOWN = "not known"
_CREDENTIAL = {
    "stored": "stored by `o2c connect`",
    "configured": "in the configuration",
    "missing": "missing; run `o2c connect {}`",
    "unreadable": "stored under another key; restore the key, or run `o2c connect {}`",
}
_COLUMNS = ("connection", "state", "platform", "account", "connect again by", "quota left", "complete up to", "waiting")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "connections", help="how connections stand; pause one, or let it go on", epilog=f"example: {EXAMPLE}"
    )
    actions = parser.add_subparsers(dest="action", required=True)
    _add_looks(actions)
    for name, what in (
        ("pause", "write nothing to it; what is to be written waits"),
        ("resume", "write what waited, and go on"),
    ):
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: o2c connections {name} books",
            description="Every connector obeys within seconds, also after a restart; reading goes on. "
            "Exit: 0 acknowledged by Kafka, 2 configuration.",
        )
        action.add_argument("name", metavar="NAME", help="the connection, as the configuration names it")
        _add_common(action)
        action.set_defaults(run=run)


def _add_looks(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, what, example in (
        ("list", "one line per connection", "o2c connections list"),
        ("show", "everything about one connection, or about each", "o2c connections show books"),
    ):
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: {example}",
            description="State (well, paused, stopped and why), account, end of the token, quota left, up to when "
            "everything was seen, and what waits: from Kafka, and from the connectors' status page for the state and "
            "the quota. A figure that nobody knows is called so, null in JSON. "
            "Exit: 0 shown, 2 configuration, Kafka that does not answer included.",
        )
        action.add_argument("name", metavar="NAME", nargs="?", default="", help="only this connection")
        _add_common(action)
        action.set_defaults(run=run_look)


def _add_common(action: argparse.ArgumentParser) -> None:
    action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    action.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Pause or resume."""
    settings = load(args.config, os.environ)
    _named(settings, args.name)
    paused = args.action == "pause"
    try:
        asyncio.run(send(settings, Fact(kind="paused", subject=args.name, value="yes" if paused else "")))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error
    said = {"connection": args.name, "paused": paused}
    sys.stdout.write(json.dumps(said) + "\n" if args.json else f"{args.name} {_WORDS[args.action]}.\n")
    return 0


def run_look(args: argparse.Namespace) -> int:
    """Show how connections stand."""
    settings = load(args.config, os.environ)
    chosen = _named(settings, args.name) if args.name else settings.connections
    try:
        found = asyncio.run(standings(settings, chosen))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error
    if args.json:
        rows = [_row(one) for one in found]
        sys.stdout.write(json.dumps(rows[0] if args.action == "show" and args.name else rows) + "\n")
    else:
        lines = _table(found) if args.action == "list" else [line for one in found for line in _card(one)]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _named(settings: Settings, name: str) -> list[ResolvedConnection]:
    found = [one for one in settings.connections if one.connection.name == name]
    if not found:
        known = ", ".join(sorted(one.connection.name for one in settings.connections))
        raise ConfigError(f"There is no connection {name}; name one of {known or 'none'}.")
    return found


# ------------------------------------------------------------------------------------------------------------- shown


def _row(one: Standing) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(one)
    return {**row, "access_expires_at": _at(one.access_expires_at), "connect_again_by": _at(one.connect_again_by)}


def _at(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _when(at: datetime | None) -> str:
    return _UNKNOWN if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def _figure(value: object) -> str:
    return _UNKNOWN if value is None else str(value)


def _table(found: Sequence[Standing]) -> list[str]:
    """Return aligned lines, and why a connection is not well below its own."""
    rows = [_COLUMNS, *(_cells(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for position, one in reversed(list(enumerate(found, start=1))):
        if one.why:
            lines.insert(position + 1, f"  {one.why}")
    return lines


def _cells(one: Standing) -> tuple[str, ...]:
    return (
        one.connection,
        one.state,
        one.platform,
        _figure(one.account or one.connected_account),
        _figure(_at(one.connect_again_by)),
        _figure(one.quota_left),
        _when(one.complete_up_to),
        str(one.waiting),
    )


def _card(one: Standing) -> list[str]:
    state = f"{one.state}: {one.why}" if one.why else one.state
    pairs = {
        "tenant": one.tenant,
        "platform": one.platform,
        "account": _figure(one.account),
        "connected account": _figure(one.connected_account),
        "state": state,
        "paused": "yes" if one.paused else "no",
        "credential": _CREDENTIAL[one.credential].format(one.connection),
        "access token until": f"{_figure(_at(one.access_expires_at))}",
        "connect again by": _figure(_at(one.connect_again_by)),
        "quota left": _figure(one.quota_left),
        "complete up to": _when(one.complete_up_to),
        "waiting": f"{one.waiting} to be written",
    }
    return [one.connection, *(f"  {name:<19}{value}" for name, value in pairs.items())]
