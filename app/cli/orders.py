"""o2c orders get|list|watch|export: where every order stands; retry|recreate|merge|resume|revert: a person decides."""

from __future__ import annotations

import argparse
import getpass
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.config.load import load
from app.config.model import Settings
from app.console.reach import reached
from app.console.refused import Refused
from app.console.remote import Remote
from app.console.views import OrderView, ParkedView, Shown, SystemView
from schemas.decisions import Kind
from schemas.money import text
from schemas.order_state import PublicOrder

if TYPE_CHECKING:
    from app.console.local import Local

EXAMPLE = "o2c orders get SO-1001"
_ANY_ID = "order key or number, an id or number of any system's object, a tracking number, or a command"
_KINDS = ("order", "invoice", "payment", "credit", "shipment")
_ENCODE = msgspec.json.Encoder().encode


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("orders", help="where every order stands", epilog=f"example: {EXAMPLE}")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what, example in (
        ("get", "one order by any of its ids", EXAMPLE),
        ("list", "one line per order", "o2c orders list --headline paid"),
        ("watch", "every change as it happens", "o2c orders watch"),
        ("export", "all order states as JSON lines", "o2c orders export orders.jsonl"),
    ):
        source = "Asks the console, or Kafka where none runs." if name == "get" else "Reads the topic order-states."
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: {example}",
            description=f"{source} Exit: 0 done, 1 there is no such order, 2 configuration.",
        )
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON lines")
        if name == "get":
            action.add_argument("id", help=_ANY_ID)
        if name == "list":
            action.add_argument("--headline", default="", help="only orders with this status word")
        if name == "export":
            action.add_argument("file", type=Path, help="file to write, - for standard output")
        action.set_defaults(run=run)
    for name, what, about, example in _DECISIONS:
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: {example}",
            description="Tells the console, or Kafka where none runs. Exit: 0 told, 1 there is no such order, there "
            "are several, or nothing like it to decide, 2 configuration.",
        )
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON")
        action.add_argument("--by", default=getpass.getuser(), help="who says so where no console runs")
        action.add_argument("id", help=_ANY_ID)
        if about:
            optional = about.startswith("[")
            action.add_argument(
                "about", nargs="?" if optional else None, default="", metavar=about.strip("[]"), help="what is meant"
            )
        action.set_defaults(run=run_decision, about="")


_DECISIONS: tuple[tuple[Kind, str, str, str], ...] = (
    ("retry", "plan refused writes afresh", "[WRITE]", "o2c orders retry SO-1001"),
    ("recreate", "make a document once more that was deleted or voided", "[WRITE]", "o2c orders recreate SO-1001"),
    ("merge", "say that an order and another one are one", "INTO", "o2c orders merge SO-1001 SO-1002"),
    ("resume", "plan again after orders with documents became one", "", "o2c orders resume SO-1002"),
    ("revert", "give the lost value of a conflict back", "FIELD", "o2c orders revert SO-1001 note"),
)


def run(args: argparse.Namespace) -> int:
    """Get, list, watch, export or decide."""
    settings = load(args.config, os.environ)
    if args.action == "get":
        return _get(settings, args)
    states = importlib.import_module("app.console.states")  # aiokafka: `orders get` is there before that is loaded
    if args.action == "watch":
        states.watch(settings, partial(_changed, as_json=args.json))
    orders = states.all_orders(settings)
    if args.action == "export":
        return _export(orders, args.file)
    found = [order for order in orders if args.headline in ("", order.headline)]
    sys.stdout.writelines(_line(order, as_json=args.json) for order in found)
    return 0


def run_decision(args: argparse.Namespace) -> int:
    """Decide."""
    with reached(load(args.config, os.environ)) as console:
        told = console.decide(args.id, args.action, args.about, args.by)
    said = _ENCODE(told).decode() if args.json else f"{args.action} {args.id} {args.about}".rstrip() + ": told."
    sys.stdout.write(said + "\n")
    return 0


def _get(settings: Settings, args: argparse.Namespace) -> int:
    """Print all about every order of that id: the console knows it at once, Kafka has to be read first."""
    with reached(settings) as console:
        found = console.orders(args.id)
        parked = None if found else _parked(console, args.id)
    for view in found:
        lines = [_ENCODE(view).decode() + "\n"] if args.json else [_line(view.order, as_json=False), *_details(view)]
        sys.stdout.writelines(lines)
    if parked is not None:
        sys.stderr.write(f"{parked.object} is parked without an order; see `o2c parked show {parked.id}`.\n")
    elif not found:
        sys.stderr.write(f"There is no order {args.id}; see `o2c orders list`.\n")
    return 0 if found else 1


def _parked(console: Remote | Local, id_: str) -> ParkedView | None:
    try:
        return console.parked_one(id_)
    except Refused:
        return None


def _line(order: PublicOrder, *, as_json: bool) -> str:
    if as_json:
        return _ENCODE(order).decode() + "\n"
    return (
        f"{order.number:<16} {order.headline:<20} {order.payable_amount:>12} {order.currency}  "
        f"paid {order.paid_amount}  credited {order.credited_amount}  {order.key}\n"
    )


def _details(view: OrderView) -> Iterable[str]:
    order = view.order
    yield "side by side, as shown last (UTC):\n"
    yield from _side_by_side(view.systems, order.currency)
    yield "writes:\n" if view.writes else "writes: none\n"
    for write in view.writes:
        came = f"{write.outcome or 'no answer yet'} {write.reason}".rstrip()
        yield f"  {write.capability} in {write.connection}: {came}  [{write.write}] command {write.command}\n"
        for request in write.requests:
            what = f"{request.method} {request.path} -> {request.status or request.state}"
            yield f"    {_time(request.at)} {what}  request {request.id}\n"
    yield "what happened (UTC):\n" if view.hops else "what happened: not known here\n"
    for hop in view.hops:
        at = f"{_time(hop.at)}.{hop.at.microsecond // 1000:03}"
        yield f"  {at} {hop.what:<8} {hop.system:<12} {hop.text}\n"
    yield from _open(view)


def _side_by_side(systems: Sequence[SystemView], currency: str) -> Iterable[str]:
    """Yield a column per system and a row per kind of object."""
    rows = [("", *(f"{one.connection}{' (paused)' if one.paused else ''}" for one in systems))]
    kinds = {shown.kind for system in systems for shown in system.objects}
    for kind in (*(kind for kind in _KINDS if kind in kinds), *sorted(kinds.difference(_KINDS))):
        stacks = [
            [cell for shown in one.objects if shown.kind == kind for cell in _cells(shown, currency)] for one in systems
        ]
        rows += [(kind if not line else "", *row) for line, row in enumerate(zip_longest(*stacks, fillvalue=""))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _cells(shown: Shown, currency: str) -> Iterable[str]:
    yield f"{shown.number or shown.id}{' (written by o2c)' if shown.ours else ''}"
    yield f"  {shown.status} {'' if shown.amount is None else text(shown.amount, currency)}".rstrip()
    yield f"  seen {_time(shown.seen_at)}" if shown.seen_at else ""


def _open(view: OrderView) -> Iterable[str]:
    """Yield what is not well with the order; the next step stands behind each."""
    for stop in view.stopped:
        yield f"stopped: {stop.why} {stop.next_step}{f'  [{stop.write}]' if stop.write else ''}\n"
    for lost in view.order.conflicts:
        kept = f"{lost.kept!r} of {lost.kept_by or 'a person'} was kept"
        undo = f"`o2c conflicts revert {view.order.number or view.order.key} {lost.field}` gives it back."
        yield f"conflict {lost.field}: {kept}, {lost.lost!r} of {lost.lost_by or 'a person'} lost; {undo}\n"
    for finding in view.order.findings:
        if finding.severity == "warn":
            yield f"warn: {finding.message} {finding.next_step}\n"
    if not (view.stopped or view.order.conflicts or view.order.findings):
        yield "nothing of it waits.\n"


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _export(orders: Iterable[PublicOrder], path: Path) -> int:
    lines = b"".join(_ENCODE(order) + b"\n" for order in sorted(orders, key=lambda one: one.key))
    if str(path) == "-":
        sys.stdout.write(lines.decode())
    else:
        path.write_bytes(lines)
    return 0


def _changed(order: PublicOrder, *, as_json: bool) -> None:
    sys.stdout.write(_line(order, as_json=as_json))
    sys.stdout.flush()
