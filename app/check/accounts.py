"""What an account says of itself, against what the configuration expects: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from app.check.problems import Places, Problem, Severity
from app.config.model import NO_ACCOUNT, ConnectionConfig, FlowConfig, Settings, TenantConfig
from schemas.connection import Connection
from schemas.platform import Platform
from streams.sources.base import Identity, Setup

Found = Iterator[Problem]
_WEEKS = tuple(datetime(2025, 1, 1, tzinfo=UTC) + timedelta(weeks=n) for n in range(13 * 52))
"""The years to 2037: as far as the rules of zones are told in advance."""


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
                yield from _rates(tenant, places, name, accounts)
        for position, flow in enumerate(tenant.flows):
            yield from _currencies(tenant, places, position, flow, accounts)


def unmapped_words(account: Account, config: ConnectionConfig) -> list[str]:
    """Return the account's own status words that are no status of ours yet."""
    known = account.platform.statuses.keys() | config.statuses.keys()
    words = {key: (key.partition(":")[2], label) for key, label in account.setup.words.items()}
    return [word or label for key, (word, label) in words.items() if not {key, word} & known]


def shows_words(tenant: TenantConfig, name: str) -> bool:
    """Tell whether a flow writes orders or their status to the connection *name*."""
    targets = [one for flow in tenant.flows for one in flow.targets if one.connection == name]
    return any(target.order or target.status for target in targets)


def unmapped_rates(tenant: TenantConfig, name: str, accounts: Mapping[str, Account]) -> dict[Decimal, str]:
    """Return the taxes that orders for the ledger *name* are sold at and that nobody mapped, each with who sells so."""
    if "taxes" not in accounts[name].setup.offers:
        return {}
    mapped = set(tenant.connections[name].taxes)
    givers = [
        flow.key_giver
        for flow in tenant.flows
        if any(target.connection == name and target.document != "none" for target in flow.targets)
    ]
    sold = {rate: giver for giver in givers if giver in accounts for rate in accounts[giver].setup.rates}
    return {rate: giver for rate, giver in sold.items() if f"{rate.normalize():f}" not in mapped}


class _Held:
    """One account against its section of the configuration."""

    def __init__(self, tenant: TenantConfig, places: Places, account: Account) -> None:
        self._tenant, self._places, self._account = tenant, places, account
        self._name = account.connection.name
        self._config: ConnectionConfig = tenant.connections[self._name]

    def problems(self) -> Found:
        found, wanted = self._account.identity, self._config.account
        whose = f"account {found.account} {found.name}".rstrip()
        if wanted == NO_ACCOUNT:
            text = f"{self._name} is connected to {whose}, which nobody named yet; set its account."
            yield self._problem("no_account", text, "account")
        elif found.account != wanted:
            mend = "connect the right company or correct account"
            text = f"{self._name} is connected to {whose} instead of {wanted}; {mend}."
            yield self._problem("other_account", text, "account")
            return
        for sentence in found.missing:
            yield self._problem("account_setting", sentence, severity="warning")
        for key, sentence in self._account.setup.missing.items():
            yield self._problem("mapping", sentence, *key.split(".", 1))
        yield from self._unmapped()
        yield from self._unshown()
        yield from self._zone()

    def _problem(self, code: str, text: str, *keys: str, severity: Severity = "error") -> Problem:
        where = self._places.of(self._tenant.tenant, "connections", self._name, *keys)
        return Problem(where, severity, code, text)

    def _unmapped(self) -> Found:
        for word in unmapped_words(self._account, self._config):
            text = f"{self._name} uses the status {word!r}, which is not mapped; add it to its statuses."
            yield self._problem("unmapped_status", text, "statuses")

    def _unshown(self) -> Found:
        """Say which words could not be written, where a flow writes words there."""
        if not shows_words(self._tenant, self._name):
            return
        by_reason: dict[str, str] = {}
        for word, reason in self._account.setup.unshown.items():
            by_reason.setdefault(reason, word)
        for reason, word in by_reason.items():
            yield self._problem("unshown_status", f"{reason}; name a stage for {word} under stages.", "stages")

    def _zone(self) -> Found:
        told, zone = self._account.identity.time_zone, self._config.time_zone
        if told in available_timezones() and not same_days(told, zone):
            text = f"{self._name} keeps its days in {told}, not {zone}; set time_zone to {told}."
            yield self._problem("time_zone", text, "time_zone", severity="warning")


def same_days(one: str, other: str) -> bool:
    """Tell whether two time zones begin their days at the same moments: Vienna is kept as Berlin in some ledgers."""
    return one == other or all(
        week.astimezone(ZoneInfo(one)).utcoffset() == week.astimezone(ZoneInfo(other)).utcoffset() for week in _WEEKS
    )


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


def _rates(tenant: TenantConfig, places: Places, name: str, accounts: Mapping[str, Account]) -> Found:
    """Say which taxes are sold and have no code; with some of them mapped, an order with another one is held."""
    for rate, giver in unmapped_rates(tenant, name, accounts).items():
        shown = f"{rate.normalize():f}"
        text = f"{giver} sells at {shown} % tax, for which {name} has no tax code yet; set taxes.{shown} of {name}."
        severity: Severity = "error" if tenant.connections[name].taxes else "warning"
        yield Problem(places.of(tenant.tenant, "connections", name, "taxes"), severity, "unmapped_rate", text)
