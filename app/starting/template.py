"""The configuration that `o2c init` writes: commented, and complete enough for the whole first hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from app.config.model import NO_ACCOUNT
from app.platforms import Loaded

SECRETS = "secrets"
"""Folder of the secret files, beside the configuration."""
_HEAD = """\
# o2c configuration. Secrets stand in files of the folder {secrets}, or in the environment: "file:PATH", "env:NAME".
data_dir = "data"            # state of stream workers, plans that were shown
worker = "o2c-1"             # stable name of this worker: another one for each process of a role
key = "file:o2c.key"         # encrypts stored tokens; without it nobody can read them

[kafka]
bootstrap = {bootstrap}
partitions = 8               # plan for enough at the start: changing it means re-keying state
replication = 1              # 3 in production
# security_protocol = "SASL_SSL"       # TLS and a login: docs/operations.md names the keys that go with it
{prefix}
[gateway]                    # takes webhooks
port = {ports[gateway]}
public_url = "http://127.0.0.1:{ports[gateway]}"   # what platforms call, https from outside: some signatures cover it
# api_keys = ["env:O2C_API_KEY"]       # for other services that POST /events; one that begins with whsec_ signs
                             # (in [[tenant]]: for services that tell of that tenant alone)

[streams]
port = {ports[streams]}                  # health and metrics

[connectors]
port = {ports[connectors]}                  # health and metrics

[console]                    # answers `o2c orders get`, `o2c parked` and others, and has an API
port = {ports[console]}
api_keys = [                 # roles: viewer, operator, admin; a key: any 16 or more letters, `openssl rand -hex 16`
  {{ name = "me", tenant = {tenant}, role = "admin", key = "file:{secrets}/console.key" }},
]

[[tenant]]
name = {tenant}
"""
_PREFIX = """
[topics]
prefix = {prefix}   # a trial keeps to itself
"""
_SERVICE = """
# {title}: it publishes what changed and reads order-states; how: docs/other-services.md
[tenant.connections.{slug}]
platform = "{slug}"
account = "main"             # a name of your choosing: each of its events carries it
# start_at = "first start"  # older objects are read and linked, never written; or a day, or "beginning"
"""
_FLOW = """
[[tenant.flows]]
name = "orders"
key_giver = {key_giver}        # whose order objects are the orders
mode = "shadow"              # plans and shows, writes nothing; `o2c flows go-live` lets it write what a plan said
# payments_from = []         # whose payments, credits and parcels count for an order; none named = all of them
"""
_BACK = """
[[tenant.flows.targets]]     # where the order was placed: learns what is paid elsewhere, and its status
connection = {name}
credits = false
shipments = false
"""
_ORDER = """
[[tenant.flows.targets]]
connection = {name}
order = true                 # shows each order, in step with where it was placed
"""
_LEDGER = """
[[tenant.flows.targets]]
connection = {name}
document = "invoice"         # invoice, sales_receipt or none
when = ["open"]              # the document is made once the order has one of these words
"""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the machine that the configuration is for."""

    tenant: str
    bootstrap: str
    ports: Mapping[str, int]
    """By role."""
    prefix: str = ""
    """Of topic names; "" = none."""
    addresses: Mapping[str, str] = {}
    """Platform -> base URL of its sandbox."""
    accounts: Mapping[str, str] = {}
    """Platform -> account of its sandbox."""


def config_for(chosen: Sequence[Loaded], start: Start) -> str:
    """Return the text of a configuration with a section for each of *chosen* and one flow between them."""
    head = _HEAD.format(
        secrets=SECRETS,
        bootstrap=_quoted(start.bootstrap),
        ports=start.ports,
        tenant=_quoted(start.tenant),
        prefix=_PREFIX.format(prefix=_quoted(start.prefix)) if start.prefix else "",
    )
    return head + "".join(_section(loaded, start) for loaded in chosen) + _flow(chosen)


def secrets_of(loaded: Loaded) -> tuple[str, ...]:
    """Return the secrets that a section names: all but the key, which `o2c connect` asks for and stores encrypted."""
    platform = loaded.platform
    return tuple(secret for secret in platform.secrets if secret != platform.auth.secret)


def publishes_itself(loaded: Loaded) -> bool:
    """Tell whether a platform is another service: nobody connects to it, so it has no account to find and no secret."""
    return not loaded.platform.capabilities


def _section(loaded: Loaded, start: Start) -> str:
    platform, often = loaded.platform, loaded.source.webhooks.look_seconds
    slug = platform.slug
    if publishes_itself(loaded):
        return _SERVICE.format(title=platform.title, slug=slug)
    named = ", ".join(f'{secret} = "file:{SECRETS}/{slug}.{secret}"' for secret in secrets_of(loaded))
    lines = [f"\n# {platform.title}: {platform.docs}", f"[tenant.connections.{slug}]", f'platform = "{slug}"']
    in_address = "{account}" in platform.base_url
    told = "the host of its address" if in_address else "`o2c connect` and `o2c check --write` tell it"
    account = start.accounts.get(slug, NO_ACCOUNT) if in_address else NO_ACCOUNT
    lines.append(f"account = {_quoted(account)}              # what the platform calls the company: {told}")
    if slug in start.addresses:
        lines += [f"base_url = {_quoted(start.addresses[slug])}   # the sandbox of `o2c sandbox start`; else left out"]
        lines += ["allow_private = true         # an address of this machine"]
    lines.append(f"secrets = {{ {named} }}" if named else "secrets = {}")
    if platform.auth.secret in platform.secrets:
        lines.append(f"# its key is none of them: `o2c connect {slug}` asks for it and stores it encrypted")
    lines += [
        '# start_at = "first start"  # older objects are read and linked, never written; or a day, or "beginning"',
        "# sweep_seconds = 600       # how often everything that changed is walked, webhooks or not",
        "# recheck_seconds = 86400   # how often open orders and what o2c wrote are read again by id; 0 = never",
        f"# webhooks_seconds = {often:<6.0f} # how often it is looked whether registered webhooks still are; 0 = never",
    ]
    if platform.options:
        lines.append("# options:")
        lines += [f"#   {option}: {meaning}" for option, meaning in platform.options.items()]
    return "\n".join(lines) + "\n"


def _flow(chosen: Sequence[Loaded]) -> str:
    """Return a flow from the first platform that has orders: to the others that show orders, and to the ledgers."""
    givers = [loaded for loaded in chosen if "order" in loaded.platform.objects.values() and not is_ledger(loaded)]
    if not givers:
        return ""
    giver = givers[0]
    text = _FLOW.format(key_giver=_quoted(giver.platform.slug))
    for loaded in chosen:
        name = _quoted(loaded.platform.slug)
        if loaded is giver and loaded.platform.capabilities:
            text += _BACK.format(name=name)
        elif is_ledger(loaded):
            text += _LEDGER.format(name=name)
        elif "upsert_order" in loaded.platform.capabilities:
            text += _ORDER.format(name=name)
    return text


def is_ledger(loaded: Loaded) -> bool:
    """Tell whether a platform keeps books: what is written there names its accounts."""
    return any(need.startswith("accounts.") for needs in loaded.sink.mappings.values() for need in needs)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
