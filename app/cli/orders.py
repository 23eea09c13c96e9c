"""o2c orders get|list|watch|export: where every order stands; retry|recreate|merge|resume|revert: a person decides."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.config.load import load
from app.config.model import Settings
from app.core import topics
from app.core.errors import ConfigError
from app.decisions import decision, send
from app.roles.gateway import security
from schemas.decisions import Kind
from schemas.order_state import PublicOrder

EXAMPLE = "o2c orders get SO-1001"
_ENCODE = msgspec.json.Encoder().encode
_DECODER = msgspec.json.Decoder(PublicOrder)


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
        action = actions.add_parser(
            name,
            help=what,
            epilog=f"example: {example}",
            description="Reads the public topic order-states. Exit: 0 done, 1 there is no such order, 2 configuration.",
        )
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON lines")
        if name == "get":
            action.add_argument("id", help="order key, order number, any system's id, or a tracking number")
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
            description="Writes a decision to the topic decisions. Exit: 0 written, 1 there is no such order or "
            "there are several, 2 configuration, or nothing like it to decide.",
        )
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print the decision as JSON")
        action.add_argument("--by", default=getpass.getuser(), help="who decides (default: the user)")
        action.add_argument("id", help="order key, order number, any system's id, or a tracking number")
        if about:
            optional = about.startswith("[")
            action.add_argument(
                "about", nargs="?" if optional else None, default="", metavar=about.strip("[]"), help="what is meant"
            )
        action.set_defaults(run=run, about="")


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
    try:
        if args.action == "watch":
            return asyncio.run(_watch(settings, as_json=args.json))
        orders = asyncio.run(read_orders(settings))
    except KafkaError as error:
        raise ConfigError(f"Kafka does not answer at {settings.kafka.bootstrap}; run `o2c kafka status`.") from error
    if args.action == "export":
        return _export(orders.values(), args.file)
    if args.action in {name for name, *_ in _DECISIONS}:
        return _decide(settings, orders.values(), args)
    found = [order for order in orders.values() if _wanted(order, args)]
    sys.stdout.writelines(_line(order, full=args.action == "get", as_json=args.json) for order in found)
    if args.action == "get" and not found:
        sys.stderr.write(f"There is no order {args.id}; see `o2c orders list`.\n")
        return 1
    return 0


def _decide(settings: Settings, orders: Iterable[PublicOrder], args: argparse.Namespace) -> int:
    known = list(orders)
    order = _one(known, args.id)
    about = args.about
    if args.action == "merge":
        into = _one([one for one in known if order is None or one.tenant == order.tenant], about)
        about = into.key if into is not None else ""
    if order is None or (args.action == "merge" and not about):
        return 1
    decided = decision(order, args.action, about, args.by, datetime.now(UTC))
    asyncio.run(send(settings, decided))
    said = _ENCODE(decided).decode() if args.json else f"{decided.kind} {order.number or order.key} {about}".rstrip()
    sys.stdout.write(said + "\n")
    return 0


def _one(orders: Iterable[PublicOrder], id_: str) -> PublicOrder | None:
    """Return the order of that id; says so and returns None when there is not exactly one."""
    found = [order for order in orders if id_ in _ids(order)]
    if len(found) == 1:
        return found[0]
    keys = ", ".join(order.key for order in found)
    sys.stderr.write(
        f"{id_} is {keys}: name one key.\n" if found else f"There is no order {id_}; see `o2c orders list`.\n"
    )
    return None


def _ids(order: PublicOrder) -> set[str]:
    return {order.key, order.number, *order.tracking_numbers, *(shown.id for shown in order.shown)}


def _wanted(order: PublicOrder, args: argparse.Namespace) -> bool:
    if args.action == "get":
        return args.id in _ids(order)
    return not args.headline or order.headline == args.headline


def _line(order: PublicOrder, *, full: bool, as_json: bool) -> str:
    if as_json:
        return _ENCODE(order).decode() + "\n"
    head = (
        f"{order.number:<16} {order.headline:<20} {order.payable_amount:>12} {order.currency}  "
        f"paid {order.paid_amount}  credited {order.credited_amount}  {order.key}\n"
    )
    return head + ("".join(_details(order)) if full else "")


def _details(order: PublicOrder) -> Iterable[str]:
    if order.alias_of:
        yield f"  is one with {order.alias_of}\n"
    for shown in order.shown:
        row = (shown.connection.ljust(12), shown.kind.ljust(9), shown.id.ljust(40), shown.status.ljust(18))
        yield f"  {' '.join(row)} {shown.amount or '':>12} {'written by o2c' if shown.ours else ''}\n"
    for wait in order.waiting:
        what = f"{wait.capability} waits: {wait.outcome or 'asked for'} {wait.reason}"
        yield f"  {wait.connection:<12} {what}  [{wait.write}]\n"
    for lost in order.conflicts:
        kept = f"{lost.kept!r} of {lost.kept_by} was kept"
        yield f"  conflict {lost.field}: {kept}, {lost.lost!r} of {lost.lost_by} lost {lost.at or ''}\n"
    for finding in order.findings:
        yield f"  {finding.severity}: {finding.message} {finding.next_step}\n"


def _export(orders: Iterable[PublicOrder], path: Path) -> int:
    lines = b"".join(_ENCODE(order) + b"\n" for order in sorted(orders, key=lambda one: one.key))
    if str(path) == "-":
        sys.stdout.write(lines.decode())
    else:
        path.write_bytes(lines)
    return 0


async def read_orders(settings: Settings) -> dict[str, PublicOrder]:
    """Return the newest state of every order, key -> state, read to the topic's present end."""
    found: dict[str, PublicOrder] = {}
    async for key, order in _states(settings, follow=False):
        if order is None:
            found.pop(key, None)
        else:
            found[key] = order
    return found


async def _watch(settings: Settings, *, as_json: bool) -> int:
    async for _, order in _states(settings, follow=True):
        if order is not None:
            sys.stdout.write(_line(order, full=False, as_json=as_json))
            sys.stdout.flush()
    return 0


async def _states(settings: Settings, *, follow: bool) -> AsyncIterator[tuple[str, PublicOrder | None]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, **security(settings.kafka))
    await consumer.start()
    try:
        topic = settings.topics.prefix + topics.ORDER_STATES
        places = [TopicPartition(topic, number) for number in range(settings.kafka.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        if not follow:
            # seek_to_beginning() is only asked for in the background: the position would still be the end.
            for place, begin in (await consumer.beginning_offsets(places)).items():
                consumer.seek(place, begin)
        while follow or any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record.key.decode(), None if record.value is None else _DECODER.decode(record.value)
    finally:
        await consumer.stop()
