"""What is kept with a value is what would be found anew, however often and in whatever order it was asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.facts import Order
from streams.order.once import kept

_ASKED = st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abcdefghijkl"), st.integers(0, 3)))


def _told(order: Order, word: str, times: int) -> str:
    return order.number + word * times


def _other(order: Order, word: str, times: int) -> str:
    return word * times + order.number


@given(_ASKED)
def test_it_is_found_as_if_nothing_was_kept(asked: list[tuple[int, str, int]]) -> None:
    orders = Order(number="1"), Order(number="2")
    for at, word, times in asked:
        assert kept(_told, orders[at], word, times) == _told(orders[at], word, times)
        assert kept(_other, orders[at], word, times) == _other(orders[at], word, times)


def test_what_was_asked_for_before_is_not_found_again() -> None:
    found: list[str] = []

    def look(order: Order, word: str) -> str:
        found.append(word)
        return order.number + word

    order = Order(number="1")
    assert [kept(look, order, word) for word in "aabab"] == ["1a", "1a", "1b", "1a", "1b"]
    assert found == ["a", "b"]


def test_what_a_value_keeps_does_not_grow_without_end() -> None:
    order = Order(number="1")
    for day in range(1_000):
        kept(_told, order, "a", day)
    assert len(order.__dict__["kept"]) < 20


def test_what_is_kept_is_no_part_of_the_value() -> None:
    order = Order(number="1")
    kept(_told, order, "a", 1)
    assert order == Order(number="1")
