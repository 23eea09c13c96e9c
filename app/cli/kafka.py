"""o2c kafka start|stop|status: a real Apache Kafka on this machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from app.broker import found, java, provide, stop

EXAMPLE = "o2c kafka start"
_FOLDER = Path(".o2c-kafka")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("kafka", help="a Kafka on this machine", epilog=f"example: {EXAMPLE}")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what in (("start", "start Kafka"), ("stop", "stop it"), ("status", "tell whether it runs and answers")):
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: o2c kafka {name}",
            description="Uses O2C_KAFKA if set, else Docker, else Kafka's Java artifacts. Exit: 0 done or healthy, "
            "1 not running, 2 it cannot be started.",
        )
        action.add_argument("--data", type=Path, default=_FOLDER, help=f"folder of its data (default: {_FOLDER})")
        action.add_argument("--port", type=int, default=9092, help="port on the loopback address (default: 9092)")
        action.add_argument("--json", action="store_true", help="print JSON")
        action.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Start, stop or tell."""
    if args.action == "start":
        return _start(args)
    if args.action == "stop":
        stopped = asyncio.run(stop(args.data.absolute()))
        _print(args, {"stopped": stopped}, "Stopped." if stopped else "Nothing was running.")
        return 0
    where, healthy = asyncio.run(found(args.data.absolute(), os.environ))
    text = f"Kafka answers at {where}." if healthy else f"Kafka does not answer; run `{EXAMPLE}`."
    _print(args, {"running": bool(where), "healthy": healthy, "bootstrap": where}, text)
    return 0 if healthy else 1


def _start(args: argparse.Namespace) -> int:
    data = args.data.absolute()
    known = java.state(data)
    if known is not None:
        _print(args, {"bootstrap": known.bootstrap}, f"Kafka runs already at {known.bootstrap}.")
        return 0
    broker = asyncio.run(provide(data, os.environ, port=args.port))
    _print(args, {"bootstrap": broker.bootstrap, "origin": broker.origin}, f"Kafka answers at {broker.bootstrap}.")
    return 0


def _print(args: argparse.Namespace, values: dict[str, object], text: str) -> None:
    sys.stdout.write((json.dumps(values) if args.json else text) + "\n")
