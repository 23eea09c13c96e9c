"""From what is registered to what is wanted, by values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.subscribing.compare import standing
from streams.sources.subscribing import Subscription, same_place

NOW = datetime(2026, 11, 25, tzinfo=UTC)
ADDRESS = "https://hooks.example.com/hooks/acme/shop"
MOVED = "https://old.example.com/base/hooks/acme/shop"
STRANGER = Subscription(id="9", key="A", topics=("A",), address="https://others.example.com/in")


def _one(topic: str, id_: str = "", address: str = ADDRESS, **more: object) -> Subscription:
    return Subscription(id=id_, key=topic, topics=(topic,), address=address, **more)  # type: ignore[arg-type]  # by test


WANTED = (_one("A"), _one("B"))


def test_what_is_in_step_needs_nothing() -> None:
    found = standing(WANTED, [_one("A", "1"), _one("B", "2"), STRANGER], NOW)
    assert (found.steps, found.missing, found.extra, found.foreign) == ((), (), (), (STRANGER,))


def test_what_is_missing_is_made_and_strangers_do_not_count() -> None:
    found = standing(WANTED, [_one("B", "2"), STRANGER], NOW)
    assert [(step.wanted, step.found, step.why) for step in found.steps] == [(WANTED[0], None, ("missing",))]
    assert found.missing == ("A",)


@pytest.mark.parametrize(
    ("there", "why", "missing"),
    [
        (_one("A", "1", MOVED), "moved", ("A",)),
        (_one("A", "1", active=False), "switched off", ("A",)),
        (_one("A", "1", sound=False), "altered", ()),
        (_one("A", "1", expires_at=NOW + timedelta(days=1)), "expiring", ()),
        (_one("A", "1", address=""), "moved", ("A",)),
    ],
)
def test_what_differs_is_changed_in_place(there: Subscription, why: str, missing: tuple[str, ...]) -> None:
    found = standing(WANTED[:1], [there], NOW)
    assert [(step.found, step.wanted, step.why) for step in found.steps] == [(there, WANTED[0], (why,))]
    assert found.missing == missing


def test_what_lasts_long_enough_is_not_renewed() -> None:
    assert standing(WANTED[:1], [_one("A", "1", expires_at=NOW + timedelta(days=3))], NOW).steps == ()


def test_what_is_silent_is_ended_and_made_anew_however_well_it_looks_and_others_keep_their_topics() -> None:
    shared = Subscription(id="1", topics=("A", "B", "theirs"), address=ADDRESS)
    wanted = Subscription(topics=("A", "B"), address=ADDRESS)
    found = standing((wanted,), [shared, STRANGER], NOW, silent=True)
    ended, made = found.steps
    assert (ended.wanted, ended.found and ended.found.topics, ended.why) == (None, ("A", "B"), ("silent",))
    assert (made.wanted, made.found) == (wanted, None)


def test_what_is_doubled_is_dropped_first_and_the_right_address_stays() -> None:
    doubled = _one("A", "1", MOVED)
    found = standing(WANTED, [doubled, _one("A", "2")], NOW)
    assert [(step.found, step.wanted) for step in found.steps] == [(doubled, None), (None, WANTED[1])]


def test_one_subscription_of_many_topics_lacks_some_and_keeps_others() -> None:
    wanted = (Subscription(topics=("A", "B"), address=ADDRESS),)
    there = Subscription(id="1", topics=("A", "C"), address=ADDRESS)
    found = standing(wanted, [there], NOW)
    assert ([step.why for step in found.steps], found.missing, found.extra) == ([("topics",)], ("B",), ("C",))
    everything = Subscription(id="1", topics=("*",), address=ADDRESS)
    assert standing(wanted, [everything], NOW).steps == ()


def test_an_address_is_ours_by_its_hook_alone() -> None:
    assert same_place(ADDRESS, MOVED)
    assert same_place(ADDRESS, ADDRESS + "/")
    for other in ("https://hooks.example.com/hooks/acme/other", "https://hooks.example.com/in", "", "pubsub://p:t"):
        assert not same_place(ADDRESS, other)
    assert not same_place("https://a.example.com/in", "https://b.example.com/in")
