"""o2c init: write a commented configuration, its keys, and a file for each secret."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from re import fullmatch

from app import platforms
from app.broker import found
from app.config.model import NAME
from app.core.errors import ConfigError
from app.platforms import Loaded
from app.starting.background import FOLDER, Sandboxes, System, facts_of
from app.starting.template import SECRETS, Start, config_for, publishes_itself, secrets_of

EXAMPLE = "o2c init --platforms shopify,hubspot,xero,stripe"
_KAFKA, _KAFKA_FOLDER = "127.0.0.1:9092", Path(".o2c-kafka")
_ROLES = ("gateway", "streams", "connectors", "console")
_FIRST_PORT = 8080


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "init",
        help="write a commented configuration",
        epilog=f"example: {EXAMPLE}",
        description="Writes o2c.toml with a section for each platform and a first flow in shadow, a key for stored "
        f"tokens, a key for the console, and an empty file in {SECRETS} for each secret that you paste there. Ports "
        "that are taken are passed over. Exit: 0 written, 2 a file exists, the tenant is no name, a "
        "platform is unknown, or its sandbox does not run.",
    )
    parser.add_argument(
        "--platforms", default="", help="only these platforms, by commas (default: all, or all sandboxes)"
    )
    parser.add_argument(
        "--sandbox", action="store_true", help="for the platforms of `o2c sandbox start`, secrets included"
    )
    parser.add_argument("--tenant", default="acme", help="what your company is called in topics and addresses (acme)")
    parser.add_argument("--output", type=Path, default=Path("o2c.toml"), help="file to write (default: o2c.toml)")
    parser.add_argument("--json", action="store_true", help="print the written files as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files; ConfigError rather than overwrite one."""
    if not fullmatch(NAME, args.tenant):
        message = f"{args.tenant!r} is no name of a tenant"
        raise ConfigError(f"{message}; begin with a lower case letter, then letters, digits, - and _, at most 63.")
    systems = asyncio.run(Sandboxes(FOLDER.absolute()).running()) if args.sandbox else []
    there = [system.platform for system in systems]
    asked = list(dict.fromkeys(slug.strip() for slug in args.platforms.split(",") if slug.strip()))
    chosen = [platforms.load(slug) for slug in asked or there or _all()]
    if missing := [one.platform.slug for one in chosen if args.sandbox and one.platform.slug not in there]:
        raise ConfigError(f"The sandbox of {missing[0]} does not run; start it with `o2c sandbox start {missing[0]}`.")
    files = _files(args, chosen, systems)
    for path in files:
        if path.exists():
            message = f"{path} exists; move it away or choose another --output."
            raise ConfigError(message)
    for path, text in files.items():
        _write(path, text, secret=path != args.output)
    if args.json:
        sys.stdout.write(json.dumps({"written": [str(path) for path in files]}) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _told(args, files, chosen))
    return 0


def _all() -> list[str]:
    """Return every platform, those that o2c asks before those that come by themselves."""
    return sorted(platforms.slugs(), key=lambda slug: (not platforms.load(slug).platform.capabilities, slug))


def _files(args: argparse.Namespace, chosen: Sequence[Loaded], systems: Sequence[System]) -> dict[Path, str]:
    """Return what to write: file -> text."""
    folder = args.output.parent
    start = Start(
        tenant=args.tenant,
        bootstrap=asyncio.run(found(_KAFKA_FOLDER.absolute(), os.environ))[0] or _KAFKA,
        ports=dict(zip(_ROLES, _free_ports(len(_ROLES)), strict=True)),
        prefix=f"sandbox-{secrets.token_hex(3)}." if systems else "",
        addresses={system.platform: system.url for system in systems},
        accounts={system.platform: system.account for system in systems},
    )
    given: Mapping[str, Mapping[str, str]] = {one.platform: facts_of(one.platform).secrets for one in systems}
    return {
        args.output: config_for(chosen, start),
        folder / "o2c.key": secrets.token_urlsafe(32) + "\n",
        folder / SECRETS / "console.key": secrets.token_hex(16) + "\n",
        **{
            folder / SECRETS / f"{slug}.{secret}": given.get(slug, {}).get(secret, "")
            for slug, secret in ((one.platform.slug, secret) for one in chosen for secret in secrets_of(one))
        },
    }


def _free_ports(count: int) -> list[int]:
    """Return the first *count* ports from 8080 on that nobody uses now."""
    ports: list[int] = []
    port = _FIRST_PORT
    while len(ports) < count:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                ports.append(port)
            except OSError:
                pass  # somebody listens there
        port += 1
    return ports


def _write(path: Path, text: str, *, secret: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if secret else 0o777)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o666)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _told(args: argparse.Namespace, files: Mapping[Path, str], chosen: Sequence[Loaded]) -> list[str]:
    empty = [str(path) for path, text in files.items() if not text]
    lines = [f"Wrote {args.output} and its keys."]
    if empty:
        lines.append(f"Paste each secret into its file: {', '.join(empty)}.")
    services = [one.platform.slug for one in chosen if publishes_itself(one)]
    each = f"each connection but {', '.join(services)}" if services else "each connection"
    return [*lines, f"Then run `o2c topics apply`, `o2c connect` for {each}, and `o2c check`."]
