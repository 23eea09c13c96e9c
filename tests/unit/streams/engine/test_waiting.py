from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.fold import Record
from streams.engine.waiting import Waiting

TOPICS = ("shop", "books", "links")
FEW = 6


def record(topic: str, offset: int, at: int) -> Record:
    return Record(topic, 0, offset, b"key", b"", (), at)


def backlog(**times: range) -> Waiting:
    """Return what waits where the records of each topic were written at *times*."""
    waiting = Waiting(times)
    for topic, moments in times.items():
        waiting.add(topic, [record(topic, offset, at) for offset, at in enumerate(moments)])
    return waiting


def offsets(records: list[Record], topic: str) -> list[int]:
    return [each.offset for each in records if each.topic == topic]


arrivals = st.lists(st.tuples(st.sampled_from(TOPICS), st.lists(st.integers(-1, 99), max_size=20)), max_size=12)


@given(arrivals, st.integers(1, 30))
def test_every_record_is_given_once_and_each_topic_in_its_order(came: list[tuple[str, list[int]]], most: int) -> None:
    waiting, count, given_out = Waiting(TOPICS), dict.fromkeys(TOPICS, 0), []
    for topic, times in came:
        waiting.add(topic, [record(topic, count[topic] + n, at) for n, at in enumerate(times)])
        count[topic] += len(times)
        given_out += waiting.take(most, FEW)
    while waiting:
        batch = waiting.take(most, FEW)
        assert 0 < len(batch) <= most
        given_out += batch
    assert waiting.take(most, FEW) == []
    assert {topic: offsets(given_out, topic) for topic in TOPICS} == {t: list(range(n)) for t, n in count.items()}


def test_a_topic_waits_where_another_with_a_backlog_is_not_as_far() -> None:
    batch = backlog(shop=range(0, 100, 4), books=range(40)).take(100, FEW)
    assert len(offsets(batch, "books")) == 40
    assert offsets(batch, "shop") == list(range(10))


def test_what_is_too_much_is_shortened_of_all_alike() -> None:
    batch = backlog(shop=range(0, 100, 4), books=range(100)).take(50, FEW)
    assert (len(offsets(batch, "shop")), len(offsets(batch, "books"))) == (11, 39)


def test_no_topic_waits_for_another_for_long() -> None:
    batch = backlog(shop=range(1_000, 1_100), books=range(40)).take(100, FEW)
    assert (len(offsets(batch, "shop")), len(offsets(batch, "books"))) == (FEW // 2, 40)


def test_few_records_wait_for_none() -> None:
    assert len(backlog(shop=range(100, 105), books=range(1)).take(100, FEW)) == FEW


def test_topics_that_have_something_share_the_room() -> None:
    waiting = backlog(shop=range(50), books=range(0), links=range(0))
    assert waiting.room("shop", 51)
    assert not waiting.room("shop", 50)
    assert waiting.room("books", 50)
    waiting.add("books", [record("books", 0, 0)])
    assert not waiting.room("shop", 100)
    assert waiting.room("books", 100)
