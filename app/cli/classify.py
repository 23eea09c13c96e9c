"""o2c classify: which error class a platform's reply means."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from app import platforms
from app.cli.parse import read_headers
from app.core.errors import O2CError, RateLimited, RetryableError, UncertainError
from app.core.talk import Response
from schemas.connection import Connection

EXAMPLE = "o2c classify --platform xero --status 400 reply.json"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "classify",
        help="tell which error class a reply means",
        epilog=f"example: {EXAMPLE}",
        description="Prints the error class and whether it is retried. Exit: 0 when the reply could be read, "
        "1 otherwise, 2 there is no such platform.",
    )
    parser.add_argument("--platform", required=True, help="platform, for example xero")
    parser.add_argument("--status", required=True, type=int, help="HTTP status of the reply")
    parser.add_argument("--headers", type=Path, help="JSON file with the reply's headers")
    parser.add_argument("--read", action="store_true", help="the request did not change anything (default: it did)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("body", type=Path, help="file with the reply's body, - for standard input")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the verdict."""
    body = sys.stdin.buffer.read() if str(args.body) == "-" else args.body.read_bytes()
    response = Response(status=args.status, headers=read_headers(args.headers), body=body)
    connection = Connection(name=args.platform, tenant="local", platform=args.platform, account="unknown")
    error = platforms.load(args.platform).sink(connection).classify(response, mutating=not args.read)
    verdict = describe(error)
    if args.json:
        sys.stdout.write(json.dumps(verdict) + "\n")
    else:
        retry = "retried" if verdict["retryable"] else "not retried"
        sys.stdout.write(f"{verdict['class']} ({retry}) {verdict['message']}\n")
    return 0


def describe(error: O2CError | None) -> dict[str, object]:
    """Return class, retryable and message of *error*; class "Success" for None."""
    if error is None:
        return {"class": "Success", "retryable": False, "message": ""}
    verdict: dict[str, object] = {
        "class": type(error).__name__,
        "retryable": isinstance(error, RetryableError),
        "asks_first": isinstance(error, UncertainError),
        "message": str(error),
    }
    if isinstance(error, RateLimited):
        verdict["retry_after"] = error.retry_after
    return verdict
