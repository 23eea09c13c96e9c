"""o2c init: write a commented configuration."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path

from app import platforms
from app.core.errors import ConfigError
from schemas.platform import Platform

EXAMPLE = "o2c init --platforms shopify,xero"

_HEAD = """\
# o2c configuration. Secrets: write "env:NAME" or "file:PATH" instead of the value.
data_dir = "data"            # state of stream workers; one folder per worker
worker = "o2c-1"             # stable name of this worker
key = "file:o2c.key"         # encrypts stored tokens; written beside this file by `o2c init`

[kafka]
bootstrap = "127.0.0.1:9092"
partitions = 8               # plan for enough at the start: changing it means re-keying state
replication = 1              # 3 in production

[gateway]
host = "127.0.0.1"
port = 8080
public_url = "http://127.0.0.1:8080"   # what platforms call: some signatures cover it
# api_keys = ["env:O2C_API_KEY"]       # for other services that POST /events

[[tenant]]
name = "acme"
"""
_FLOW = """
[[tenant.flows]]
name = "orders"
key_giver = "{key_giver}"        # whose order objects are the orders
mode = "shadow"              # plans and shows, writes nothing; change to "live" when the plan is right
"""
_TARGET = """
[[tenant.flows.targets]]
connection = "{name}"
order = {order}
document = "{document}"          # invoice, sales_receipt, payment_request or none
when = ["open"]              # the document is made once the order has one of these words
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "init",
        help="write a commented configuration",
        epilog=f"example: {EXAMPLE}",
        description="Writes o2c.toml and a key file. Exit: 0 written, 2 the file exists or a platform is unknown.",
    )
    parser.add_argument("--platforms", default="", help="only these platforms, separated by commas (default: all)")
    parser.add_argument("--output", type=Path, default=Path("o2c.toml"), help="file to write (default: o2c.toml)")
    parser.add_argument("--json", action="store_true", help="print the written files as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files; ConfigError rather than overwrite one."""
    key = args.output.parent / "o2c.key"
    for path in (args.output, key):
        if path.exists():
            message = f"{path} exists; move it away or choose another --output."
            raise ConfigError(message)
    slugs = [slug.strip() for slug in args.platforms.split(",") if slug.strip()] or list(platforms.slugs())
    args.output.write_text(config_for([platforms.load(slug).platform for slug in slugs]), encoding="utf-8")
    key.write_text(secrets.token_urlsafe(32) + "\n", encoding="utf-8")
    key.chmod(0o600)
    if args.json:
        sys.stdout.write(json.dumps({"written": [str(args.output), str(key)]}) + "\n")
    else:
        sys.stdout.write(f"Wrote {args.output} and {key}. Fill in the accounts, then run `o2c check`.\n")
    return 0


def config_for(chosen: list[Platform]) -> str:
    """Return the text of a configuration with a section for each of *chosen*."""
    sections = [_HEAD, *(_section(platform) for platform in chosen)]
    givers = [platform for platform in chosen if platform.side != "accounting"]
    if givers:
        sections.append(_FLOW.format(key_giver=_name(givers[0])))
        sections += [_target(platform) for platform in chosen if platform is not givers[0]]
    return "".join(sections)


def _name(platform: Platform) -> str:
    return platform.slug


def _section(platform: Platform) -> str:
    prefix = f"O2C_{_name(platform).upper()}"
    wanted = ", ".join(f'{secret} = "env:{prefix}_{secret.upper()}"' for secret in platform.secrets)
    lines = [
        f"\n# {platform.title}: {platform.docs}",
        f"[tenant.connections.{_name(platform)}]",
        f'platform = "{platform.slug}"',
        'account = "..."              # what the platform calls the company; `o2c connect` tells it',
        f"secrets = {{ {wanted} }}",
        "# sweep_seconds = 600       # how often everything that changed is walked, webhooks or not",
        "# recheck_seconds = 86400   # how often what o2c wrote and is open is read again by id; 0 = never",
        "# webhooks_seconds = 86400  # how often it is looked whether registered webhooks still are; 0 = never",
    ]
    if platform.options:
        lines.append("# options:")
        lines += [f"#   {option}: {meaning}" for option, meaning in platform.options.items()]
    if platform.side != "order":
        lines += ['# accounts = { sales = "200" }', '# taxes = { "20" = "OUTPUT2" }']
    return "\n".join(lines) + "\n"


def _target(platform: Platform) -> str:
    keeps_orders = "upsert_order" in platform.capabilities
    document = "invoice" if "upsert_invoice" in platform.capabilities and not keeps_orders else "none"
    return _TARGET.format(name=_name(platform), order=str(keeps_orders).lower(), document=document)
