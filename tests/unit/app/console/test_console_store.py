"""The read model: every id leads to the order, and nobody sees another tenant's."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from app.console.answers import conflict_list, order_view, parked_list, parked_view
from app.console.records import short_id
from app.console.routes import ROUTES
from app.console.store import Store
from app.console.telling import Word, said
from app.console.tenant import Tenant
from app.console.views import OrderView
from app.core import topics
from schemas.decisions import Decision
from schemas.facts import Invoice, Order, Party, Shipment
from schemas.links import Say
from schemas.order_state import Waiting
from schemas.refs import ObjectRef
from sinks.delivery.row import Row, idempotency_key
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
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return a store that holds one order."""
    found = Store(None if request.param == "memory" else tmp_path / "console" / "c.sqlite")
    found.apply(history())
    yield found
    found.close()


def acme(store: Store) -> Tenant:
    return store.tenant("acme")


def view(store: Store) -> OrderView:
    order = acme(store).order(KEY)
    assert order is not None
    return order_view(acme(store), order)


@pytest.mark.parametrize(
    "id_", [KEY, "SO-1001", "so-1001", "501", "inv-77", INVOICE.key, "INV-0042", "inv-0042", "1Z999", COMMAND]
)
def test_an_order_is_found_by_any_of_its_ids_and_by_nobody_else(store: Store, id_: str) -> None:
    assert [order.key for order in acme(store).find(id_)] == [KEY]
    assert store.tenant("other").find(id_) == []
    assert acme(store).find(id_ + "0") == []


@pytest.mark.parametrize("typed", ["#1001", "1001", "Order #1001", "# 1001"])
def test_a_number_is_found_however_people_write_it(store: Store, typed: str) -> None:
    store.apply([state(public(number="#1001"), 6)])
    assert [order.key for order in acme(store).find(typed)] == [KEY]


def test_an_id_that_an_order_no_longer_has_leads_nowhere(store: Store) -> None:
    store.apply([state(public(number="SO-1002", shown=(), tracking_numbers=()), 6)])
    for gone in ("SO-1001", "501", "1Z999", "INV-0042"):
        assert acme(store).find(gone) == []
    assert len(acme(store).find("SO-1002")) == 1


def test_a_document_is_found_by_a_number_it_once_had(store: Store) -> None:
    store.apply([event(INVOICE, Invoice(number="INV-0043"), 7)])
    assert [len(acme(store).find(number)) for number in ("INV-0042", "INV-0043")] == [1, 1]
    (books,) = [system for system in view(store).systems if system.connection == "books"]
    assert books.objects[0].number == "INV-0043"


def test_a_late_look_changes_nothing_that_is_shown(store: Store) -> None:
    store.apply([event(INVOICE, Invoice(number="INV-0043"), 7)])
    before = view(store).systems
    store.apply([event(INVOICE, Invoice(number="INV-0001"), 6)])
    assert view(store).systems == before


def test_what_was_deleted_in_a_system_is_still_found_by_its_number(store: Store) -> None:
    store.apply([event(INVOICE, None, 7, presence="deleted")])
    assert len(acme(store).find("INV-0042")) == 1


def test_parcels_and_payments_are_found_by_what_people_know_of_them(store: Store) -> None:
    parcel = ObjectRef("shop", "s", "fulfillment", "f1")
    shown = public().shown
    more = (shown[0].__class__(connection="shop", account="s", type="fulfillment", id="f1", kind="shipment"),)
    store.apply([event(parcel, Shipment(tracking_numbers=("JJD01",)), 1), state(public(shown=(*shown, *more)), 6)])
    assert len(acme(store).find("JJD01")) == 1


def test_an_order_that_is_forgotten_is_gone(store: Store) -> None:
    store.apply([entry(topics.ORDER_STATES, KEY, None, 6)])
    assert acme(store).find("SO-1001") == []
    assert acme(store).order(KEY) is None


def test_an_id_of_two_orders_that_are_one_leads_to_the_one_that_lives(store: Store) -> None:
    alias = public("a" * 32, alias_of=KEY)
    store.apply([state(alias, 6)])
    assert [order.key for order in acme(store).find("SO-1001")] == [KEY]
    assert {order.key for order in acme(store).find(alias.key)} == {alias.key}


def test_unreadable_records_stop_nothing(store: Store) -> None:
    wrong = (topics.ORDER_STATES, topics.JOURNAL, topics.CRM_CHANGES)
    assert store.apply([entry(name, "k|a/b", b"{", 6) for name in wrong]) == len(wrong)
    assert len(acme(store).find("SO-1001")) == 1


def test_every_hop_has_its_time_and_is_told_in_order(store: Store) -> None:
    told = [(hop.what, hop.at) for hop in view(store).hops]
    assert told == [
        ("seen", at(1)),
        ("asked", at(2)),
        ("sent", at(3)),
        ("answered", at(4)),
        ("seen", at(4)),
        ("shown", at(5)),
        ("decided", at(9)),
    ]


def test_a_write_tells_its_command_its_request_and_its_result(store: Store) -> None:
    (write,) = view(store).writes
    assert (write.command, write.outcome, write.object) == (COMMAND, "confirmed", INVOICE.key)
    (request,) = write.requests
    assert (request.method, request.path, request.status, request.state) == ("POST", "/invoices", 200, "confirmed")
    assert len(request.id) == 32


def test_where_the_order_stands_is_told_when_it_changes(store: Store) -> None:
    store.apply([state(public(), 6), state(public(headline="paid", financial="paid"), 7), state(public(), 8)])
    told = [(hop.at, hop.text) for hop in view(store).hops if hop.what == "shown"]
    assert told == [(at(5), "invoiced, open"), (at(7), "paid, open"), (at(8), "invoiced, open")]


def test_what_waits_while_a_person_holds_its_system_is_not_to_be_waited_for(store: Store) -> None:
    store.apply([entry(topics.BROADCAST, "paused/books", b'{"kind":"paused","subject":"books","value":"yes"}')])
    store.apply([state(public(waiting=(Waiting(connection="books", capability="add_note"),)), 6)])
    assert [(stop.why, stop.next_step) for stop in view(store).stopped] == [
        ("A person paused books.", "`o2c connections resume books` writes what waits."),
        ("add_note in books waits.", "Resume books."),
    ]


def test_every_answer_of_a_write_is_a_hop_and_the_newest_is_what_came_of_it(store: Store) -> None:
    (result,) = [one for one in history() if one.topic == topics.RESULTS]
    later, earlier = (msgspec.structs.replace(result, timestamp=result.timestamp + ms) for ms in (90_000, -90_000))
    deferred = [
        msgspec.structs.replace(one, value=(one.value or b"").replace(b"confirmed", b"deferred"))
        for one in (earlier, later)
    ]
    store.apply(deferred[:1])
    assert view(store).writes[0].outcome == "confirmed"
    store.apply(deferred[1:])
    assert view(store).writes[0].outcome == "deferred"
    told = [hop.text.split()[1] for hop in view(store).hops if hop.what == "answered"]
    assert told == ["deferred", "confirmed", "deferred"]


def test_every_attempt_of_a_request_is_told(store: Store) -> None:
    refused = Row(
        command=COMMAND, step="invoice", epoch=1, attempt=1, method="POST", path="/invoices", state="not_done", status=429,
        at=at(3.5).timestamp(),
    )  # fmt: skip
    store.apply([entry(topics.JOURNAL, f"books|{COMMAND}/invoice", refused, 3.5)])
    assert [request.status for request in view(store).writes[0].requests] == [200, 429]
    assert len({request.id for request in view(store).writes[0].requests}) == 2


def test_a_request_of_a_batch_is_told_of_each_of_its_writes(store: Store) -> None:
    row = Row(
        command="b" * 32, step="batch", epoch=1, method="POST", path="/batch", state="confirmed", status=200,
        at=at(3.5).timestamp(), members=(COMMAND, "d" * 32),
    )  # fmt: skip
    store.apply([entry(topics.JOURNAL, f"books|{row.command}/batch", row, 3.5)])
    alone, together = view(store).writes[0].requests
    assert (alone.path, together.path) == ("/invoices", "/batch")
    assert together.id == idempotency_key(row.command, "batch", 0)


def test_no_question_goes_through_all_rows_of_a_tenant() -> None:
    """At 100,000 orders, each of these would take a second."""
    store = Store()
    asked: list[str] = []
    store.apply([*history(), parked(), parked_look()])
    store._reader.set_trace_callback(asked.append)
    view(store)
    parked_list(acme(store))
    conflict_list(acme(store))
    parked_view(acme(store), acme(store).parked_as(PAYMENT.id)[0])
    store._reader.set_trace_callback(None)
    tables = [name for (name,) in store._reader.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    plans = [row[3] for words in asked for row in store._reader.execute(f"EXPLAIN QUERY PLAN {words}")]
    store.close()
    assert len(asked) > 10
    assert [plan for plan in plans if plan.split()[:2] in [["SCAN", table] for table in tables]] == []
    assert [plan for plan in plans if plan.endswith("(tenant=?)")] == []


def test_systems_stand_side_by_side_with_what_they_showed_last(store: Store) -> None:
    shop, books = view(store).systems
    assert (shop.connection, books.connection) == ("shop", "books")
    (invoice,) = books.objects
    assert (invoice.number, invoice.amount, invoice.seen_at, invoice.ours) == ("INV-0042", Decimal(24), at(4), True)


def test_why_it_stopped_and_the_next_step(store: Store) -> None:
    stops = view(store).stopped
    assert [stop.why for stop in stops] == [
        "A write was refused.",
        "record_payment in books was refused: The account is closed.",
    ]
    assert stops[1].next_step == "Mend the cause, then `o2c orders retry SO-1001 'books|pay'`."


def test_a_write_without_an_answer_is_told_of() -> None:
    asked = Store()
    asked.apply([one for one in history() if one.topic == topics.COMMANDS] + [state(public())])
    (stop,) = view(asked).stopped
    assert (stop.why, stop.write) == ("upsert_invoice in books was asked for and has no answer yet.", "books|invoice")
    asked.close()


def test_what_people_hold_is_a_reason_too(store: Store) -> None:
    store.apply([entry(topics.BROADCAST, "paused/books", b'{"kind":"paused","subject":"books","value":"yes"}')])
    store.apply([entry(topics.BROADCAST, "mode/web", b'{"kind":"mode","subject":"web","value":"shadow"}')])
    assert [stop.why for stop in view(store).stopped][:2] == [
        "The flow web is in mode shadow: nothing is written.",
        "A person paused books.",
    ]
    assert view(store).systems[1].paused


def test_every_outcome_that_waits_has_words(store: Store) -> None:
    outcomes = ("", "uncertain", "stale", "deferred", "superseded", "rejected", "unsupported")
    waits = tuple(Waiting(connection="books", capability="add_note", outcome=outcome) for outcome in outcomes)
    store.apply([state(public(waiting=waits), 6)])
    assert len({stop.why for stop in view(store).stopped}) == len(outcomes)


def test_the_configured_mode_holds_until_people_say_another() -> None:
    store = Store(None, {"mode/web": "shadow"})
    assert acme(store).fact("mode", "web") == "shadow"
    store.apply([entry(topics.BROADCAST, "mode/web", b'{"kind":"mode","subject":"web","value":"live"}')])
    assert acme(store).fact("mode", "web") == "live"
    store.close()


@pytest.mark.parametrize("id_", [PAYMENT.key, PAYMENT.id, short_id(PAYMENT.key)])
def test_a_parked_object_is_found_and_told_with_the_orders_it_may_belong_to(store: Store, id_: str) -> None:
    rival = public("b" * 32, number="SO-2", shown=(), tracking_numbers=())
    store.apply([parked(), parked_look(), state(rival)])
    (found,) = acme(store).parked_as(id_)
    told = parked_view(acme(store), found)
    assert (told.amount, told.currency, told.number, told.since) == (Decimal(24), "EUR", "bank-5", at(1))
    assert [(one.order, one.why) for one in told.candidates] == [
        (KEY, "its number is named"),
        (rival.key, "the amount is the same"),
    ]
    assert store.tenant("other").parked_as(id_) == []


def test_a_document_that_names_an_order_over_another_amount_is_told_with_that_order(store: Store) -> None:
    typed = ObjectRef("books", "b", "invoice", "inv-9")
    look = event(typed, Invoice(currency="EUR", payable_amount=Decimal(25), number="INV-9"), 1)
    store.apply([state(public(payable_amount=Decimal(24))), look, parked(typed, order=KEY)])
    (found,) = acme(store).parked_as("inv-9")
    told = parked_view(acme(store), found)
    assert (told.number, told.amount, told.order) == ("INV-9", Decimal(25), KEY)
    first = told.candidates[0]
    assert (first.order, first.number, first.amount) == (KEY, "SO-1001", Decimal(24))
    assert "amounts differ" in first.why


@pytest.mark.parametrize(("word", "kind"), [("link", "adopt"), ("dismiss", "disown")])
def test_what_is_said_of_such_a_document_is_a_decision_about_its_order(store: Store, word: Word, kind: str) -> None:
    typed = ObjectRef("books", "b", "invoice", "inv-9")
    store.apply([state(public()), parked(typed, order=KEY)])
    message = said(acme(store), "inv-9", word, "SO-1001" if word == "link" else "", "ada")
    assert (message.topic, message.key, message.told.order) == (topics.DECISIONS, KEY.encode(), KEY)
    assert isinstance(message.value, Decision)
    assert (message.value.kind, message.value.object, message.value.by) == (kind, typed.key, "ada")


def test_such_a_document_may_belong_to_another_order_or_be_read_again(store: Store) -> None:
    typed = ObjectRef("books", "b", "invoice", "inv-9")
    rival = public("b" * 32, number="SO-2", shown=(), tracking_numbers=())
    store.apply([state(public()), state(rival), parked(typed, order=KEY)])
    for word, order in (("link", "SO-2"), ("release", "")):
        message = said(acme(store), "inv-9", "link" if word == "link" else "release", order, "ada")
        assert message.topic == topics.LINKS
        assert isinstance(message.value, Say)
        assert (message.value.word, message.value.order) == (word, rival.key if order else "")


def test_what_is_parked_no_more_leaves_the_list(store: Store) -> None:
    store.apply([parked()])
    assert len(acme(store).parked()) == 1
    store.apply([entry(topics.PARKED, PAYMENT.key, None)])
    assert acme(store).parked() == []


def test_lists_come_in_pages_of_one_tenant(store: Store) -> None:
    refs = [ObjectRef("books", "b", "payment", f"p{number}") for number in range(5)]
    store.apply([*(parked(ref) for ref in refs), parked(ObjectRef("other", "o", "payment", "p9"), "other")])
    first = parked_list(acme(store), "", 3)
    assert [one.object for one in first.parked] == [ref.key for ref in refs[:3]]
    second = parked_list(acme(store), first.after, 3)
    assert ([one.object for one in second.parked], second.after) == ([ref.key for ref in refs[3:]], "")


def test_conflicts_are_listed_while_there_are_any(store: Store) -> None:
    assert [(one.number, one.conflict.lost) for one in conflict_list(acme(store)).conflicts] == [("SO-1001", "b")]
    assert conflict_list(store.tenant("other")).conflicts == ()
    store.apply([state(public(), 6)])
    assert conflict_list(acme(store)).conflicts == ()


def test_what_happened_long_ago_is_forgotten_and_where_the_order_stands_is_not(store: Store) -> None:
    store.forget(at(60).timestamp())
    told = view(store)
    assert (told.hops, told.writes, told.order.number) == ((), (), "SO-1001")


def test_a_new_model_begins_empty_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    for _ in range(2):
        store = Store(path)
        assert acme(store).find("SO-1001") == []
        store.apply(history())
        store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_personal_data_of_looks_is_not_kept(tmp_path: Path) -> None:
    customer = Party(name="Grace Hopper", email="grace@navy.example")
    store = Store(tmp_path / "c.sqlite")
    store.apply([event(DEAL, Order(number="SO-1001", note="ring twice", customer=customer), 1)])
    store.close()
    kept = (tmp_path / "c.sqlite").read_bytes()
    assert b"SO-1001" in kept
    assert not any(word in kept for word in (b"Grace", b"navy.example", b"ring twice"))


def test_every_route_has_one_name() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES)
