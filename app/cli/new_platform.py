"""o2c new-platform SLUG: write the files of a new platform; the contract suite lists what is unanswered."""

from __future__ import annotations

import argparse
import json
import re
import sys
from keyword import iskeyword
from pathlib import Path

from app import platforms
from app.core.errors import ConfigError

EXAMPLE = "o2c new-platform acme_erp"
_SLUG = re.compile(r"^[a-z][a-z0-9_]{1,40}$")

_FACTS = '''"""{title}: say here what an order is there, and the vendor's documentation."""

from __future__ import annotations

from types import MappingProxyType

from schemas.platform import Auth, Consistency, Effect, Limit, Limits, Platform

PLATFORM = Platform(
    slug="{slug}",
    title="{title}",
    side="accounting",
    base_url="https://api.example.com",
    docs="https://docs.example.com",
    auth=Auth(kind="bearer", secret="token"),
    limits=Limits(windows=(Limit(60, 60.0),), concurrent=5),
    consistency=Consistency(settle_seconds=120.0, mark_field=MappingProxyType({{"invoice": "reference"}})),
    objects=MappingProxyType({{"invoice": "invoice"}}),
    statuses=MappingProxyType({{"invoice:open": "invoiced", "invoice:paid": "paid"}}),
    capabilities=MappingProxyType({{"upsert_invoice": Effect.RECORDS}}),
    shows=MappingProxyType({{"upsert_invoice": frozenset(("currency", "payable_amount"))}}),
    secrets=("token", "webhook_secret"),
)
'''
_SOURCE = '''"""{title}: which webhooks there are and what must be read."""

from __future__ import annotations

from schemas.platforms.{slug} import PLATFORM
from streams.sources.base import Source


class {name}Source(Source):
    """Answer the questions of the base class; the contract suite lists what is missing."""

    platform = PLATFORM


SOURCE = {name}Source
'''
_SINK = '''"""{title}: how each capability is written, found again and classified."""

from __future__ import annotations

from schemas.platforms.{slug} import PLATFORM
from sinks.base import Sink


class {name}Sink(Sink):
    """One generator per capability of PLATFORM, named like it; the contract suite lists what is missing."""

    platform = PLATFORM


SINK = {name}Sink
'''
_SANDBOX = '''"""{title} simulated; held honest by the vendor's spec and client library."""

from __future__ import annotations

from app.sandbox.base import Sandbox


class {name}Sandbox(Sandbox):
    """Give routes, verbs, books and the signature."""

    slug = "{slug}"
'''
_TEST = '''"""{title}: recorded payloads, signature vectors and conversations."""

from schemas.platforms.{slug} import PLATFORM


def test_every_capability_has_an_effect_in_the_world() -> None:
    assert PLATFORM.capabilities
'''
_FILES = {
    "schemas/platforms/{slug}.py": _FACTS,
    "streams/sources/platforms/{slug}.py": _SOURCE,
    "sinks/platforms/{slug}.py": _SINK,
    "app/sandbox/platforms/{slug}.py": _SANDBOX,
    "tests/platforms/{slug}/test_{slug}.py": _TEST,
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "new-platform",
        help="write the files of a new platform",
        epilog=f"example: {EXAMPLE}",
        description="Writes three short files, a sandbox and a test folder. Exit: 0 written, 2 a file or platform of "
        "that name exists.",
    )
    parser.add_argument("slug", help="lower case, digits and underscores: also the name of the metric label")
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: here)")
    parser.add_argument("--json", action="store_true", help="print the written files as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files; ConfigError rather than overwrite one."""
    if not _SLUG.fullmatch(args.slug) or iskeyword(args.slug):
        raise ConfigError(f"{args.slug!r} is no platform name; use lower case letters, digits and underscores.")
    if args.slug in platforms.slugs():
        raise ConfigError(f"There is a platform {args.slug} already; choose another name or edit its files.")
    title = args.slug.replace("_", " ").title()
    words = {"slug": args.slug, "title": title, "name": title.replace(" ", "")}
    files = {args.root / path.format(**words): text.format(**words) for path, text in _FILES.items()}
    places = [place for path in files for place in (path, path.with_suffix(""))]  # a platform may be a folder
    if existing := [str(place) for place in places if place.exists()]:
        raise ConfigError(f"{existing[0]} exists; choose another name or edit that file.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    names = [str(path) for path in files]
    sys.stdout.write(json.dumps(names) + "\n" if args.json else "\n".join(names) + "\nNext: docs/add-a-platform.md\n")
    return 0
