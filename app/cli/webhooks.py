"""o2c webhooks register|show|verify|remove: let the platforms tell of changes, and see that they do."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
from aiokafka.errors import KafkaError

from app import platforms
from app.config.load import load
from app.config.model import ResolvedConnection, Settings
from app.config.secret_files import fill
from app.core.errors import ConfigError
from app.kafka import refused
from app.subscribing.keeping import promise, promised
from app.subscribing.registering import Line, Registrar, Report
from app.subscribing.verifying import Delivery, Waiting, counts, why_none

EXAMPLE = "o2c webhooks register"
_SECONDS = 60.0
_HELP = {
    "register": "bring the subscriptions at the platforms in step",
    "show": "what is registered, wanted, missing, foreign",
    "verify": "wait for a real delivery",
    "remove": "end our own subscriptions",
}
_DESCRIPTIONS = {
    "register": "Adds what is missing, moves what went to an old gateway.public_url, switches on and renews; what "
    "others registered stays. Prints what to click where there is no API. A second run changes nothing. Exit: 0 in "
    "step, 1 a platform refused or does not answer, 2 configuration.",
    "show": "Changes nothing. Exit: 0 everything wanted is registered, 1 something is missing or an account does not "
    "answer, 2 configuration.",
    "verify": "Waits until the gateway accepted a delivery of the connection: one that became an event or a hint on "
    "Kafka. Change something in the account meanwhile. Exit: 0 one came for each connection, 1 none came, "
    "2 configuration.",
    "remove": "Others' subscriptions stay. Exit: 0 removed, 1 a platform refused or does not answer, 2 configuration.",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "webhooks", help="let the platforms tell of changes at once", epilog=f"example: {EXAMPLE}"
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what in _HELP.items():
        epilog = f"example: o2c webhooks {name} shop"
        action = actions.add_parser(name, help=what, epilog=epilog, description=_DESCRIPTIONS[name])
        action.add_argument("name", metavar="CONNECTION", nargs="?", default="", help="only this one (default: all)")
        action.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
        action.add_argument("--json", action="store_true", help="print JSON")
        if name == "verify":
            action.add_argument("--seconds", type=float, default=_SECONDS, help="how long to wait (default: 60)")
        action.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what is asked for one connection or all."""
    settings = load(args.config, os.environ)
    chosen = _chosen(settings, args.name)
    if args.action == "verify":
        return asyncio.run(_verify(args, settings, chosen))
    if args.action == "remove" and args.name:
        _alone(settings, chosen[0])
    reports = [_filed(args.config, report) for report in asyncio.run(_kept(args.action, settings, chosen))]
    if args.json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(reports)) + "\n")
    else:
        sys.stdout.write("".join(line + "\n" for report in reports for line in _lines(report, args.action)))
    return 0 if all(_fine(report, args.action) for report in reports) else 1


def _filed(config: Path, report: Report) -> Report:
    """Put a secret that is shown once into the empty file that waits for it, where the configuration names one."""
    name = platforms.load(report.platform).platform.hook_secret
    file = fill(config, report.connection, name, report.secret) if report.secret else None
    if file is None:
        return report
    note = f"The signing secret is in {file} now; restart the gateway if it runs."
    return msgspec.structs.replace(report, secret="", notes=(note, *report.notes))


def _chosen(settings: Settings, name: str) -> list[ResolvedConnection]:
    known = {one.connection.name: one for one in settings.connections}
    for one in known.values():
        platforms.load(one.connection.platform)
    if name and name not in known:
        raise ConfigError(f"There is no connection {name}; name one of {', '.join(sorted(known)) or 'none'}.")
    return [known[name]] if name else list(known.values())


def _alone(settings: Settings, chosen: ResolvedConnection) -> None:
    """Raise ConfigError when other connections are told by the same subscriptions."""
    address = Registrar(settings, chosen).address
    others = [
        one.connection.name
        for one in settings.connections
        if one is not chosen
        and one.connection.name != chosen.connection.name
        and Registrar(settings, one).address == address
    ]
    if others:
        raise ConfigError(
            f"{', '.join(others)} would be told nothing any more either, since one app serves both; run "
            "`o2c webhooks remove` without a name to remove all."
        )


async def _kept(action: str, settings: Settings, chosen: Sequence[ResolvedConnection]) -> list[Report]:
    """Do what is asked, and have connectors look after what is registered from now on."""
    scheduled = [one for one in chosen if one.webhooks_seconds != 0]
    looked_after = {one.connection.name for one in scheduled if Registrar(settings, one).subscriber is not None}
    if action == "show":
        known = await promised(settings)
        reports = await _reports(action, settings, chosen)
        return [_with(one, None if known is None else known.get(one.connection) == one.address, "") for one in reports]
    if action == "remove":  # first, or they would register it again meanwhile
        why = await promise(settings, dict.fromkeys(looked_after, "")) if looked_after else ""
        return [_with(one, None if why else False, why) for one in await _reports(action, settings, chosen)]
    reports = await _reports(action, settings, chosen)
    done = {one.connection: one.address for one in reports if one.connection in looked_after and one.standing}
    why = await promise(settings, done) if done else ""
    return [_with(one, not why, why) if one.connection in done else one for one in reports]


def _with(report: Report, kept: bool | None, why: str) -> Report:  # noqa: FBT001 - the field's value
    if report.standing is None:
        return report
    note = (f"Connectors are not told: {why}",) if why else ()
    return msgspec.structs.replace(report, kept=kept, notes=report.notes + note)


async def _reports(action: str, settings: Settings, chosen: Sequence[ResolvedConnection]) -> list[Report]:
    reports = []
    for resolved in chosen:  # one after the other: connections of one app change the same subscriptions
        registrar = Registrar(settings, resolved)
        asked: dict[str, Callable[[], Awaitable[Report]]] = {
            "register": registrar.register,
            "show": registrar.show,
            "remove": registrar.remove,
        }
        try:
            reports.append(await asked[action]())
        except KafkaError as error:
            where = settings.kafka.bootstrap
            raise ConfigError(
                f"Kafka, which keeps the tokens, does not answer at {where}; run `o2c kafka status`."
            ) from error
    return reports


def _fine(report: Report, action: str) -> bool:
    """Tell whether everything is as the action promises."""
    if report.errors:
        return False
    found = report.standing
    return action == "remove" or found is None or not (found.missing or found.steps)


# --------------------------------------------------------------------------------------------------------------- words


def _lines(report: Report, action: str) -> list[str]:
    lines = [f"{report.connection} ({report.platform}): {report.address or 'no webhooks'}"]
    found = report.standing
    lines += [f"  {_change(line)}" for line in report.changes]
    if found is not None:
        if action != "remove":
            there = len(report.wanted) - len(found.missing)
            lines.append(f"  registered: {there} of {len(report.wanted)} wanted topics")
        elif not report.changes:
            lines.append("  nothing of ours is registered")
        lines += _listed("missing", found.missing if action != "remove" else ())
        lines += _listed("not wanted, left alone", found.extra)
        if action == "show":
            lines += [f"  register would change: {', '.join(step.why)}" for step in _told_once(report)]
            lines += [f"  switched off: {one.address}" for one in found.ours if not one.active]
            lines += [f"  until {one.expires_at:%Y-%m-%d %H:%M}: {one.address}" for one in found.ours if one.expires_at]
        lines += [f"  foreign: {one.address} ({len(one.topics)} topics)" for one in found.foreign]
    if report.secret:
        lines += [
            "  The signing secret is shown this once. Add it to the connection's secrets and restart the gateway:",
            f'    webhook_secret = "{report.secret}"',
        ]
    if report.kept:
        lines.append("  kept: connectors look after it and register again what gets lost (webhooks_seconds)")
    lines += [f"  {note}" for note in report.notes]
    lines += [f"  {number}. {step}" for number, step in enumerate(report.steps, start=1)]
    return lines + [f"  error: {error}" for error in report.errors]


def _told_once(report: Report) -> list[Line]:
    """Return the steps that are due, those of one reason as one."""
    steps = report.standing.steps if report.standing else ()
    return [Line(done="", topics=(), why=why) for why in dict.fromkeys(step.why for step in steps)]


def _listed(word: str, topics: Sequence[str]) -> list[str]:
    return [f"  {word}: {', '.join(topics)}"] if topics else []


def _change(line: Line) -> str:
    what = line.topics[0] if len(line.topics) == 1 else f"{len(line.topics)} topics"
    why = f" ({', '.join(line.why)})" if line.why else ""
    return f"{line.done}: {what}{why}"


# -------------------------------------------------------------------------------------------------------------- verify


async def _verify(args: argparse.Namespace, settings: Settings, chosen: Sequence[ResolvedConnection]) -> int:
    told = {one.connection.name: one for one in chosen if Registrar(settings, one).source.topics()}
    if not told:
        whose = f"{args.name} has no webhooks" if args.name else "No connection has webhooks"
        raise ConfigError(f"{whose}; name one whose platform has, or run `o2c webhooks show` to see which do.")
    waiting = Waiting(settings)
    came: dict[str, Delivery] = {}
    try:
        await waiting.start()
        before = {one.connection.platform: await counts(settings, one.connection.platform) for one in told.values()}
        sys.stderr.write(f"Change something in {', '.join(told)} now; waiting {args.seconds:g} s.\n")
        async for delivery in waiting.deliveries(told, args.seconds):
            came[delivery.connection] = delivery
            if not args.json:
                sys.stdout.write(
                    f"{delivery.connection}: delivered after {delivery.seconds} s, trace {delivery.trace}\n"
                )
        sentences = {
            name: await why_none(settings, one, Registrar(settings, one).address, before[one.connection.platform])
            for name, one in told.items()
            if name not in came
        }
    except KafkaError as error:
        raise await refused(settings.kafka) from error
    finally:
        await waiting.stop()
    if args.json:
        document = {"delivered": list(came.values()), "none": sentences}
        sys.stdout.write(json.dumps(msgspec.to_builtins(document)) + "\n")
    else:
        sys.stdout.write("".join(f"{name}: none. {why}\n" for name, why in sentences.items()))
    return 1 if sentences else 0
