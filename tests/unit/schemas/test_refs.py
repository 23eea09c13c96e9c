from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from schemas.refs import NAMESPACE, ObjectRef, find_mark, mark_of, order_key, read_mark, write_id

ORDER = ObjectRef("shop", "acme", "order", "1001")


def test_an_order_key_never_changes() -> None:
    assert order_key("acme", ORDER) == "91829888a536517ab249715971deba5f"


def test_tenants_with_equal_ids_have_different_orders() -> None:
    assert order_key("acme", ORDER) != order_key("beta", ORDER)


def test_a_new_generation_is_a_new_write() -> None:
    assert write_id("x", "a", "upsert_invoice", "o", 0) != write_id("x", "a", "upsert_invoice", "o", 1)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_mark_is_found_whatever_people_type_around_it(before: str, after: str) -> None:
    mark = mark_of(order_key("acme", ORDER), write_id("x", "a", "upsert_invoice", "o", 0))
    if "o2c1:" not in before:
        assert find_mark(before + mark + after) == mark
    assert str(read_mark(mark)) == mark


def test_what_only_looks_like_a_mark_is_none() -> None:
    assert find_mark("o2c1:abc:def") is None
    assert find_mark(None) is None


def test_a_mark_is_found_behind_something_that_only_begins_like_one() -> None:
    mark = mark_of(order_key("acme", ORDER), write_id("x", "a", "upsert_invoice", "o", 0))
    assert find_mark(f"[o2c1:] {mark}") == mark


@given(st.text())
def test_names_are_version_five_uuids(account: str) -> None:
    assert write_id("shop", account, "o", "c", 0) == uuid5(NAMESPACE, f"write|shop|{account}|o|c|0").hex
