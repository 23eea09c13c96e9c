"""o2c flows undo: take back what a flow itself wrote since some time, after it was shown."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiokafka.errors import KafkaError

from app.cli.plan import flow_of
from app.config.load import load
from app.config.model import Settings
from app.core.errors import O2CError
from app.decisions import send
from app.kafka import refused
from app.planning.plan import Differences, differences
from app.planning.reading import read_states, read_world
from app.planning.shelf import PlanShelf
from app.planning.telling import difference_rows, row_lines, rows_as_csv
from app.planning.undoing import Undoing, UndoPlan
from schemas.flow import Flow

EXAMPLE = "o2c flows undo web --since 2026-11-25T09:00"
_ENCODE = msgspec.json.Encoder().encode


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to `o2c flows`."""
    parser = actions.add_parser(
        "undo",
        help="take back what it wrote since some time, after that was shown",
        epilog=f"example: {EXAMPLE}",
        description="Lists each void, credit note, reversal and change of status that takes back what the flow itself "
        "made since then, with amount, reason and totals, what stays for a person, and a digest; nothing is written. "
        "With --plan it plans anew and has exactly that written when it is what the plan with this digest said, else "
        "it lists what differs. Stop the flow first. What was undone is made anew by `o2c orders recreate` alone. "
        "Exit: 0 shown or told, 1 nothing is told (it would write something else by now, no such plan was shown here, "
        "or the flow is live), 2 configuration, or Kafka does not answer.",
    )
    parser.add_argument("name", metavar="NAME", help="the flow, as the configuration names it")
    parser.add_argument(
        "--since", required=True, type=_moment, metavar="TIME", help="ISO 8601, of this machine's zone if it names none"
    )
    parser.add_argument("--plan", default="", metavar="DIGEST", help="of the plan that was shown: have it written")
    parser.add_argument("--accept-changes", action="store_true", help="have it written although it differs by now")
    parser.add_argument("--by", default=getpass.getuser(), help="who says so (default: the user)")
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print the rows as CSV, formulas neutralised")
    form.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.astimezone()


def run(args: argparse.Namespace) -> int:
    """Show what would be taken back, or have it taken back."""
    settings = load(args.config, os.environ)
    flow = flow_of(settings, args.name)
    shelf = PlanShelf(settings.data_dir / "undo" / flow.tenant / flow.name, UndoPlan)
    shown = shelf.find(args.plan) if args.plan else None
    if args.plan and shown is None:
        again = f"o2c flows undo {flow.name} --since {args.since.isoformat()}"
        raise O2CError(f"No undo {args.plan} of {flow.name} was shown here; run `{again}`.")
    undoing = _read(settings, flow, args.since)
    now = undoing.plan()
    if shown is None:
        shelf.keep(now)
        _show(args, now)
        return 0
    if now.mode == "live":
        raise O2CError(f"{flow.name} is live and writes on; run `o2c flows stop {flow.name}` first.")
    return _told(args, settings, undoing, differences(shown.rows, now.rows))


def _read(settings: Settings, flow: Flow, since: datetime) -> Undoing:
    try:
        return asyncio.run(_undoing(settings, flow, since))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error


async def _undoing(settings: Settings, flow: Flow, since: datetime) -> Undoing:
    undoing = Undoing(await read_world(settings), flow, since, datetime.now(UTC))
    async for state in read_states(settings):
        undoing.add(state)
    return undoing


def _told(args: argparse.Namespace, settings: Settings, undoing: Undoing, found: Differences) -> int:
    """Say it to the workers, unless something else would be written than was shown."""
    now, told = undoing.plan(), not found or args.accept_changes
    if told:
        try:
            asyncio.run(send(settings, undoing.decisions(args.by)))
        except KafkaError as error:
            raise asyncio.run(refused(settings.kafka)) from error
    if args.json:
        document = {"flow": now.flow, "undone": told, "plan": args.plan, "orders": now.orders, "differences": found}
        sys.stdout.write(_ENCODE(document).decode() + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in difference_rows(found))
        if told:
            sys.stdout.write(f"{now.flow}: {len(now.rows)} writes take back what it wrote for {now.orders} orders.\n")
    if not told:
        again = f"o2c flows undo {now.flow} --since {args.since.isoformat()}"
        sys.stderr.write(f"Nothing is undone: it would differ by now; look at `{again}`, or use --accept-changes.\n")
    return 0 if told else 1


def _show(args: argparse.Namespace, plan: UndoPlan) -> None:
    if args.json:
        sys.stdout.write(_ENCODE(plan).decode() + "\n")
    elif args.csv:
        sys.stdout.write(rows_as_csv((plan.flow, row) for row in plan.rows))
        sys.stderr.write(f"{plan.flow}: undo {plan.digest}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(plan))


def _lines(plan: UndoPlan) -> Iterable[str]:
    counts = {
        "writes to take it back": len(plan.rows),
        "to be read first": plan.unread,
        "not answered yet": plan.unanswered,
        "still being undone": plan.under_way,
    }
    more = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    since = f"{plan.since:%Y-%m-%d %H:%M:%S %z}"
    yield f"{plan.flow} ({plan.mode}): {plan.orders} orders written for since {since}{f', {more}' if more else ''}"
    yield from row_lines(plan.rows, plan.totals, plan.findings)
    if plan.orders:
        way = f"o2c flows undo {plan.flow} --since {plan.since.isoformat()} --plan {plan.digest}"
        yield f"undo {plan.digest}; to have it written: {way}"
    else:
        yield "There is nothing to undo."
