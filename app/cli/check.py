"""o2c check: what is wrong before anything runs, each in one sentence with what to do."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from app import platforms
from app.check.accounts import Account, check_accounts
from app.check.asking import ask_accounts
from app.check.configuration import check_configuration
from app.check.problems import Places, Problem
from app.config.load import load
from app.config.model import ResolvedConnection, Settings
from app.core.errors import ConfigError

EXAMPLE = "o2c check --config o2c.toml"
_ACCOUNT, _CONFIGURATION = 1, 2
_OF_ACCOUNTS = frozenset(("no_answer", "other_account", "mapping", "unmapped_status", "unshown_status", "currency"))
"""The problems that only show when the accounts are asked."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="tell what is wrong before anything runs",
        epilog=f"example: {EXAMPLE}",
        description="Checks the configuration, then asks every account by harmless calls: whose it is, its stages, "
        "ledger accounts, tax codes and currencies. Exit: 0 nothing is wrong (warnings may be listed), 1 an account "
        "does not answer or is not as configured, 2 the configuration is wrong.",
    )
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    parser.add_argument("--offline", action="store_true", help="check the configuration only, ask nobody")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the problems and return what they mean."""
    try:
        settings = load(args.config, os.environ)
    except ConfigError as error:
        return _print(args, {}, [_unreadable(line) for line in str(error).splitlines()])
    places = Places(args.config)
    problems = check_configuration(settings, places)
    accounts: dict[str, Account] = {}
    if not args.offline:
        accounts, silent = asyncio.run(ask_accounts(settings, _known(settings)))
        problems += [_silent(settings, places, name, why) for name, why in silent.items()]
        problems += check_accounts(settings, places, accounts)
    return _print(args, accounts, problems)


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


def exit_code(problems: Iterable[Problem]) -> int:
    """Return 2 when the configuration is wrong, 1 when an account is, else 0."""
    codes = {problem.code for problem in problems if problem.severity == "error"}
    if not codes:
        return 0
    return _ACCOUNT if codes <= _OF_ACCOUNTS else _CONFIGURATION


def _print(args: argparse.Namespace, accounts: Mapping[str, Account], problems: Sequence[Problem]) -> int:
    rows = [_shown(name, account) for name, account in sorted(accounts.items())]
    if args.json:
        document = {"accounts": rows, "problems": msgspec.to_builtins(sorted(problems, key=_place))}
        sys.stdout.write(json.dumps(document) + "\n")
        return exit_code(problems)
    for row in rows:
        closed = f"closed up to {row['lock_date']}" if row["lock_date"] else ""
        shown = [row["platform"], row["account"], row["name"], row["home_currency"], closed]
        sys.stdout.write(f"{row['connection']}: {', '.join(str(part) for part in shown if part)}\n")
    for problem in sorted(problems, key=_place):
        place = f"{problem.where}: " if problem.where else ""
        sys.stdout.write(f"{place}{problem.severity}: {problem.message}\n")
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
