"""o2c parse: a webhook body or an API record, as the change events and hints it becomes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from app import platforms
from app.core.errors import DecodeError
from schemas.connection import Connection
from schemas.facts import type_names
from schemas.jsontext import read_json
from streams.sources.base import Hook, Source

EXAMPLE = "o2c parse --platform stripe webhook.json"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "parse",
        help="show what a webhook body or an API record becomes",
        epilog=f"example: {EXAMPLE}",
        description="Prints one JSON line per change event or hint, each with `kind`. Exit: 0 parsed, 1 unreadable, "
        "2 there is no such platform.",
    )
    parser.add_argument("--platform", required=True, help="platform, for example xero")
    parser.add_argument("--headers", type=Path, help="JSON file with the delivery's headers")
    parser.add_argument("--as", dest="type", choices=type_names, help="BODY is an API record or list of this type")
    parser.add_argument("--account", default="", help="account whose objects are meant (default: any in the body)")
    parser.add_argument("--tenant", default="local", help="tenant written into the events")
    parser.add_argument("--url", default="", help="public URL of the hook, for platforms that route by it")
    parser.add_argument("--json", action="store_true", help="JSON lines (the only format; accepted for scripts)")
    parser.add_argument("body", type=Path, help="file with the body, - for standard input")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the events and hints; DecodeError when the bytes are unreadable."""
    body = sys.stdin.buffer.read() if str(args.body) == "-" else args.body.read_bytes()
    hook = Hook(url=args.url, headers=read_headers(args.headers), body=body)
    source_type = platforms.load(args.platform).source
    for source in _sources(source_type, args, hook):
        for kind, value in _found(source, args.type, hook):
            line = {"kind": kind, **msgspec.to_builtins(value, builtin_types=())}
            sys.stdout.write(json.dumps(line) + "\n")
    return 0


def read_headers(path: Path | None) -> dict[str, str]:
    """Return the headers in a JSON file, names in lower case; DecodeError when it holds none."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DecodeError(f'{path} holds no headers; write them as {{"name": "value"}}.')
    return {name.lower(): str(value) for name, value in found.items()}


def _sources(kind: type[Source], args: argparse.Namespace, hook: Hook) -> list[Source]:
    accounts = [args.account] if args.account else sorted(kind.accounts(hook) if args.type is None else ())
    return [
        kind(Connection(name=args.platform, tenant=args.tenant, platform=args.platform, account=account))
        for account in accounts or ["unknown"]
    ]


def _found(source: Source, type_: str | None, hook: Hook) -> list[tuple[str, Any]]:
    if type_ is not None:
        return [("event", event) for event in source.parse(type_, record(hook.body))]
    events = [("event", event) for event in source.to_events(hook)]
    return events + [("hint", hint) for hint in source.hints(hook)]


def record(body: bytes) -> Any:  # noqa: ANN401 - an API record is any JSON
    """Return JSON with Decimal amounts; DecodeError when it is none."""
    try:
        return read_json(body)
    except ValueError as error:
        message = f"The body is not JSON ({error}); give the bytes as the platform sent them."
        raise DecodeError(message) from error
