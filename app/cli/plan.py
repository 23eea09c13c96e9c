"""o2c plan: what flows would write, before anything is written."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiokafka.errors import KafkaError

from app.config.load import load
from app.config.model import Settings
from app.core.errors import ConfigError, O2CError
from app.kafka import refused
from app.planning.plan import Differences, Plan, differences
from app.planning.reading import read_plans, read_world
from app.planning.shelf import Shelf
from app.planning.telling import as_csv, difference_lines, plan_lines
from schemas.flow import Flow
from streams.order.plan.begin import EVER
from streams.order.world import World

EXAMPLE = "o2c plan --flow web"
_EVERY = 1_000
_ENCODE = msgspec.json.Encoder().encode


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "plan",
        help="list what flows would write, and why",
        epilog=f"example: {EXAMPLE}",
        description="Plans every order that the streams know, as they would, and writes nothing: each intended write "
        "with target, document, amount and reason, totals per target and currency, what is adopted, what is older than "
        "the start (`start_at`) and written by a backfill alone, findings, "
        "conflicts, and the digest that `o2c flows go-live` asks for. Exit: 0 shown, 1 there is nothing to show "
        "(no flow is in shadow, or no earlier plan to compare with), 2 configuration, or Kafka does not answer.",
    )
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--flow", default="", help="only this flow, in whatever mode (default: every flow in shadow)")
    which.add_argument("--all", action="store_true", help="every flow, in whatever mode")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print the rows as CSV, formulas neutralised")
    form.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--since",
        type=datetime.fromisoformat,
        default=EVER,
        metavar="DAY",
        help="how far back a backfill with this plan would reach, as 2026-01-01 (default: to the beginning)",
    )
    parser.add_argument("--diff", action="store_true", help="only what differs from the plan that was shown last")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the plans, and remember that they were shown."""
    settings = load(args.config, os.environ)
    if args.flow:
        flow_of(settings, args.flow)  # before anybody waits for Kafka
    if args.csv and args.diff:
        raise ConfigError("Differences have no CSV; use --json, or leave --diff out.")
    plans = planned(settings, lambda world: _wanted(settings, world, args), _zoned(args.since))
    shelves = {plan.flow: Shelf(settings.data_dir, plan.tenant, plan.flow) for plan in plans}
    found = {plan.flow: _compared(plan, shelves[plan.flow]) for plan in plans} if args.diff else {}
    _show(args, plans, found)
    for plan in plans:
        shelves[plan.flow].keep(plan)
    return 0


def _zoned(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def planned(settings: Settings, wanted: Callable[[World], list[Flow]], since: datetime = EVER) -> list[Plan]:
    """Return the plans of the flows that *wanted* picks, with progress on standard error."""
    try:
        return asyncio.run(_planned(settings, wanted, since))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error


async def _planned(settings: Settings, wanted: Callable[[World], list[Flow]], since: datetime) -> list[Plan]:
    world = await read_world(settings)
    plans = await read_plans(settings, world, wanted(world), _progress, since)
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    return plans


def flow_of(settings: Settings, name: str) -> Flow:
    """Return the flow of that name; ConfigError when there is none."""
    found = [flow for flow in settings.flows if flow.name == name]
    if not found:
        known = sorted({flow.name for flow in settings.flows})
        raise ConfigError(f"There is no flow {name}; name one of {', '.join(known) or 'none'}.")
    return found[0]


def _wanted(settings: Settings, world: World, args: argparse.Namespace) -> list[Flow]:
    if args.flow:
        return [flow_of(settings, args.flow)]
    flows = [flow_of(settings, flow.name) for flow in settings.flows]
    found = [flow for flow in flows if args.all or world.mode(flow) == "shadow"]
    if not found:
        raise O2CError("No flow is in shadow; use --all, or name one by --flow.")
    return found


def _compared(plan: Plan, shelf: Shelf) -> Differences:
    last = shelf.last()
    if last is None:
        raise O2CError(f"No plan of {plan.flow} was shown here yet; run `o2c plan --flow {plan.flow}`.")
    return differences(last.rows, plan.rows)


def _progress(count: int) -> None:
    if count % _EVERY == 0 and sys.stderr.isatty():
        sys.stderr.write(f"\r{count} orders")
        sys.stderr.flush()


def _show(args: argparse.Namespace, plans: list[Plan], found: dict[str, Differences]) -> None:
    if args.json:
        rows = [_document(plan, found.get(plan.flow)) for plan in plans]
        sys.stdout.write(_ENCODE({"plans": rows}).decode() + "\n")
    elif args.csv:
        sys.stdout.write(as_csv(plans))
        sys.stderr.writelines(f"{plan.flow}: plan {plan.digest}\n" for plan in plans)
    else:
        for plan in plans:
            lines = difference_lines(plan, found[plan.flow]) if args.diff else plan_lines(plan)
            sys.stdout.writelines(f"{line}\n" for line in lines)


def _document(plan: Plan, found: Differences | None) -> object:
    if found is None:
        return plan
    head = {"flow": plan.flow, "tenant": plan.tenant, "mode": plan.mode, "digest": plan.digest}
    return {**head, **msgspec.structs.asdict(found)}
