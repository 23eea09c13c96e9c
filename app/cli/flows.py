"""o2c flows list|go-live|backfill|undo|stop|mode: what a flow may do, and letting it write what a plan said."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
from aiokafka.errors import KafkaError

from app import platforms
from app.broadcasting import send
from app.cli import _undo
from app.cli.plan import flow_of, planned
from app.config.load import load
from app.config.model import ResolvedConnection, Settings
from app.connecting.looking import standings
from app.core.errors import O2CError
from app.kafka import refused
from app.planning.plan import Differences, Plan, differences
from app.planning.reading import read_world
from app.planning.shelf import Shelf
from app.planning.telling import difference_rows
from schemas.broadcast import Fact
from schemas.flow import Flow
from streams.order.world import World

EXAMPLE = "o2c flows go-live web --plan 0f3a9c5d2b7e4a61"
_ENCODE = msgspec.json.Encoder().encode
_WORDS = {
    "live": "writes what its orders lack",
    "shadow": "plans and shows, and writes nothing",
    "stopped": "plans and writes nothing",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "flows", help="see and set what a flow may do, let it write what a plan said", epilog=f"example: {EXAMPLE}"
    )
    actions = parser.add_subparsers(dest="action", required=True)
    _list = _action(
        actions,
        "list",
        "every flow with the mode in force",
        "o2c flows list",
        "Shows each flow, the mode in force and the configuration's, its targets and the plan that was shown last. "
        "Exit: 0 shown, 2 configuration, or Kafka does not answer.",
    )
    _list.set_defaults(run=run_list)
    live = _action(
        actions,
        "go-live",
        "let it write what a plan said",
        EXAMPLE,
        "Plans anew and lets the flow write when that is what the plan with this digest said; `o2c plan` shows the "
        "digest. Else it lists what differs and changes nothing. Orders that waited are planned at once. "
        "Exit: 0 live, 1 it stays as it is (what would be written differs, or no such plan was shown here), "
        "2 configuration, or Kafka does not answer.",
    )
    live.add_argument("name", metavar="NAME", help="the flow, as the configuration names it")
    live.add_argument("--plan", required=True, metavar="DIGEST", help="of the plan that was shown")
    live.add_argument("--accept-changes", action="store_true", help="go live although the plan differs by now")
    live.set_defaults(run=run_live)
    backfill = _action(
        actions,
        "backfill",
        "let it write what is older than the start, as a plan said",
        "o2c flows backfill web --plan 0f3a9c5d2b7e4a61",
        "Plans anew and asks for the writes that the plan with this digest marks as older than the start of their "
        "connection (start_at), as far back as that plan reaches (`o2c plan --since`). Documents that people made are "
        "adopted, what is ambiguous is parked. It goes on after every restart, comes after all live writes, and may be "
        "asked for again. Exit: 0 asked for, 1 nothing changes (what would be written differs, no such plan was "
        "shown here, or a system was not read whole yet), 2 configuration, or Kafka does not answer.",
    )
    backfill.add_argument("name", metavar="NAME", help="the flow, as the configuration names it")
    backfill.add_argument("--plan", required=True, metavar="DIGEST", help="of the plan that was shown")
    backfill.add_argument("--accept-changes", action="store_true", help="ask for it although the plan differs by now")
    backfill.set_defaults(run=run_backfill)
    _undo.register(actions)
    stop = _action(
        actions,
        "stop",
        "let it write nothing more, at once",
        "o2c flows stop web",
        "Every worker obeys within seconds, also after a restart: what waits to be written is held, and planned "
        "afresh once the flow is live again. Reading goes on. Exit: 0 acknowledged by Kafka, 2 configuration.",
    )
    stop.add_argument("name", metavar="NAME", help="the flow, as the configuration names it")
    stop.set_defaults(run=run_mode, mode="stopped")
    mode = _action(
        actions,
        "mode",
        "live, shadow or stopped",
        "o2c flows mode web live",
        "Counts until it is set again, whatever mode the configuration names; orders that waited for it are planned "
        "at once, without asking for a plan (`o2c flows go-live` does). In any mode but live, what waits to be written "
        "is held. Exit: 0 acknowledged by Kafka, 2 configuration.",
    )
    mode.add_argument("name", metavar="NAME", help="the flow, as the configuration names it")
    mode.add_argument("mode", choices=sorted(_WORDS), help="; ".join(f"{one}: {what}" for one, what in _WORDS.items()))
    mode.set_defaults(run=run_mode)


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str, example: str, description: str
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=what, epilog=f"example: {example}", description=description)
    action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    action.add_argument("--json", action="store_true", help="print JSON")
    return action


def run_mode(args: argparse.Namespace) -> int:
    """Set the mode."""
    settings = load(args.config, os.environ)
    _set(settings, flow_of(settings, args.name), args.mode)
    said = {"flow": args.name, "mode": args.mode}
    sys.stdout.write(json.dumps(said) + "\n" if args.json else f"{args.name} is {args.mode}: {_WORDS[args.mode]}.\n")
    return 0


def run_live(args: argparse.Namespace) -> int:
    """Go live with the plan that was shown, or tell what differs."""
    settings = load(args.config, os.environ)
    flow = flow_of(settings, args.name)
    shown = _shown(settings, flow, args.plan)
    (now,) = planned(settings, lambda _world: [flow], shown.since)
    found = differences(shown.live, now.live)
    live = not found or args.accept_changes
    if live:
        _set(settings, flow, "live")
    if args.json:
        document = {"flow": flow.name, "live": live, "plan": shown.digest, "differences": found}
        sys.stdout.write(_ENCODE(document).decode() + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _said(now, found, live=live))
    if not live:
        sys.stderr.write(f"{flow.name} stays {now.mode}: {_advice(flow)}\n")
    return 0 if live else 1


def run_backfill(args: argparse.Namespace) -> int:
    """Have written what is older than the start, as the plan that was shown said, or tell what differs."""
    settings = load(args.config, os.environ)
    flow = flow_of(settings, args.name)
    shown = _shown(settings, flow, args.plan)
    _walked(settings, flow)
    (now,) = planned(settings, lambda _world: [flow], shown.since)
    found = differences(shown.old, now.old)
    asked = not found or args.accept_changes
    if asked:
        _tell(settings, Fact(kind="backfill", subject=flow.name, value=shown.since.isoformat()))
    if args.json:
        document = {"flow": flow.name, "backfill": asked, "since": shown.since, "plan": shown.digest}
        counts = {"writes": len(now.old), "adopted": now.adopted, "for_a_person": now.disputed}
        sys.stdout.write(_ENCODE({**document, **counts, "differences": found}).decode() + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _told(now, found, asked=asked))
    if not asked:
        sys.stderr.write(f"Nothing is asked for: {_advice(flow)}\n")
    return 0 if asked else 1


def _shown(settings: Settings, flow: Flow, digest: str) -> Plan:
    shown = Shelf(settings.data_dir, flow.tenant, flow.name).find(digest)
    if shown is None:
        raise O2CError(f"No plan {digest} of {flow.name} was shown here; run `o2c plan --flow {flow.name}`.")
    return shown


def _walked(settings: Settings, flow: Flow) -> None:
    """Refuse while a system of the flow was not read whole once: what it holds already would be written again."""
    names = {flow.key_giver, *(target.connection for target in flow.targets)}
    swept = [one for one in settings.connections if one.connection.name in names and _is_swept(one)]
    try:
        found = asyncio.run(standings(settings, swept))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error
    if missing := sorted(one.connection for one in found if one.complete_up_to is None):
        there = ", ".join(missing)
        raise O2CError(f"Not read whole yet: {there}; run the connectors and wait (`o2c connections list`).")


def _is_swept(resolved: ResolvedConnection) -> bool:
    return bool(platforms.load(resolved.connection.platform).source(resolved.connection).sweeps())


def _told(now: Plan, found: Differences, *, asked: bool) -> Iterable[str]:
    yield from difference_rows(found)
    if asked:
        yield f"{now.flow} writes {len(now.old)} documents and changes of what is older than the start."
        yield f"{now.adopted} documents of people are adopted, {now.disputed} wait for a person (`o2c parked list`)."
        if now.mode != "live":
            yield f"{now.flow} is {now.mode}: they are written once it is live."


def _said(now: Plan, found: Differences, *, live: bool) -> Iterable[str]:
    yield from difference_rows(found)
    if live:
        yield f"{now.flow} is live: it writes {now.writes} documents and changes of {now.written} orders."


def _advice(flow: Flow) -> str:
    return f"what it would write differs by now; look at `o2c plan --flow {flow.name}`, or use --accept-changes."


def _set(settings: Settings, flow: Flow, mode: str) -> None:
    _tell(settings, Fact(kind="mode", subject=flow.name, value=mode))


def _tell(settings: Settings, fact: Fact) -> None:
    try:
        asyncio.run(send(settings, fact))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error


def run_list(args: argparse.Namespace) -> int:
    """List the flows."""
    settings = load(args.config, os.environ)
    try:
        world = asyncio.run(read_world(settings))
    except KafkaError as error:
        raise asyncio.run(refused(settings.kafka)) from error
    rows = [_listed(settings, flow, world) for flow in settings.flows]
    lines = [_ENCODE({"flows": rows}).decode()] if args.json else map(_line, rows)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


class _Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One flow of the list."""

    flow: str
    tenant: str
    mode: str
    configured: str
    key_giver: str
    targets: list[str]
    plan: str
    """Digest of the plan that was shown last, "" before the first."""
    planned_at: str


def _listed(settings: Settings, flow: Flow, world: World) -> _Listed:
    last = Shelf(settings.data_dir, flow.tenant, flow.name).last()
    return _Listed(
        flow=flow.name,
        tenant=flow.tenant,
        mode=world.mode(flow),
        configured=flow.mode,
        key_giver=flow.key_giver,
        targets=[target.connection for target in flow.targets],
        plan="" if last is None else last.digest,
        planned_at="" if last is None else last.planned_at.isoformat(timespec="seconds"),
    )


def _line(row: _Listed) -> str:
    said = "" if row.mode == row.configured else f" (configured {row.configured})"
    plan = f", plan {row.plan} of {row.planned_at}" if row.plan else ""
    return f"{row.flow}: {row.mode}{said}, {row.key_giver} to {', '.join(row.targets) or 'nothing'}{plan}"
