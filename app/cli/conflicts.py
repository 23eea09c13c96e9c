"""o2c conflicts list|revert: values that lost against another one, and back."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

import msgspec

from app.config.load import load
from app.console.reach import reached
from app.console.views import ConflictView

EXAMPLE = "o2c conflicts list"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("conflicts", help="values that lost", epilog=f"example: {EXAMPLE}")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what, example in (
        ("list", "every field that two people edited", EXAMPLE),
        (
            "revert",
            "give the newest lost value of a field back; once more takes it away",
            "o2c conflicts revert SO-1001 note",
        ),
    ):
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: {example}",
            description="Exit: 0 done, 1 there is no such order or conflict, 2 configuration.",
        )
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON lines")
        if name == "revert":
            action.add_argument("id", help="any id of the order")
            action.add_argument("field", help="the field, as `list` prints it")
            action.add_argument("--by", default=getpass.getuser(), help="who says so where no console runs")
        action.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List or revert."""
    with reached(load(args.config, os.environ)) as console:
        if args.action == "revert":
            told = console.decide(args.id, "revert", args.field, args.by)
            said = f"{args.field} of {args.id} gets its lost value back."
            sys.stdout.write((msgspec.json.encode(told).decode() if args.json else said) + "\n")
            return 0
        for view in console.conflicts():
            sys.stdout.write((msgspec.json.encode(view).decode() if args.json else _line(view)) + "\n")
    return 0


def _line(view: ConflictView) -> str:
    one = view.conflict
    at = "" if one.at is None else f"  {one.at:%Y-%m-%d %H:%M}"
    kept = f"{one.kept!r} of {one.kept_by or 'a person'} was kept"
    return (
        f"{view.number or view.order:<16} {one.field:<12} {kept}, {one.lost!r} of {one.lost_by or 'a person'} lost{at}"
    )
