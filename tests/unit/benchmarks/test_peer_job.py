from __future__ import annotations

import random
from typing import TYPE_CHECKING

from benchmarks.peer.measure import Sample, _measured
from benchmarks.peer.orders import TOPIC_OF, Outcome, delivered, outcomes, plan, records
from benchmarks.peer.states import differences
from benchmarks.peer.work import read_state, step

if TYPE_CHECKING:
    from collections.abc import Iterable

ORDERS, SEED = 300, 3


def folded(arrivals: Iterable[tuple[str, bytes, bytes]]) -> tuple[dict[bytes, Outcome], int]:
    held: dict[bytes, bytes] = {}
    commands = 0
    for _, key, value in arrivals:
        state, told = step(key, held.get(key), value)
        if state is not None:
            held[key] = state
        commands += told is not None
    found = {key: read_state(raw) for key, raw in held.items()}
    return {key: Outcome(s.status, s.invoiced, s.paid, s.credited) for key, s in found.items()}, commands


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not() -> None:
    first = list(records(ORDERS, SEED))
    assert first == list(records(ORDERS, SEED))
    assert first != list(records(ORDERS, SEED + 1))


def test_events_are_of_1_kb_five_an_order_a_tenth_of_them_twice() -> None:
    values = [value for _, _, value in records(ORDERS, SEED)]
    assert all(900 <= len(value) <= 1_100 for value in values)
    assert len(set(values)) == 5 * ORDERS
    assert 1.05 < len(values) / len(set(values)) < 1.15


def test_some_versions_come_late_and_both_topics_are_used() -> None:
    seen: dict[tuple[int, str], int] = {}
    late = 0
    for event in delivered(ORDERS, SEED):
        known = seen.setdefault((event.order, event.object), event.version)
        late += event.version < known
        seen[event.order, event.object] = max(known, event.version)
    assert late > 0
    assert {topic for topic, _, _ in records(ORDERS, SEED)} == set(TOPIC_OF.values())


def test_what_workers_do_comes_to_what_the_oracle_says_in_any_order() -> None:
    expected = outcomes(ORDERS, SEED)
    arrivals = list(records(ORDERS, SEED))
    for seed in range(3):
        found, commands = folded(arrivals)
        assert differences(found, expected) == ""
        assert commands > ORDERS
        random.Random(seed).shuffle(arrivals)
    assert {outcome.status for outcome in expected.values()} >= {"cancelled", "settled", "part-paid", "shipped"}


def test_a_single_wrong_cent_is_a_difference_and_so_is_a_missing_or_unknown_order() -> None:
    expected = outcomes(3, SEED)
    key = next(iter(expected))
    off = {**expected, key: expected[key]._replace(invoiced=expected[key].invoiced + 1)}
    assert differences(off, expected).startswith("0 orders missing, 0 unknown, 1 wrong")
    assert differences({k: v for k, v in expected.items() if k != key}, expected).startswith("1 orders missing")
    assert differences(expected | {b"order-x": expected[key]}, expected).startswith("0 orders missing, 1 unknown")


def test_every_order_has_five_events_of_distinct_versions() -> None:
    for order in range(ORDERS):
        events = plan(order, SEED)
        assert len({(event.object, event.version) for event in events}) == 5


def test_what_was_done_before_the_clock_ran_is_not_counted_whatever_a_batch_holds() -> None:
    """Two workers that need the same CPU per event, and the same for starting up; the second writes nothing for long."""
    small = [Sample(at, 1.0 + done / 100, 1, done, 2 * done) for at, done in enumerate((0, 10, 100, 500, 1000, 1000))]
    large = [Sample(at, 1.0 + done / 100, 1, done, 2 * done) for at, done in enumerate((0, 0, 500, 500, 1000, 1000))]
    for samples, left in ((small, 990), (large, 500)):
        found = _measured(samples, 1000, "log")
        assert (found.events, found.commands, found.states) == (left, 1000, 1000)
        assert round(found.rate, 6) == 100.0
