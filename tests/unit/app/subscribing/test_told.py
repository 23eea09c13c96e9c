"""Which records count as a delivery."""

from __future__ import annotations

from app.subscribing.verifying import told
from schemas.trace import trace_id
from tests.made_up_deliveries import order, record, served


def test_a_delivery_counts_for_the_connections_that_it_tells_of() -> None:
    names, trace = first = told(served(), record(order(1)))
    assert (names, bool(trace_id(trace))) == (frozenset({"shop"}), True)
    assert told(served(), record(order(1))) == first, "the same one each time it is read"


def test_what_nobody_can_read_and_what_tells_of_nobody_here_does_not_count() -> None:
    assert told(served(), record(b"rubbish"))[0] == frozenset()
    assert told(served(), record(order(1), x_shopify_shop_domain="another.myshopify.com"))[0] == frozenset()
    assert told(served(), record(order(1), key=b"acme/gone")) == (frozenset(), "")
    assert told(served(), record(order(1), key=b"\xff")) == (frozenset(), "")
