"""States that are kept decoded change nothing but the time it takes, whatever became of the batch that left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from app.core import topics
from schemas.commands import Result
from schemas.links import Placed
from schemas.state import Agreed, OrderState
from streams.engine.fold import Folded, Record
from streams.order.derive import derive, shared
from streams.order.link import binds, fresh_binds
from streams.order.step import Seen
from streams.processors.hot import Hot
from streams.processors.orders import Orders
from tests.simulator import company
from tests.simulator.simulation import Simulation

_ENCODE = msgspec.json.Encoder().encode


def test_a_state_is_found_under_the_very_bytes_it_was_held_with() -> None:
    hot: Hot[int] = Hot(100)
    hot.put(b"a", b"one", 1)
    assert hot.get(b"a", bytes(bytearray(b"one"))) == 1
    assert hot.get(b"a", b"two") is None
    assert hot.get(b"b", b"one") is None
    hot.put(b"a", b"two", 2)
    assert (hot.get(b"a", b"one"), hot.get(b"a", b"two")) == (None, 2)


def test_what_was_used_longest_ago_makes_room() -> None:
    hot: Hot[int] = Hot(10)
    hot.put(b"a", b"aaaa", 1)
    hot.put(b"b", b"bbbb", 2)
    assert hot.get(b"a", b"aaaa") == 1
    hot.put(b"c", b"cc", 3)
    assert [hot.get(b"a", b"aaaa"), hot.get(b"b", b"bbbb"), hot.get(b"c", b"cc")] == [1, 2, 3]
    hot.put(b"d", b"d", 4)
    assert [hot.get(b"a", b"aaaa"), hot.get(b"b", b"bbbb"), hot.get(b"d", b"d")] == [None, 2, 4]
    hot.put(b"e", b"e" * 11, 5)
    assert hot.get(b"e", b"e" * 11) is None


class Told(Simulation):
    """Keeps what orders were told, as records of Kafka."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, doubles=True)
        self.records: list[tuple[str, bytes, bytes]] = []
        self.steps: list[tuple[OrderState, OrderState]] = []

    def fold(self, key: str, *inputs: Any) -> None:
        for one in inputs:
            if isinstance(one, Result):
                self.records.append((topics.RESULTS, one.order.encode(), _ENCODE(one)))
            elif isinstance(one, Seen):
                event = msgspec.structs.replace(one.event, order=key)
                placed = Placed(order=key, event=event, share=one.share, share_version=one.share_version)
                self.records.append((topics.ORDER_FACTS, key.encode(), _ENCODE(placed)))
        before = self.states.get(key) or OrderState(key=key, tenant=company.TENANT)
        super().fold(key, *inputs)
        self.steps.append((before, self.states[key]))


def _played(seed: int) -> Told:
    play = Told(seed)
    documents = [play.order(total)[1] for total in ("100.00", "40.00")]
    play.settle(1)
    play.pay("shop", "100.00", order=documents[0].id)
    play.total(documents[1], "50.00")
    play.settle(1)
    play.merge(documents[1], documents[0])
    play.settle(1)
    return play


@pytest.mark.parametrize("seed", range(4))
def test_a_table_that_keeps_states_does_what_one_without_memory_does(seed: int) -> None:
    play = _played(seed)
    warm, states = Orders(play.world), dict[bytes, bytes | None]()
    assert len(play.records) > 20

    def folded(orders: Orders, record: Record) -> Folded:
        known = {key: states.get(key) for key in orders.keys([record])}
        return orders.fold(0, [record], known, play.now, {})

    found: list[Folded] = []
    for offset, (topic, key, value) in enumerate(play.records):
        record = Record(topic, 0, offset, key, value, (), 0)
        cold = folded(Orders(play.world), record)
        assert _sorted(folded(warm, record)) == _sorted(cold)
        if offset % 3 == 0:  # the batch is given up and comes again
            assert _sorted(folded(warm, record)) == _sorted(cold)
        states.update(cold.states)
        found.append(cold)
    assert any(out.topic == topics.LINKS for one in found for out in one.outs)


def _sorted(folded: Folded) -> Folded:
    return folded._replace(outs=sorted(folded.outs, key=repr))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_bound_anew_is_what_differs(seed: int) -> None:
    play = _played(seed)
    assert sum(len(fresh_binds(before, after, play.world)) for before, after in play.steps) > 8
    for before, after in play.steps:
        known = binds(before, play.world)
        assert fresh_binds(before, after, play.world) == tuple(
            bind for bind in binds(after, play.world) if bind not in known
        )


@pytest.mark.parametrize("seed", range(4))
def test_shared_fields_that_stand_are_what_looking_for_edits_finds(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    play = _played(seed)
    heard = [msgspec.structs.replace(after, agreed=before.agreed) for before, after in play.steps]
    stands, stood = shared._stands, list[bool]()  # the short cut that is left out below

    def noted(there: Sequence[shared.Participant], known: Agreed) -> bool:
        stood.append(bool(there) and stands(there, known))
        return stands(there, known)

    monkeypatch.setattr(shared, "_stands", noted)
    found = [derive(state, play.world) for state in heard]
    assert stood.count(True) > 8
    assert stood.count(False) > 0
    monkeypatch.setattr(shared, "_stands", lambda there, _: not there)
    assert found == [derive(state, play.world) for state in heard]
