"""Which lines a configuration lacks, what is suggested for each, and how it is printed: without asking anybody."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from app import platforms
from app.check.accounts import Account
from app.check.lines import Line, as_toml, missing_lines, sections
from app.check.picking import answer_value
from app.config.load import load
from app.config.model import Settings
from streams.sources.base import Choice, Identity, Offer, Setup

CONFIG = """\
[[tenant]]
name = "acme"
[tenant.connections.crm]
platform = "hubspot"
account = "1"
[tenant.connections.books]
platform = "xero"
account = "o"
accounts = { sales = "200", payments = "090", rounding = "860" }
[[tenant.flows]]
name = "deals"
key_giver = "crm"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
[[tenant.flows.targets]]
connection = "crm"
"""
TAXES = Offer(
    (
        Choice("OUTPUT", "Sales", Decimal(20)),
        Choice("OUTPUT2", "20% Sales", Decimal("20.00")),
        Choice("REDUCED", "Reduced", Decimal("5.5")),
        Choice("NONE", "Exempt", Decimal(0)),
    )
)


def _settings(folder: Path, text: str = CONFIG) -> Settings:
    path = folder / "o2c.toml"
    path.write_text(text)
    return load(path, {})


def _account(settings: Settings, whose: str, setup: Setup, **identity: object) -> Account:
    connection = next(one.connection for one in settings.connections if one.connection.name == whose)
    platform = platforms.load(connection.platform).platform
    return Account(connection, platform, Identity(account=connection.account, **identity), setup)  # type: ignore[arg-type]  # any field


def _lines(settings: Settings, *accounts: Account) -> dict[str, Line]:
    return {line.name: line for line in missing_lines(settings, {one.connection.name: one for one in accounts})}


def test_before_the_first_sale_every_rate_of_the_ledger_is_asked_for(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    lines = _lines(settings, _account(settings, "books", Setup(offers={"taxes": TAXES})))
    assert {name: (line.suggested, line.sure) for name, line in lines.items()} == {
        "books.taxes.20": ("OUTPUT", False),
        "books.taxes.5.5": ("REDUCED", True),
        "books.taxes.0": ("NONE", True),
    }


@pytest.mark.parametrize(("mapped", "left"), [("", ["20", "7"]), ('taxes = { "20" = "OUTPUT" }\n', ["7"])])
def test_once_something_was_sold_only_its_rates_are_asked_for(tmp_path: Path, mapped: str, left: list[str]) -> None:
    settings = _settings(tmp_path, CONFIG.replace("[[tenant.flows]]", f"{mapped}[[tenant.flows]]"))
    sold = _account(settings, "crm", Setup(rates=(Decimal(20), Decimal("7.0"))))
    lines = _lines(settings, sold, _account(settings, "books", Setup(offers={"taxes": TAXES})))
    assert list(lines) == [f"books.taxes.{rate}" for rate in left]
    assert (lines["books.taxes.7"].suggested, len(lines["books.taxes.7"].choices)) == ("", 4), "no code has that rate"


def test_a_status_of_the_account_is_suggested_what_is_called_the_same(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    words = {"deals:On hold": "On hold", "deals:Engraving": "Engraving", "deals:closedwon": "Closed won"}
    lines = _lines(settings, _account(settings, "crm", Setup(words=words)))
    shown = {name: (line.suggested, line.sure, len(line.choices)) for name, line in lines.items()}
    assert shown == {"crm.statuses.On hold": ("on_hold", True, 16), "crm.statuses.Engraving": ("", False, 16)}
    assert as_toml(lines["crm.statuses.Engraving"]).startswith('# statuses.Engraving = ""')
    assert as_toml(lines["crm.statuses.On hold"]).startswith('statuses."On hold" = "on_hold"')


def test_what_the_account_says_of_itself_comes_first(tmp_path: Path) -> None:
    settings = _settings(tmp_path, CONFIG.replace('account = "1"', 'account = "..."'))
    offers = {"options.currency": Offer((Choice("EUR"),), "EUR")}
    found = _account(settings, "crm", Setup(), name="Acme", time_zone="Europe/Berlin", offers=offers)
    found = msgspec.structs.replace(found, identity=msgspec.structs.replace(found.identity, account="4711"))
    lines = missing_lines(settings, {"crm": found})
    assert list(sections(lines)) == [
        "[tenant.connections.crm]",
        'account = "4711"                    # Acme',
        'time_zone = "Europe/Berlin"',
        'options.currency = "EUR"',
    ]
    assert next(sections(lines, {"acme"})) == "[connections.crm]", "in a file of the tenant's own"


@pytest.mark.parametrize(
    ("told", "line"), [("Europe/Berlin", []), ("Europe/Kyiv", ["crm.time_zone"]), ("Mars/Olympus", []), ("", [])]
)
def test_a_time_zone_with_the_same_days_needs_no_line(tmp_path: Path, told: str, line: list[str]) -> None:
    settings = _settings(tmp_path, CONFIG.replace('account = "1"', 'account = "1"\ntime_zone = "Europe/Vienna"'))
    assert list(_lines(settings, _account(settings, "crm", Setup(), time_zone=told))) == line


def test_the_account_of_somebody_else_offers_nothing(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    found = _account(settings, "books", Setup(offers={"taxes": TAXES}))
    other = msgspec.structs.replace(found, identity=Identity(account="theirs", time_zone="Europe/Berlin"))
    assert missing_lines(settings, {"books": other}) == []


def test_of_many_choices_a_line_shows_the_first_and_how_many_there_are() -> None:
    choices = tuple(Choice(str(number), f"Account {number}") for number in range(40))
    line = Line(
        tenant="acme", connection="books", platform="Xero", key="accounts.sales", choices=choices, suggested="0"
    )
    assert as_toml(line).endswith('"12" (Account 12), and 27 more')
    gone = msgspec.structs.replace(line, choices=(), suggested="", instead_of="200")
    assert as_toml(gone).endswith("# Xero has none that fits; make one there; instead of 200")


def test_an_answer_is_a_number_of_the_list_or_a_value() -> None:
    choices = tuple(Choice(value) for value in ("35", "4", "1"))
    line = Line(
        tenant="acme", connection="qbo", platform="QuickBooks", key="accounts.payments", choices=choices, suggested="35"
    )
    assert [answer_value(line, answer) for answer in ("", "2", "35", "x")] == ["35", "4", "35", "x"]
