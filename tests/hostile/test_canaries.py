"""Canaries through the whole pipeline: half a minute of waiting, so it runs with the long tests and in `make hostile`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.canaries import EMAIL, PERSON, Found, flown

pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]


@pytest.mark.long
async def test_no_canary_is_where_it_must_not_be(kafka: str, tmp_path: Path) -> None:
    found = await flown(kafka, tmp_path)
    assert found.leaks == [], found.line


def test_a_canary_is_found_where_it_is() -> None:
    found = Found()
    found.search("a log", f"x {EMAIL} y access-0123456789abcdef z", PERSON)
    assert [leak.partition(":")[0] for leak in found.leaks] == ["e-mail in a log", "an issued token in a log"]
