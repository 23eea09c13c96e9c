"""The lines that a configuration lacks, each with what the account itself has to choose from: pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import get_args
from zoneinfo import available_timezones

import msgspec

from app import platforms
from app.check.accounts import Account, same_days, shows_words, unmapped_rates, unmapped_words
from app.check.configuration import unmet
from app.config.model import NO_ACCOUNT, ConnectionConfig, Settings, TenantConfig
from schemas.platform import Words
from streams.sources.base import Choice, Offer

SHOWN = 12
"""How many are shown beside a line; JSON has all of them."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line to write into a connection's section: `key` is "account" or one of a table, as in "accounts.sales"."""

    tenant: str
    connection: str
    platform: str
    key: str
    choices: tuple[Choice, ...] = ()
    suggested: str = ""
    """The value to begin with, "" where none is better than another."""
    sure: bool = False
    """The suggestion fits beyond doubt."""
    instead_of: str = ""
    """What the configuration says now."""

    @property
    def name(self) -> str:
        """Return how `--accept` names it."""
        return f"{self.connection}.{self.key}"


def missing_lines(settings: Settings, accounts: Mapping[str, Account]) -> list[Line]:
    """Return what the sections of the connections in *accounts* lack, in the order of the file."""
    return [
        line
        for tenant in settings.tenants
        for name in tenant.connections
        if name in accounts
        for line in _Section(tenant, name, accounts).lines()
    ]


class _Section:
    """One connection's section against its account."""

    def __init__(self, tenant: TenantConfig, name: str, accounts: Mapping[str, Account]) -> None:
        self._tenant, self._name, self._accounts = tenant, name, accounts
        self._account, self._config = accounts[name], tenant.connections[name]
        self._setup, self._identity = self._account.setup, self._account.identity

    def lines(self) -> Iterator[Line]:
        """Yield account, time zone and options, then ledger accounts, taxes, stages and statuses."""
        if self._config.account not in {self._identity.account, NO_ACCOUNT}:
            return  # somebody else's account has nothing to offer
        yield from self._itself()
        lacking = dict.fromkeys([*self._unmet(), *self._setup.missing])
        for key in (key for key in lacking if key.startswith("accounts.")):
            yield self._line(key, self._setup.offers.get(key, Offer(())))
        for rate in self._rates([key.partition(".")[2] for key in lacking if key.partition(".")[0] == "taxes"]):
            offer = self._taxed(rate)
            yield self._line(f"taxes.{rate}", offer, begins=any(_percent(one) == rate for one in offer.choices))
        if shows_words(self._tenant, self._name):
            for word in self._setup.unshown:
                offer = self._setup.offers.get(f"stages.{word}", Offer(()))
                yield self._line(f"stages.{word}", offer, begins=False)
        for word in unmapped_words(self._account, self._config):
            yield self._line(f"statuses.{word}", _meaning(word), begins=False)

    def _itself(self) -> Iterator[Line]:
        found = self._identity
        if self._config.account == NO_ACCOUNT:
            yield self._line("account", Offer((Choice(found.account, found.name),), found.account))
        zone = found.time_zone
        if zone in available_timezones() and not same_days(zone, self._config.time_zone):
            yield self._line("time_zone", Offer((Choice(zone),), zone))
        for key, offer in found.offers.items():
            yield self._line(key, offer)

    def _unmet(self) -> list[str]:
        loaded = platforms.load(self._config.platform)
        targets = [one for flow in self._tenant.flows for one in flow.targets if one.connection == self._name]
        return [need for target in targets for need in unmet(self._config, target, loaded)]

    def _rates(self, lacking: Sequence[str]) -> list[str]:
        """Return the keys of taxes to map: those that are sold and those that are wrong, else all that there are."""
        sold = [f"{rate.normalize():f}" for rate in unmapped_rates(self._tenant, self._name, self._accounts)]
        wrong = [key for key in lacking if key]
        if sold or wrong or self._config.taxes or not lacking:
            return list(dict.fromkeys([*sold, *wrong]))
        offered = {one.rate: _percent(one) for one in self._codes if one.rate is not None}
        return [offered[rate] for rate in sorted(offered, reverse=True)]

    @property
    def _codes(self) -> tuple[Choice, ...]:
        return self._setup.offers.get("taxes", Offer(())).choices

    def _taxed(self, key: str) -> Offer:
        """Return the tax codes, those of the rate first; sure is the only one that there is."""
        fitting = [one for one in self._codes if _percent(one) == key]
        others = [one for one in self._codes if one not in fitting]
        return Offer((*fitting, *others), fitting[0].value if len(fitting) == 1 else "")

    def _line(self, key: str, offer: Offer, *, begins: bool = True) -> Line:
        """Return the line; *begins* tells whether the first choice will do for a suggestion where none is the best."""
        first = offer.choices[0].value if offer.choices and begins else ""
        ordered = sorted(offer.choices, key=lambda one: one.value != offer.best)
        return Line(
            tenant=self._tenant.tenant,
            connection=self._name,
            platform=self._account.platform.title,
            key=key,
            choices=tuple(ordered),
            suggested=offer.best or first,
            sure=bool(offer.best),
            instead_of=current(self._config, key) if "." in key else "",
        )


def current(config: ConnectionConfig, key: str) -> str:
    """Return what the section says of *key* now, "" when it says nothing."""
    table, dot, name = key.partition(".")
    found = getattr(config, table, "")
    return str(found.get(name, "")) if dot and isinstance(found, dict) else str(found)


def _percent(tax: Choice) -> str:
    """Return the rate of a tax code as a key of the taxes, "" when the platform does not tell it."""
    return "" if tax.rate is None else f"{tax.rate.normalize():f}"


def _meaning(word: str) -> Offer:
    """Return our words for a status of the account; sure is one that is called the same."""
    same = word.lower().replace(" ", "_")
    words = get_args(Words)
    return Offer(tuple(Choice(one) for one in words), same if same in words else "")


# -------------------------------------------------------------------------------------------------------------- as text


def toml_key(part: str) -> str:
    """Return a key as TOML writes it: quoted where that is needed, and where it is a number, which reads oddly bare."""
    bare = part.isascii() and part.replace("_", "").replace("-", "").isalnum() and not part.isdecimal()
    return part if bare else quoted(part)


def quoted(text: str) -> str:
    """Return *text* as a TOML string."""
    return msgspec.json.encode(text).decode()


def as_toml(line: Line) -> str:
    """Return the line with the account's choices beside it; commented out where nothing is suggested."""
    others = [shown(one) for one in line.choices if one.value != line.suggested]
    more = f", and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    first = next((shown(one, "") for one in line.choices if one.value == line.suggested), "")
    said = [first if line.sure else f"perhaps {first}".rstrip()] if line.suggested else []
    said += [f"{'or' if line.suggested else 'one of'} {', '.join(others[:SHOWN])}{more}"] if others else []
    said += [] if line.choices else [f"{line.platform} has none that fits; make one there"]
    said += [f"instead of {line.instead_of}"] if line.instead_of else []
    text = (
        f"{'' if line.suggested else '# '}{'.'.join(map(toml_key, line.key.split('.', 1)))} = {quoted(line.suggested)}"
    )
    beside = "; ".join(part for part in said if part)
    return f"{text:<34}  # {beside}" if beside else text


def shown(choice: Choice, value: str | None = None) -> str:
    """Return a choice for a person: its value, what the platform calls it, and the rate of a tax."""
    rate = _percent(choice)
    named = " ".join(part for part in (choice.label, f"{rate} %" if rate and rate not in choice.label else "") if part)
    if value == "":
        return named
    return f"{quoted(choice.value)} ({named})" if named else quoted(choice.value)


def sections(lines: Sequence[Line], alone: Collection[str] = ()) -> Iterator[str]:
    """Yield the lines under the headers of their sections; the tenants *alone* each have a file of their own."""
    last = ""
    for line in lines:
        if line.connection != last:
            yield f"[{'' if line.tenant in alone else 'tenant.'}connections.{line.connection}]"
        last = line.connection
        yield as_toml(line)
