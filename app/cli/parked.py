"""o2c parked list|show|link|release|dismiss: objects that no order was found for, and what a person says of them."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from app.config.load import load
from app.console.reach import reached
from app.console.views import ParkedView
from schemas.money import text

EXAMPLE = "o2c parked list"
_ACTIONS = (
    ("list", "what waits for a person", EXAMPLE),
    ("show", "one of them, with the orders it may belong to", "o2c parked show 4f2a9c01d7e8b356"),
    ("link", "say to which order it belongs", "o2c parked link 4f2a9c01d7e8b356 SO-1001"),
    ("release", "read it again and look for its order once more", "o2c parked release 4f2a9c01d7e8b356"),
    ("dismiss", "say that it is nobody's: it is not listed again", "o2c parked dismiss 4f2a9c01d7e8b356"),
)
_SAID = {
    "link": "{object} belongs to {order}.",
    "release": "{object} is read again; without an order it is back on the list in a quarter of an hour.",
    "dismiss": "{object} is nobody's; `o2c parked release {object}` takes that back.",
    "disown": "{object} does not bill {order}.",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "parked", help="objects without an order, and documents that may not bill theirs", epilog=f"example: {EXAMPLE}"
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what, example in _ACTIONS:
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: {example}",
            description="What a system says later stands above what is said here. Of a document that names an order, "
            "over another amount or beside another one, `link` to that order has it adopted, `dismiss` left alone. "
            "Exit: 0 done, 1 there is no such object or order, 2 configuration.",
        )
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON lines")
        if name != "list":
            action.add_argument("id", help="id as `list` prints it, the whole object, or its own id")
        if name == "link":
            action.add_argument("order", help="any id of the order")
        if name in _SAID:
            action.add_argument("--by", default=getpass.getuser(), help="who says so where no console runs")
        action.set_defaults(run=run, order="")


def run(args: argparse.Namespace) -> int:
    """List, show or say."""
    with reached(load(args.config, os.environ)) as console:
        if args.action == "list":
            found = list(console.parked())
        elif args.action == "show":
            found = [console.parked_one(args.id)]
        else:
            told = console.say(args.id, args.action, args.order, args.by)
            said = _SAID["disown" if told.order and args.action == "dismiss" else args.action].format(
                object=told.subject, order=told.order
            )
            sys.stdout.write((msgspec.json.encode(told).decode() if args.json else said) + "\n")
            return 0
    for view in found:
        lines = [msgspec.json.encode(view).decode()] if args.json else _lines(view)
        sys.stdout.writelines(line + "\n" for line in lines)
    return 0


def _lines(view: ParkedView) -> Iterable[str]:
    amount = "" if view.amount is None else f"{text(view.amount, view.currency)} {view.currency}"
    since = "" if view.since is None else f"since {view.since:%Y-%m-%d %H:%M}"
    words = (view.id, view.object, view.number, view.status, amount, since)
    yield "  ".join(word for word in words if word)
    for anchor in view.anchors:
        yield f"  names {anchor}"
    for one in view.candidates:
        over = "" if one.amount is None else f"over {text(one.amount, one.currency)} {one.currency}, "
        due = f"{over}due {text(one.amount_due, one.currency)} {one.currency}"
        yield f"  maybe {one.number or one.order}  {one.headline}  {due}  ({one.why})  {one.order}"
