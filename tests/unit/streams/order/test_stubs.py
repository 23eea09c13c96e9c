"""Closed orders become stubs: when, what stays, and what is read again before anything is planned."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from schemas.events import Hint, Version
from schemas.facts import Invoice, Order, Payment
from schemas.order_state import PublicOrder, Waiting
from schemas.state import Conflict, Observation
from streams.order.step import Tick, step
from streams.order.stub import expires_at, shrunk, unread
from tests.unit.streams.order.sample import FLOW, KEY, NOW, SHOP, WORLD
from tests.unit.streams.order.states import giver, look, record, ref, state

DONE = PublicOrder(key=KEY, tenant="acme", life_cycle="closed")
EARLIER = NOW - timedelta(days=7)


def public(**changes: Any) -> PublicOrder:
    return msgspec.structs.replace(DONE, **changes)


def expires(shown: PublicOrder = DONE, *, days: int = 400, **changes: Any) -> datetime | None:
    known = state(look(Order(), changed_at=NOW), record("crm|order", asked_at=EARLIER), **changes)
    return expires_at(known, shown, msgspec.structs.replace(FLOW, expire_days=days))


@pytest.mark.parametrize(
    ("shown", "over"),
    [
        (public(), True),
        (public(life_cycle="cancelled"), True),
        (public(life_cycle="open"), False),
        (public(life_cycle="open", financial="paid"), False),
        (public(life_cycle="open", fulfilment="delivered"), False),
        (public(life_cycle="open", financial="partially_paid", fulfilment="delivered"), False),
        (public(life_cycle="open", financial="paid", fulfilment="partially_fulfilled"), False),
        *(
            (public(life_cycle="open", financial=money, fulfilment="fulfilled"), True)
            for money in ("paid", "overpaid", "refunded", "void")
        ),
        *(
            (public(life_cycle="open", financial="paid", fulfilment=goods), True)
            for goods in ("fulfilled", "delivered", "returned")
        ),
        (public(waiting=(Waiting(connection="crm", capability="upsert_order"),)), False),
    ],
)
def test_an_order_is_over_once_nothing_of_it_is_open(shown: PublicOrder, *, over: bool) -> None:
    assert expires(shown) == (NOW + timedelta(days=400) if over else None)


def test_it_becomes_a_stub_so_long_after_its_last_change_or_write() -> None:
    assert expires(days=30) == NOW + timedelta(days=30)
    late = state(look(Order(), changed_at=EARLIER), record("crm|order", asked_at=NOW))
    assert expires_at(late, DONE, FLOW) == NOW + timedelta(days=400)


def test_it_never_does_where_the_flow_keeps_orders_or_a_person_is_waited_for_or_nothing_has_a_time() -> None:
    assert expires(days=0) is None
    assert expires(held=True) is None
    assert expires_at(state(look(Order()), record("crm|order")), DONE, FLOW) is None


def test_a_stub_keeps_the_orders_own_object_and_of_the_others_only_that_they_are_there() -> None:
    own = giver()
    bill = look(
        Invoice(currency="EUR"), "books", version=Version(4), digest="d", last_read=(1, 7), gone=(1, 3), share="5",
        share_version=2, changed_at=NOW, mirror_of="m",
    )  # fmt: skip
    gone = look(Payment(amount="1", currency="EUR"), digest="d", last_read=(1, 7), gone=(1, 9))  # type: ignore[arg-type]
    written = record("crm|order", outcome="confirmed")
    known = state(own, bill, gone, written, due_at=NOW, conflicts=(Conflict(field="note", kept="a", lost="b"),))
    stub = shrunk(known, SHOP, NOW)
    slim = Observation(
        object=bill.object, version=Version(4), last_read=(1, 7), gone=(1, 3), share="5", share_version=2
    )
    assert stub == state(own, slim, gone, written, asleep=True, expired_at=NOW)


def test_what_a_stub_forgot_is_read_before_anything_is_planned() -> None:
    forgotten = [look(None, "crm", "2"), look(None, "books", "3"), look(None, "books", "1")]
    gone, removed = look(None, "books", "9", gone=(1, 9)), look(None, "old", "1")
    stub = state(giver(), *forgotten, gone, removed, expired_at=EARLIER)
    wanted = [ref("books", "payment", "1"), ref("books", "payment", "3"), ref("crm", "payment", "2")]
    assert unread(stub, WORLD) == wanted
    assert unread(msgspec.structs.replace(stub, expired_at=None), WORLD) == []
    woken = step(stub, [Tick()], WORLD, NOW)
    assert woken.hints == tuple(Hint(tenant="acme", object=one, reason="expired") for one in wanted)
    assert (woken.state.due_at, woken.changed) == (NOW + timedelta(hours=1), True)
    assert (woken.public, woken.commands) == (None, ())
    # The same answer at the same time is no change.
    assert not step(woken.state, [Tick()], WORLD, NOW).changed
