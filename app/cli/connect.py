"""o2c connect: obtain the first credential of a connection, or a new one after its consent ended."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sys
import webbrowser
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from app.config.load import load
from app.connecting.choosing import Reached, quoted
from app.connecting.connect import Connected, Way, connect
from app.core.errors import ConfigError
from app.kafka import refused

EXAMPLE = "o2c connect books"
PORT = 8400
_WAIT = 600.0
_BY = {
    "consent": "The tokens are stored, encrypted; connectors that wait for them go on within a minute.",
    "key": "The key is stored, encrypted; connectors that wait for it go on within a minute.",
    "client_credentials": "Its client id and secret are in the configuration; nothing had to be stored.",
    "configuration": "Its key is in the configuration; nothing had to be stored.",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "connect",
        help="obtain the credential of a connection",
        epilog=f"example: {EXAMPLE}",
        description="Asks for consent in the browser (Xero, QuickBooks, HubSpot), or for a plain key without showing "
        "it (standard input where there is no terminal), looks whose account it is, and stores the tokens encrypted "
        "for the connectors. Connects again after consent was taken back; what waited is written then. "
        "Exit: 0 connected, 1 the platform or the person said no and nothing was stored, 2 configuration, another "
        "account than configured included.",
    )
    parser.add_argument("name", metavar="NAME", help="the connection, as the configuration names it")
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    parser.add_argument("--account", default="", metavar="ID", help="which account, where the login reaches several")
    parser.add_argument("--paste", action="store_true", help="paste the call-back address instead of listening for it")
    parser.add_argument("--no-browser", action="store_true", help="print the address of the consent page, open nothing")
    parser.add_argument(
        "--port", type=int, default=PORT, help=f"port of 127.0.0.1 that hears the call-back (default: {PORT})"
    )
    parser.add_argument(
        "--redirect-uri",
        default="",
        help="call-back as registered with the app (default: http://localhost:PORT/callback)",
    )
    parser.add_argument("--wait", type=float, default=_WAIT, help=f"seconds to wait for consent (default: {_WAIT:.0f})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Connect and tell what came of it."""
    settings = load(args.config, os.environ)
    found = {one.connection.name: one for one in settings.connections}
    if args.name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise ConfigError(f"There is no connection {args.name}; name one of {known}.")
    way = Way(account=args.account, paste=args.paste, port=args.port, redirect_uri=args.redirect_uri, seconds=args.wait)
    terminal = Terminal(args.name, browser=not (args.no_browser or args.paste))
    try:
        connected = asyncio.run(connect(settings, found[args.name], terminal, way))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error
    shown = _shown(connected)
    sys.stdout.write(json.dumps(shown) + "\n" if args.json else "".join(f"{line}\n" for line in _lines(connected)))
    return 0


def _until(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _shown(connected: Connected) -> dict[str, Any]:
    end = connected.connect_again_by
    return {
        "connection": connected.connection,
        "platform": connected.platform,
        "account": connected.account,
        "name": connected.name,
        "by": connected.by,
        "stored": connected.stored,
        "connect_again_by": None if end is None else _until(end),
        "config": {} if connected.configured else {"account": connected.account},
    }


def _lines(connected: Connected) -> list[str]:
    whose = Reached(connected.account, connected.name)
    lines = [f"{connected.connection} is connected to account {whose} of {connected.platform}.", _BY[connected.by]]
    if not connected.configured:
        lines += [
            f"Put this into the section of {connected.connection} (`o2c check --write` does), then restart the roles:",
            f"account = {quoted(connected.account)}",
        ]
    return lines


class Terminal:
    """The person at this terminal; what is said to them goes to standard error."""

    def __init__(self, connection: str, *, browser: bool) -> None:
        """Open the consent page in a *browser*, or only print its address."""
        self._connection, self._browser = connection, browser

    def open(self, url: str) -> None:
        """Print the address of the consent page, and open it."""
        _say(f"Open this page, log in and allow the access:\n  {url}\n")
        if self._browser:
            webbrowser.open(url)

    async def paste(self) -> str:
        """Return the line with the call-back address."""
        _say("Then paste the whole address that the browser was sent to, also when it shows an error there:\n")
        return await asyncio.to_thread(sys.stdin.readline)

    async def key(self, title: str) -> str:
        """Return the key, asked for without an echo."""
        if sys.stdin.isatty():
            typed = await asyncio.to_thread(getpass.getpass, f"Key of {title} (not shown): ", sys.stderr)
        else:
            typed = await asyncio.to_thread(sys.stdin.readline)
        if not typed.strip():
            again = f"type it, or write it to the standard input of `o2c connect {self._connection}`"
            raise ConfigError(f"No key of {title} was given; {again}.")
        return typed.strip()

    def pick(self, there: Sequence[Reached]) -> str:
        """Return the id of the account whose number is typed."""
        if not sys.stdin.isatty():
            listed = ", ".join(str(one) for one in there)
            raise ConfigError(
                f"The login reaches several accounts: {listed}; run `o2c connect {self._connection} --account ID`."
            )
        for number, one in enumerate(there, start=1):
            _say(f"{number:>3}  {one}\n")
        _say("Number of the account: ")
        typed = sys.stdin.readline().strip()
        return there[int(typed) - 1].id if typed.isdecimal() and 0 < int(typed) <= len(there) else typed


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
