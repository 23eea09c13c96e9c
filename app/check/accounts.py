"""What an account says of itself, against what the configuration expects: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from zoneinfo import available_timezones

import msgspec

from app.check.problems import Places, Problem, Severity
from app.config.model import ConnectionConfig, FlowConfig, Settings, TenantConfig
from schemas.connection import Connection
from schemas.platform import Platform
from streams.sources.base import Identity, Setup

Found = Iterator[Problem]


class Account(msgspec.Struct, frozen=True):
    """A connection that answered."""

    connection: Connection
    platform: Platform
    identity: Identity
    setup: Setup = Setup()


def check_accounts(settings: Settings, places: Places, accounts: Mapping[str, Account]) -> Found:
    """Yield where *accounts*, by connection name, are not what the configuration takes them for."""
    for tenant in settings.tenants:
        for name in tenant.connections:
            if name in accounts:
                yield from _Held(tenant, places, accounts[name]).problems()
        for position, flow in enumerate(tenant.flows):
            yield from _currencies(tenant, places, position, flow, accounts)


class _Held:
    """One account against its section of the configuration."""

    def __init__(self, tenant: TenantConfig, places: Places, account: Account) -> None:
        self._tenant, self._places, self._account = tenant, places, account
        self._name = account.connection.name
        self._config: ConnectionConfig = tenant.connections[self._name]

    def problems(self) -> Found:
        found = self._account.identity
        if found.account != self._config.account:
            text = (
                f"{self._name} is connected to account {found.account} {found.name}".rstrip()
                + f" instead of {self._config.account}; connect the right company or correct account."
            )
            yield self._problem("other_account", text, "account")
            return
        for sentence in found.missing:
            yield self._problem("account_setting", sentence, severity="warning")
        for sentence in self._account.setup.missing:
            table = "taxes" if " taxes" in sentence else "accounts"
            yield self._problem("mapping", sentence, table)
        yield from self._unmapped()
        yield from self._unshown()
        yield from self._zone()

    def _problem(self, code: str, text: str, *keys: str, severity: Severity = "error") -> Problem:
        where = self._places.of(self._tenant.tenant, "connections", self._name, *keys)
        return Problem(where, severity, code, text)

    def _unmapped(self) -> Found:
        platform, mapped = self._account.platform, self._config.statuses
        for key, label in self._account.setup.words.items():
            word = key.partition(":")[2]
            if not {key, word} & (platform.statuses.keys() | mapped.keys()):
                text = f"{self._name} uses the status {label or word!r}, which is not mapped; add it to its statuses."
                yield self._problem("unmapped_status", text, "statuses")

    def _unshown(self) -> Found:
        """Say which words could not be written, where a flow writes words there."""
        targets = [one for flow in self._tenant.flows for one in flow.targets if one.connection == self._name]
        if not any(target.order or target.status for target in targets):
            return
        by_reason: dict[str, str] = {}
        for word, reason in self._account.setup.unshown.items():
            by_reason.setdefault(reason, word)
        for reason, word in by_reason.items():
            yield self._problem("unshown_status", f"{reason}; name a stage for {word} under stages.", "stages")

    def _zone(self) -> Found:
        told, zone = self._account.identity.time_zone, self._config.time_zone
        if told != zone and told in available_timezones():
            text = f"{self._name} keeps its days in {told}, not {zone}; set time_zone to {told}."
            yield self._problem("time_zone", text, "time_zone", severity="warning")


def _currencies(
    tenant: TenantConfig, places: Places, position: int, flow: FlowConfig, accounts: Mapping[str, Account]
) -> Found:
    """Say which ledgers cannot book what the key-giver sells in."""
    giver = accounts.get(flow.key_giver)
    sold = giver.identity.home_currency if giver else ""
    for number, target in enumerate(flow.targets):
        there = accounts.get(target.connection)
        if not sold or there is None or target.document == "none":
            continue
        kept = set(there.identity.currencies)
        if kept and sold not in kept:
            listed = ", ".join(sorted(kept))
            text = (
                f"{flow.key_giver} sells in {sold}, but {target.connection} keeps only {listed}; enable {sold} there."
            )
            where = places.of(tenant.tenant, "flows", position, "targets", number, "connection")
            yield Problem(where, "error", "currency", text)
