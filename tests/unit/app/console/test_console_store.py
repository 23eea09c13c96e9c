"""The read model: every id leads to the order, and nobody sees another tenant's."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from app.console.answers import conflict_list, order_view, parked_list, parked_view
from app.console.model import Model
from app.console.records import short_id
from app.console.routes import ROUTES
from app.console.views import OrderView
from app.core import topics
from schemas.facts import Invoice, Order, Party, Shipment
from schemas.order_state import Waiting
from schemas.refs import ObjectRef
from tests.made_up import (
    COMMAND,
    DEAL,
    INVOICE,
    KEY,
    PAYMENT,
    at,
    entry,
    event,
    history,
    parked,
    parked_look,
    public,
    state,
)


@pytest.fixture(params=["memory", "file"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Model]:
    """Return a model that holds one order."""
    found = Model(None if request.param == "memory" else tmp_path / "console" / "c.sqlite")
    found.apply(history())
    yield found
    found.close()


def view(model: Model) -> OrderView:
    order = model.order("acme", KEY)
    assert order is not None
    return order_view(model, order)


@pytest.mark.parametrize("id_", [KEY, "SO-1001", "501", "inv-77", "INV-0042", "1Z999", COMMAND])
def test_an_order_is_found_by_any_of_its_ids_and_by_nobody_else(model: Model, id_: str) -> None:
    assert [order.key for order in model.find("acme", id_)] == [KEY]
    assert model.find("other", id_) == []
    assert model.find("acme", id_ + "0") == []


def test_an_id_that_an_order_no_longer_has_leads_nowhere(model: Model) -> None:
    model.apply([state(public(number="SO-1002", shown=(), tracking_numbers=()), 6)])
    for gone in ("SO-1001", "501", "1Z999", "INV-0042"):
        assert model.find("acme", gone) == []
    assert len(model.find("acme", "SO-1002")) == 1


def test_a_number_that_a_document_got_later_replaces_the_one_before(model: Model) -> None:
    model.apply([event(INVOICE, Invoice(number="INV-0043"), 7)])
    assert (len(model.find("acme", "INV-0043")), model.find("acme", "INV-0042")) == (1, [])
    model.apply([event(INVOICE, Invoice(number="INV-0001"), 6)])  # late
    assert (len(model.find("acme", "INV-0043")), model.find("acme", "INV-0001")) == (1, [])


def test_what_was_deleted_in_a_system_is_still_found_by_its_number(model: Model) -> None:
    model.apply([event(INVOICE, None, 7, presence="deleted")])
    assert len(model.find("acme", "INV-0042")) == 1


def test_parcels_and_payments_are_found_by_what_people_know_of_them(model: Model) -> None:
    parcel = ObjectRef("shop", "s", "fulfillment", "f1")
    shown = public().shown
    more = (shown[0].__class__(connection="shop", account="s", type="fulfillment", id="f1", kind="shipment"),)
    model.apply([event(parcel, Shipment(tracking_numbers=("JJD01",)), 1), state(public(shown=(*shown, *more)), 6)])
    assert len(model.find("acme", "JJD01")) == 1


def test_an_order_that_is_forgotten_is_gone(model: Model) -> None:
    model.apply([entry(topics.ORDER_STATES, KEY, None, 6)])
    assert model.find("acme", "SO-1001") == []
    assert model.order("acme", KEY) is None


def test_an_id_of_two_orders_that_are_one_leads_to_the_one_that_lives(model: Model) -> None:
    alias = public("a" * 32, alias_of=KEY)
    model.apply([state(alias, 6)])
    assert [order.key for order in model.find("acme", "SO-1001")] == [KEY]
    assert {order.key for order in model.find("acme", alias.key)} == {alias.key}


def test_unreadable_records_stop_nothing(model: Model) -> None:
    wrong = (topics.ORDER_STATES, topics.JOURNAL, topics.CRM_CHANGES)
    assert model.apply([entry(name, "k|a/b", b"{", 6) for name in wrong]) == len(wrong)
    assert len(model.find("acme", "SO-1001")) == 1


def test_every_hop_has_its_time_and_is_told_in_order(model: Model) -> None:
    told = [(hop.what, hop.at) for hop in view(model).hops]
    assert told == [
        ("seen", at(1)),
        ("asked", at(2)),
        ("sent", at(3)),
        ("seen", at(4)),
        ("answered", at(4)),
        ("shown", at(5)),
        ("decided", at(9)),
    ]


def test_a_write_tells_its_command_its_request_and_its_result(model: Model) -> None:
    (write,) = view(model).writes
    assert (write.command, write.outcome, write.object) == (COMMAND, "confirmed", INVOICE.key)
    (request,) = write.requests
    assert (request.method, request.path, request.status, request.state) == ("POST", "/invoices", 200, "confirmed")
    assert len(request.id) == 32


def test_systems_stand_side_by_side_with_what_they_showed_last(model: Model) -> None:
    shop, books = view(model).systems
    assert (shop.connection, books.connection) == ("shop", "books")
    (invoice,) = books.objects
    assert (invoice.number, invoice.amount, invoice.seen_at, invoice.ours) == ("INV-0042", Decimal(24), at(4), True)


def test_why_it_stopped_and_the_next_step(model: Model) -> None:
    stops = view(model).stopped
    assert [stop.why for stop in stops] == [
        "A write was refused.",
        "record_payment in books was refused: The account is closed.",
    ]
    assert stops[1].next_step == "Mend the cause, then `o2c orders retry SO-1001 'books|pay'`."


def test_a_write_without_an_answer_is_told_of() -> None:
    asked = Model()
    asked.apply([one for one in history() if one.topic == topics.COMMANDS] + [state(public())])
    (stop,) = view(asked).stopped
    assert (stop.why, stop.write) == ("upsert_invoice in books was asked for and has no answer yet.", "books|invoice")
    asked.close()


def test_what_people_hold_is_a_reason_too(model: Model) -> None:
    model.apply([entry(topics.BROADCAST, "paused/books", b'{"kind":"paused","subject":"books","value":"yes"}')])
    model.apply([entry(topics.BROADCAST, "mode/web", b'{"kind":"mode","subject":"web","value":"shadow"}')])
    assert [stop.why for stop in view(model).stopped][:2] == [
        "The flow web is in mode shadow: nothing is written.",
        "A person paused books.",
    ]
    assert view(model).systems[1].paused


def test_every_outcome_that_waits_has_words(model: Model) -> None:
    outcomes = ("", "uncertain", "stale", "deferred", "superseded", "rejected", "unsupported")
    waits = tuple(Waiting(connection="books", capability="add_note", outcome=outcome) for outcome in outcomes)
    model.apply([state(public(waiting=waits), 6)])
    assert len({stop.why for stop in view(model).stopped}) == len(outcomes)


def test_the_configured_mode_holds_until_people_say_another() -> None:
    model = Model(None, {"mode/web": "shadow"})
    assert model.fact("mode", "web") == "shadow"
    model.apply([entry(topics.BROADCAST, "mode/web", b'{"kind":"mode","subject":"web","value":"live"}')])
    assert model.fact("mode", "web") == "live"
    model.close()


@pytest.mark.parametrize("id_", [PAYMENT.key, PAYMENT.id, short_id(PAYMENT.key)])
def test_a_parked_object_is_found_and_told_with_the_orders_it_may_belong_to(model: Model, id_: str) -> None:
    rival = public("b" * 32, number="SO-2", shown=(), tracking_numbers=())
    model.apply([parked(), parked_look(), state(rival)])
    (found,) = model.parked_as("acme", id_)
    told = parked_view(model, found)
    assert (told.amount, told.currency, told.number, told.since) == (Decimal(24), "EUR", "bank-5", at(1))
    assert [(one.order, one.why) for one in told.candidates] == [
        (KEY, "its number is named"),
        (rival.key, "the amount is the same"),
    ]
    assert model.parked_as("other", id_) == []


def test_what_is_parked_no_more_leaves_the_list(model: Model) -> None:
    model.apply([parked()])
    assert len(model.parked("acme")) == 1
    model.apply([entry(topics.PARKED, PAYMENT.key, None)])
    assert model.parked("acme") == []


def test_lists_come_in_pages_of_one_tenant(model: Model) -> None:
    refs = [ObjectRef("books", "b", "payment", f"p{number}") for number in range(5)]
    model.apply([*(parked(ref) for ref in refs), parked(ObjectRef("other", "o", "payment", "p9"), "other")])
    first = parked_list(model, "acme", "", 3)
    assert [one.object for one in first.parked] == [ref.key for ref in refs[:3]]
    second = parked_list(model, "acme", first.after, 3)
    assert ([one.object for one in second.parked], second.after) == ([ref.key for ref in refs[3:]], "")


def test_conflicts_are_listed_while_there_are_any(model: Model) -> None:
    assert [(one.number, one.conflict.lost) for one in conflict_list(model, "acme").conflicts] == [("SO-1001", "b")]
    assert conflict_list(model, "other").conflicts == ()
    model.apply([state(public(), 6)])
    assert conflict_list(model, "acme").conflicts == ()


def test_what_happened_long_ago_is_forgotten_and_where_the_order_stands_is_not(model: Model) -> None:
    model.forget(at(60).timestamp())
    told = view(model)
    assert (told.hops, told.writes, told.order.number) == ((), (), "SO-1001")


def test_a_new_model_begins_empty_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    for _ in range(2):
        model = Model(path)
        assert model.find("acme", "SO-1001") == []
        model.apply(history())
        model.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_personal_data_of_looks_is_not_kept(tmp_path: Path) -> None:
    customer = Party(name="Grace Hopper", email="grace@navy.example")
    model = Model(tmp_path / "c.sqlite")
    model.apply([event(DEAL, Order(number="SO-1001", note="ring twice", customer=customer), 1)])
    model.close()
    kept = (tmp_path / "c.sqlite").read_bytes()
    assert b"SO-1001" in kept
    assert not any(word in kept for word in (b"Grace", b"navy.example", b"ring twice"))


def test_every_route_has_one_name() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES)
