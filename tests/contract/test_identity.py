"""Every platform says whose account it is and holds a connection's mappings against it, by harmless calls only."""

from __future__ import annotations

from datetime import date
from zoneinfo import available_timezones

import pytest

from app import platforms
from app.connectors.sending import conversed
from app.render.studio import studio

pytestmark = pytest.mark.sandbox
SLUGS = [slug for slug in platforms.slugs() if platforms.load(slug).platform.capabilities]


@pytest.mark.parametrize("slug", SLUGS)
async def test_the_account_and_its_settings_are_read(slug: str) -> None:
    async with studio(slug) as bench:
        found = await conversed(platforms.load(slug).source(bench.connection).identify(), bench.sending)
        asked = list(bench.recorder.sent)
    assert found.account == bench.connection.account
    assert asked
    assert not any(request.mutates for request in asked)
    assert found.home_currency in {"", *found.currencies} or not found.currencies
    assert found.home_currency.isupper()
    assert not found.lock_date or date.fromisoformat(found.lock_date).year >= 2000
    assert not found.time_zone or found.time_zone in available_timezones()
    assert all("; " in sentence and sentence.endswith(".") for sentence in found.missing)


@pytest.mark.parametrize("slug", SLUGS)
async def test_default_mappings_fit_a_fresh_account(slug: str) -> None:
    async with studio(slug) as bench:
        found = await conversed(platforms.load(slug).source(bench.connection).setup(), bench.sending)
        asked = list(bench.recorder.sent)
    assert not any(request.mutates for request in asked)
    assert (found.unshown, found.missing) == ({}, {})
    assert set(found.words) <= set(platforms.load(slug).platform.statuses)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_sink_names_mappings_of_capabilities_that_it_has(slug: str) -> None:
    loaded = platforms.load(slug)
    assert set(loaded.sink.mappings) <= set(loaded.platform.capabilities)
    assert {need.partition(".")[0] for needs in loaded.sink.mappings.values() for need in needs} <= {
        "accounts",
        "taxes",
    }
