"""o2c connections pause|resume: hold every write of a connection, and let them go again."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from aiokafka.errors import KafkaError

from app.broadcasting import send
from app.config.load import load
from app.core.errors import ConfigError
from schemas.broadcast import Fact

EXAMPLE = "o2c connections pause books"
_WORDS = {"pause": "holds every write; nothing is lost", "resume": "writes again, oldest first"}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "connections", help="pause a connection, or let it go on", epilog=f"example: {EXAMPLE}"
    )
    actions = parser.add_subparsers(dest="action", required=True)
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
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON")
        action.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Pause or resume."""
    settings = load(args.config, os.environ)
    known = sorted(resolved.connection.name for resolved in settings.connections)
    if args.name not in known:
        raise ConfigError(f"There is no connection {args.name}; name one of {', '.join(known) or 'none'}.")
    paused = args.action == "pause"
    try:
        asyncio.run(send(settings, Fact(kind="paused", subject=args.name, value="yes" if paused else "")))
    except KafkaError as error:
        raise ConfigError(f"Kafka does not answer at {settings.kafka.bootstrap}; run `o2c kafka status`.") from error
    said = {"connection": args.name, "paused": paused}
    sys.stdout.write(json.dumps(said) + "\n" if args.json else f"{args.name} {_WORDS[args.action]}.\n")
    return 0
