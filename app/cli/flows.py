"""o2c flows mode: let a flow write, only show what it would write, or stop it."""

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

EXAMPLE = "o2c flows mode web live"
_WORDS = {
    "live": "writes what its orders lack",
    "shadow": "plans and shows, and writes nothing",
    "stopped": "plans nothing",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("flows", help="set what a flow may do", epilog=f"example: {EXAMPLE}")
    actions = parser.add_subparsers(dest="action", required=True)
    action = actions.add_parser(
        "mode",
        help="live, shadow or stopped",
        epilog=f"example: {EXAMPLE}",
        description="Counts until it is set again, whatever mode the configuration names; orders that waited for it "
        "are planned at once. What was planned before is still written. "
        "Exit: 0 acknowledged by Kafka, 2 configuration.",
    )
    action.add_argument("name", metavar="NAME", help="the flow, as the configuration names it")
    action.add_argument(
        "mode", choices=sorted(_WORDS), help="; ".join(f"{one}: {what}" for one, what in _WORDS.items())
    )
    action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    action.add_argument("--json", action="store_true", help="print JSON")
    action.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Set the mode."""
    settings = load(args.config, os.environ)
    known = sorted({flow.name for flow in settings.flows})
    if args.name not in known:
        raise ConfigError(f"There is no flow {args.name}; name one of {', '.join(known) or 'none'}.")
    try:
        asyncio.run(send(settings, Fact(kind="mode", subject=args.name, value=args.mode)))
    except KafkaError as error:
        raise ConfigError(f"Kafka does not answer at {settings.kafka.bootstrap}; run `o2c kafka status`.") from error
    said = {"flow": args.name, "mode": args.mode}
    sys.stdout.write(json.dumps(said) + "\n" if args.json else f"{args.name} is {args.mode}: {_WORDS[args.mode]}.\n")
    return 0
