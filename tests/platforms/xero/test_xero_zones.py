"""Whose days an organisation keeps: the vendor's names of time zones, all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
import yaml

from schemas.platforms.xero.zones import ZONES
from tests.platforms.conversation import answer
from tests.platforms.xero.plain import SOURCE, reply_of

JANUARY = datetime(2026, 1, 15, tzinfo=UTC)
HOURS = {
    "ROMANCESTANDARDTIME": 1, "TOKYOSTANDARDTIME": 9, "SINGAPORESTANDARDTIME": 8, "INDIASTANDARDTIME": 5.5,
    "MOUNTAINSTANDARDTIME": -7, "NEWZEALANDSTANDARDTIME": 13, "AUSEASTERNSTANDARDTIME": 11, "UTC08": -8, "UTC+12": 12,
    "MIDATLANTICSTANDARDTIME": -2, "CHATHAMISLANDSSTANDARDTIME": 13.75, "DATELINESTANDARDTIME": -12, "UTC": 0,
}  # fmt: skip


def test_every_name_of_the_vendor_is_known_and_is_a_zone(shared: Path) -> None:
    spec = yaml.load((shared / "specs/xero/xero_accounting.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    assert set(ZONES) == set(spec["components"]["schemas"]["TimeZone"]["enum"])
    assert set(ZONES.values()) <= available_timezones()


@pytest.mark.parametrize(("name", "hours"), HOURS.items())
def test_a_name_is_the_zone_of_its_hours(name: str, hours: float) -> None:
    assert JANUARY.astimezone(ZoneInfo(ZONES[name])).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("told", "zone"), [("ROMANCESTANDARDTIME", "Europe/Paris"), ("UTC", "UTC"), ("NEWSTANDARDTIME", ""), ("", "")]
)
def test_an_organisation_tells_its_time_zone(told: str, zone: str) -> None:
    organisation = reply_of({"Organisations": [{"OrganisationID": "o", "Name": "Acme", "Timezone": told}]})
    _, identity = answer(SOURCE.identify(), organisation, reply_of({"Currencies": []}))
    assert identity.time_zone == zone
