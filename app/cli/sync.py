"""o2c sync: read every object of one order again, and plan it again."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

import msgspec

from app.config.load import load
from app.console.reach import reached

EXAMPLE = "o2c sync SO-1001"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "sync",
        help="read one order again in every system and plan it again",
        epilog=f"example: {EXAMPLE}",
        description="The workers read each of its objects at once and plan what is missing; refused writes wait for "
        "`o2c orders retry`. Exit: 0 told, 1 there is no such order or there are several, 2 configuration.",
    )
    parser.add_argument("id", help="any id of the order")
    parser.add_argument("--by", default=getpass.getuser(), help="who says so where no console runs (default: the user)")
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tell the workers."""
    with reached(load(args.config, os.environ)) as console:
        told = console.decide(args.id, "sync", "", args.by)
    said = msgspec.json.encode(told).decode() if args.json else f"{args.id} is read and planned again."
    sys.stdout.write(said + "\n")
    return 0
