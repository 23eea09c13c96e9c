"""The configuration of a whole pipeline: the demo's, with other flows, sweeps and patience."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.demo.stack import config, free_port

API_KEY = "made-up-api-key"
SERVICE = """
[tenant.connections.erp]
platform = "external"
account = "erp-1"
start_at = "beginning"
[[tenant.flows]]
name = "services"
key_giver = "erp"
mode = "live"
"""
"""Another service of the company, whose orders are written nowhere."""

FLOWS = """\
[[tenant.flows]]
name = "shop-orders"
key_giver = "shop"
mode = "live"
orphan = "create_order"
{targets}
[[tenant.flows]]
name = "deals"
key_giver = "crm"
mode = "live"
{targets}
"""
_HEAD = """\
data_dir = "data"
key = "made-up-key-for-tests"
[kafka]
bootstrap = "{bootstrap}"
partitions = {partitions}
[topics]
prefix = "{prefix}"
[gateway]
port = {gateway}
public_url = "http://127.0.0.1:{gateway}"
api_keys = ["{key}"]
[streams]
port = {streams}
[connectors]
port = {connectors}
"""
_XERO = """\
[tenant.connections.{name}]
platform = "xero"
account = "{account}"
base_url = "{url}"
allow_private = true
quota_share = {quota}
sweep_seconds = {sweep}
secrets = {{ client_id = "sandbox-client", client_secret = "sandbox-secret", refresh_token = "sandbox-refresh" }}
accounts = {{ sales = "200", payments = "090", rounding = "860" }}
taxes = {{ "20" = "OUTPUT", "0" = "NONE" }}
"""
_TARGETS = {
    "shop": 'order = true\nallow = ["record_refund"]',
    "crm": "order = true",
    "books": 'document = "invoice"',
    "qbo": 'document = "invoice"',
    "pay": 'document = "invoice"',
}


def head(bootstrap: str, prefix: str, ports: Mapping[str, int], partitions: int = 4) -> str:
    """Return what comes before the tenants; *ports* are those of gateway, streams and connectors."""
    return _HEAD.format(bootstrap=bootstrap, prefix=prefix, key=API_KEY, partitions=partitions, **ports)


def xero(name: str, account: str, url: str, *, quota: float = 50, sweep: float = 5) -> str:
    """Return the connection to a ledger in the sandbox at *url*, with *quota* times the vendor's calls."""
    return _XERO.format(name=name, account=account, url=url, quota=quota, sweep=sweep)


def flows() -> str:
    """Return flows in which an order of the shop, of the CRM or of nobody is linked in all five systems."""
    targets = "".join(f'[[tenant.flows.targets]]\nconnection = "{name}"\n{how}\n' for name, how in _TARGETS.items())
    return FLOWS.format(targets=targets)


def written(
    urls: Mapping[str, str],
    bootstrap: str,
    prefix: str,
    *,
    sweep: float,
    flow: str,
    start: str = "beginning",
    settle: float | None = None,
) -> str:
    """Return the configuration of the systems at *urls*; see `running`."""
    text = config(urls, bootstrap, free_port(), 50.0, prefix).partition("[[tenant.flows]]")[0]
    text = text.replace('start_at = "beginning"', f'start_at = "{start}"')
    text = text.replace("[gateway]\n", f'[gateway]\napi_keys = ["{API_KEY}"]\n')
    text = re.sub(r"sweep_seconds = \S+", f"sweep_seconds = {sweep}", text)
    return (text if settle is None else _settling(text, settle)) + flow


def _settling(text: str, seconds: float) -> str:
    """Return the configuration with so many seconds after which a lost answer takes effect no more."""
    option = f'"settle_seconds" = "{seconds:g}"'
    head, *sections = text.split("[tenant.connections.")
    found = [
        one.replace("options = { ", f"options = {{ {option}, ")
        if "options = { " in one
        else one.replace("\n", f"\noptions = {{ {option} }}\n", 1)
        for one in sections
    ]
    return "[tenant.connections.".join([head, *found])
