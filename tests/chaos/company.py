"""The company of the fault matrix: five systems linked with each other, orders from an ERP, the shop and the CRM."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import aiohttp

from app.demo.registering import register_webhooks
from app.demo.stack import SYSTEMS
from tests.chaos.cells import SYSTEMS as PLATFORMS
from tests.chaos.load import TENANT
from tests.chaos.rig import Rig

ACCOUNTS = {system.connection: system.account for system in SYSTEMS}
CLOSED = {"books": "2026-01-31"}
"""Ledger -> the last day of its closed period: some orders are dated in it."""
GIVERS = ("erp", "erp-edits")
"""The ERP's connections: orders that every system gets, and orders that change."""
_SCALE = 1000
_SWEEP = 10
_TARGETS = {
    "shop": 'order = true\nallow = ["record_refund"]',
    "crm": "order = true",
    "books": 'document = "invoice"',
    "qbo": 'document = "invoice"',
    "pay": 'document = "invoice"',
}
FLOWS: Mapping[str, tuple[str, ...]] = {
    "erp": ("shop", "crm", "books", "qbo", "pay"),
    "erp-edits": ("crm", "books", "qbo"),
    "shop": ("crm", "books", "qbo"),
    "crm": ("books",),
}
"""Whoever gives an order -> who is told of it."""


class Company(Rig):
    """Two stream workers, two connectors and the gateway, all started again when they die."""

    systems: ClassVar = {one.connection: (one.platform, one.account, one.path) for one in SYSTEMS}
    kept: ClassVar = (("streams", 2), ("connectors", 2), ("gateway", 1))
    keys: ClassVar = frozenset(("pay",))
    """Stripe's keys hold for a day, and o2c relies on them: no list tells of a payment that is on no invoice yet."""
    replication = 1
    timeout = 5.0
    """Seconds after which a platform's answer is not waited for any more."""

    async def _webhooks(self, session: aiohttp.ClientSession, config: Path) -> None:
        await register_webhooks(self.sandboxes, config)
        for name, day in CLOSED.items():
            async with session.post(f"{self.sandboxes[name]}/_sandbox/act/set_lock_date", json={"date": day}) as reply:
                reply.raise_for_status()

    def _config(self, port: int) -> str:
        head = (
            f'data_dir = "data"\nkey = "{secrets.token_urlsafe(32)}"\n'
            f'[kafka]\nbootstrap = "{self.bootstrap}"\npartitions = 4\nreplication = {self.replication}\n'
            f'[topics]\nprefix = "{self.prefix}"\n'
            f'[gateway]\nport = {port}\npublic_url = "http://127.0.0.1:{port}"\napi_keys = ["{self.key}"]\n'
            f'[streams]\nport = 0\n[connectors]\nport = 0\n[[tenant]]\nname = "{TENANT}"\n'
        )
        givers = "".join(
            f'[tenant.connections.{giver}]\nplatform = "external"\naccount = "{giver}"\nstart_at = "beginning"\n'
            for giver in GIVERS
        )
        return head + givers + "".join(map(self._connection, PLATFORMS)) + "".join(map(_flow, FLOWS))

    def _connection(self, name: str) -> str:
        system = next(one for one in SYSTEMS if one.connection == name)
        waits = {"settle_seconds": f"{self.settle:g}", "timeout_seconds": f"{self.timeout:g}"}
        tables = {
            "secrets": system.secrets,
            "accounts": system.accounts,
            "taxes": system.taxes,
            "stages": system.stages,
            "options": {**system.options, **waits},
        }
        lines = [
            f"[tenant.connections.{name}]",
            f'platform = "{system.platform}"',
            f'account = "{system.account}"',
            f'base_url = "{self.sandboxes[name]}{system.path}"',
            f"quota_share = {_SCALE}",
            "allow_private = true",
            f"sweep_seconds = {_SWEEP}",
            'start_at = "beginning"',
            *(f"{key} = {_inline(table)}" for key, table in tables.items() if table),
        ]
        return "\n".join(lines) + "\n"


def _flow(giver: str) -> str:
    targets = "".join(
        f'[[tenant.flows.targets]]\nconnection = "{system}"\n{_TARGETS[system]}\nasks = "never"\n'
        for system in FLOWS[giver]
    )
    return f'[[tenant.flows]]\nname = "{giver}-orders"\nkey_giver = "{giver}"\nmode = "live"\n{targets}'


def _inline(table: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f'"{key}" = "{value}"' for key, value in table.items()) + " }"
