"""A state, a link row or a hand-over of a newer version stops who meets it, also where its fields are not ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from schemas.links import Bind, LinkRow
from streams.engine.fold import TICK_TOPIC, NewerFormat, Record
from streams.processors.links import Links
from streams.processors.orders import Orders
from tests.unit.streams.processors.test_decisions import KEYS, ONE, WORLD, Topics, _order

KEY, NOW = KEYS[0].encode(), datetime(2026, 3, 1, tzinfo=UTC)
Fold = Callable[[bytes], Any]


def as_told(stored: bytes, **changes: Any) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(stored), **changes})


def orders() -> tuple[bytes, Fold]:
    table = Topics()
    table.event(ONE, _order())
    tick = Record(TICK_TOPIC, 0, -1, KEY, b"", (), 0)
    return table.states[KEY] or b"", lambda stored: Orders(WORLD).fold(0, [tick], {KEY: stored}, NOW, {})


def links() -> tuple[bytes, Fold]:
    bind = Record("links", 0, 1, KEY, msgspec.json.encode(Bind(key=KEYS[0], order="o")), (), 0)
    row = msgspec.json.encode(LinkRow(key=KEYS[0], askers=("a",)))
    return row, lambda stored: Links().fold(0, [bind], {KEY: stored}, NOW, {})


@pytest.mark.parametrize("table", [orders, links])
@pytest.mark.parametrize("changes", [{}, {"key": 7}, {"tenant": [], "order": {"was": "a text"}}])
def test_what_a_newer_version_stored_stops_the_partition(
    table: Callable[[], tuple[bytes, Fold]], changes: dict[str, Any]
) -> None:
    stored, fold = table()
    fold(stored)
    with pytest.raises(NewerFormat, match="format 99"):
        fold(as_told(stored, format=99, **changes))


@pytest.mark.parametrize("table", [orders, links])
def test_what_is_broken_is_no_newer_version(table: Callable[[], tuple[bytes, Fold]]) -> None:
    stored, fold = table()
    for broken in (as_told(stored, key=7), as_told(stored, key=7, format="99"), b"[]", b"{"):
        with pytest.raises(msgspec.MsgspecError):
            fold(broken)


def test_a_hand_over_whose_state_has_other_fields_stops_the_partition_and_a_broken_one_is_put_aside() -> None:
    table = Topics()
    table.event(ONE, _order())
    table.decide("merge", 0, into=KEYS[1])
    (out,) = [one for one in table.outs if one.topic == "order-facts"]
    told = msgspec.json.decode(out.value or b"")

    def fold(**state: Any) -> Any:
        value = msgspec.json.encode({**told, "state": {**told["state"], **state}})
        record = Record(out.topic, 0, 999, out.key or b"", value, out.headers, 0)
        return Orders(WORLD).fold(0, [record], {}, NOW, {})

    for changes in ({}, {"writes": []}):
        with pytest.raises(NewerFormat):
            fold(format=99, **changes)
    assert [reason for _, reason, _ in fold(writes=[]).dead] == ["unreadable"]
