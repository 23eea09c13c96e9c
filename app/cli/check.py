"""o2c check: what is wrong before anything runs, each in one sentence with what to do."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from app import platforms
from app.check.accounts import Account, check_accounts
from app.check.asking import ask_accounts
from app.check.configuration import check_configuration
from app.check.lines import Line, current, missing_lines, sections, shown
from app.check.picking import picked
from app.check.problems import Places, Problem
from app.check.writing import write
from app.config.load import load
from app.config.model import ResolvedConnection, Settings
from app.core.errors import ConfigError

EXAMPLE = "o2c check --config o2c.toml"
_ACCOUNT, _CONFIGURATION = 1, 2
_OF_ACCOUNTS = frozenset(
    (
        "no_answer",
        "no_account",
        "other_account",
        "mapping",
        "unmapped_rate",
        "unmapped_status",
        "unshown_status",
        "currency",
    )
)
"""The problems that only show when the accounts are asked."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="tell what is wrong before anything runs",
        epilog=f"example: {EXAMPLE}",
        description="Checks the configuration, then asks every account by harmless calls: whose it is, its stages, "
        "ledger accounts, tax codes and currencies. What the configuration lacks is printed as TOML lines with the "
        "account's own choices; --write puts accepted ones into the file, whose comments and layout stay. "
        "Exit: 0 nothing is wrong (warnings may be listed), 1 an account does not answer or is not as configured, "
        "2 the configuration is wrong, or an accepted line cannot be written (then none is); with --write as it "
        "stands then.",
    )
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    parser.add_argument("--offline", action="store_true", help="check the configuration only, ask nobody")
    parser.add_argument(
        "--write", action="store_true", help="ask for each missing line and put it into the configuration"
    )
    parser.add_argument("--yes", action="store_true", help="with --write: accept what fits beyond doubt, ask nothing")
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="with --write: accept this line, as in books.taxes.20=OUTPUT2, ask nothing; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


class Report(msgspec.Struct, frozen=True):
    """What was found; without settings the configuration could not be read."""

    problems: Sequence[Problem]
    settings: Settings | None = None
    accounts: Mapping[str, Account] = {}
    lines: Sequence[Line] = ()
    alone: frozenset[str] = frozenset()
    """Tenants that have a file of their own."""


def run(args: argparse.Namespace) -> int:
    """Print the problems and return what they mean."""
    if args.offline and args.write:
        raise ConfigError("--write needs the answers of the accounts; leave --offline out.")
    if (args.yes or args.accept) and not args.write:
        raise ConfigError("--yes and --accept say what is written; add --write.")
    report, written = _examined(args), {}
    if args.write and report.settings is not None:
        written = _accepted(args, report.settings, report.lines)
    if written:
        files = write(args.config, os.environ, written)
        if not args.json:
            listed = ", ".join(str(file) for file in files)
            sys.stdout.write(f"Wrote {len(written)} {'line' if len(written) == 1 else 'lines'} into {listed}.\n")
        report = _examined(args)
    return _print(args, report, written)


def _examined(args: argparse.Namespace) -> Report:
    try:
        settings = load(args.config, os.environ)
    except ConfigError as error:
        return Report([_unreadable(line) for line in str(error).splitlines()])
    places = Places(args.config)
    problems = check_configuration(settings, places)
    accounts: dict[str, Account] = {}
    if not args.offline:
        accounts, silent = asyncio.run(ask_accounts(settings, _known(settings)))
        problems += [_silent(settings, places, name, why) for name, why in silent.items()]
        problems += check_accounts(settings, places, accounts)
    alone = frozenset(one.tenant for one in settings.tenants if not places.file(one.tenant)[1])
    return Report(problems, settings, accounts, missing_lines(settings, accounts), alone)


def _accepted(args: argparse.Namespace, settings: Settings, lines: Sequence[Line]) -> dict[Line, str]:
    """Return the lines to write with their values: named ones, those without doubt, or those a person picks."""
    named = [_named(one, settings, lines) for one in args.accept]
    accepted = {line: value for line, value in named if line is not None}
    if args.yes:
        return {**{line: line.suggested for line in lines if line.sure}, **accepted}
    if args.accept or not lines:
        return accepted
    if not sys.stdin.isatty():
        raise ConfigError("Nobody can be asked here; add --yes, or --accept KEY=VALUE for each line.")
    return picked(lines)


def _named(asked: str, settings: Settings, lines: Sequence[Line]) -> tuple[Line | None, str]:
    """Return the line that KEY=VALUE names and its value; None where the configuration says that already."""
    name, _, value = asked.partition("=")
    line = next((line for line in lines if line.name == name), None)
    connection, _, key = name.partition(".")
    if line is None:
        configs = {one: config for tenant in settings.tenants for one, config in tenant.connections.items()}
        if value and connection in configs and current(configs[connection], key) == value:
            return None, value
        known = ", ".join(line.name for line in lines) or "none"
        raise ConfigError(f"No line {name} is missing; name one of {known}.")
    if value not in {one.value for one in line.choices}:
        there = ", ".join(shown(one) for one in line.choices) or "nothing that fits"
        raise ConfigError(f"{line.platform} does not offer {value!r} for {name}; it has {there}.")
    return line, value


def _known(settings: Settings) -> list[ResolvedConnection]:
    return [one for one in settings.connections if one.connection.platform in platforms.slugs()]


def _unreadable(line: str) -> Problem:
    """Return a complaint of the loader, which names file and line itself."""
    place, colon, rest = line.partition(": ")
    located = colon and place.rpartition(":")[2].isdigit()
    message = rest if "; " in rest else f"{rest.rstrip('.')}; correct it."
    return Problem(place if located else "", "error", "configuration", message if located else line)


def _silent(settings: Settings, places: Places, name: str, why: str) -> Problem:
    tenant = next(tenant.tenant for tenant in settings.tenants if name in tenant.connections)
    return Problem(places.of(tenant, "connections", name), "error", "no_answer", why)


def _gaps(settings: Settings | None) -> dict[str, tuple[str, ...]]:
    """Return what each configured platform cannot do, in plain words."""
    used = {one.connection.platform for one in (_known(settings) if settings is not None else ())}
    found = {slug: platforms.load(slug).platform.gaps for slug in sorted(used)}
    return {slug: gaps for slug, gaps in found.items() if gaps}


def exit_code(problems: Iterable[Problem]) -> int:
    """Return 2 when the configuration is wrong, 1 when an account is, else 0."""
    codes = {problem.code for problem in problems if problem.severity == "error"}
    if not codes:
        return 0
    return _ACCOUNT if codes <= _OF_ACCOUNTS else _CONFIGURATION


def _print(args: argparse.Namespace, report: Report, written: Mapping[Line, str]) -> int:
    problems = sorted(report.problems, key=_place)
    rows = [_shown(name, account) for name, account in sorted(report.accounts.items())]
    if args.json:
        document = {
            "accounts": rows,
            "problems": problems,
            "lines": [{"name": line.name, **msgspec.structs.asdict(line)} for line in report.lines],
            "written": {line.name: value for line, value in written.items()},
            "gaps": _gaps(report.settings),
        }
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        return exit_code(problems)
    for row in rows:
        closed = f"closed up to {row['lock_date']}" if row["lock_date"] else ""
        shown = [row["platform"], row["account"], row["name"], row["home_currency"], closed]
        sys.stdout.write(f"{row['connection']}: {', '.join(str(part) for part in shown if part)}\n")
    for platform, sentences in _gaps(report.settings).items():
        sys.stdout.write(f"What is left to a person in {platforms.load(platform).platform.title}:\n")
        sys.stdout.writelines(f"  {sentence}\n" for sentence in sentences)
    for problem in problems:
        place = f"{problem.where}: " if problem.where else ""
        sys.stdout.write(f"{place}{problem.severity}: {problem.message}\n")
    if report.lines:
        sys.stdout.write("Missing lines, with what the accounts have; `o2c check --write` puts them in:\n")
        sys.stdout.writelines(f"  {line}\n" for line in sections(report.lines, report.alone))
    errors = sum(problem.severity == "error" for problem in problems)
    counts = f"errors: {errors}, warnings: {len(problems) - errors}"
    sys.stdout.write(f"{counts}\n" if problems else "Nothing is wrong.\n")
    return exit_code(problems)


def _place(problem: Problem) -> tuple[str, int, Problem]:
    """Return what sorts by file, then by line."""
    file, _, line = problem.where.rpartition(":")
    return file, int(line) if line.isdigit() else 0, problem


def _shown(name: str, account: Account) -> dict[str, object]:
    found = account.identity
    return {
        "connection": name,
        "platform": account.platform.slug,
        "account": found.account,
        "name": found.name,
        "home_currency": found.home_currency,
        "currencies": list(found.currencies),
        "lock_date": found.lock_date,
        "time_zone": found.time_zone,
    }
