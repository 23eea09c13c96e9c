"""Routes, and rows of the link table, message by message and field by field."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Customer, Facts, Invoice, Order, Party, Payout
from schemas.links import Answer, Ask, Bind, LinkRow, Place, Placed
from schemas.refs import ObjectRef, order_key
from streams.order.link import PATIENCE, Linked, anchor_key, binds, is_nobodys, on_message, place, route
from streams.order.world import World
from tests.unit.streams.order.rows import BILL, OTHER, PAID, PAY, answer, arrived, on, seen, waiting
from tests.unit.streams.order.sample import KEY, NOW, PLATFORMS, SHOP, WORLD
from tests.unit.streams.order.states import OTHER_ORDER, giver, look, mark, record, ref, state

ORPHANS = msgspec.structs.replace(
    WORLD,
    facts=msgspec.structs.replace(
        WORLD.facts, flows=(msgspec.structs.replace(WORLD.facts.flows[0], orphan="create_order"),)
    ),
)
_KINDS = {kind: kind for kind in ("order", "invoice", "payment", "customer", "payout")}
EVERYTHING = msgspec.structs.replace(
    WORLD, platforms={slug: msgspec.structs.replace(known, objects=_KINDS) for slug, known in PLATFORMS.items()}
)


# ----------------------------------------------------------------------------------------------- the route


@pytest.mark.parametrize(
    ("type_", "anchors", "nobodys"),
    [
        ("customer", (), True),
        ("payout", (), True),
        ("payment", (), False),
        ("order", (), False),
        ("customer", (on(BILL),), False),
        ("payout", (on(BILL),), False),
    ],
)
def test_only_a_customer_or_a_payout_that_names_no_order_is_nobodys(
    type_: str, anchors: tuple[Anchor, ...], *, nobodys: bool
) -> None:
    assert is_nobodys(seen(*anchors, object=ref("books", type_, "1")), EVERYTHING) is nobodys


@pytest.mark.parametrize(
    ("event", "order"),
    [
        (seen(order="known"), "known"),
        (seen(object=SHOP, facts=Order()), KEY),
        (seen(object=SHOP, facts=Order(), mirror_of=mark(OTHER_ORDER)), OTHER_ORDER),
        (seen(Anchor("order", SHOP), object=ref("shop", "payment", "p")), KEY),
        (seen(Anchor("object", SHOP), object=ref("shop", "payment", "p")), ""),
        (seen(Anchor("order", SHOP)), ""),
        (seen(Anchor("order", ref("books", "order", "1"))), ""),
        (seen(on(BILL), Anchor("order", SHOP), object=ref("shop", "payment", "p")), ""),
        (seen(object=BILL, facts=Invoice(), mirror_of=mark()), KEY),
        (seen(object=BILL, facts=Invoice()), ""),
        (seen(mirror_of=mark()), ""),
        (seen(object=ref("books", "credit", "c"), mirror_of=mark()), ""),
        (seen(object=ref("shop", "shipment", "s"), mirror_of=mark()), KEY),
        (seen(tenant="other", object=SHOP, facts=Order()), ""),
        (seen(Anchor("order", SHOP), tenant="other", object=ref("shop", "payment", "p")), ""),
    ],
)
def test_an_event_that_tells_its_order_goes_straight_there(event: ChangeEvent, order: str) -> None:
    assert route(event, WORLD) == order


@pytest.mark.parametrize(
    ("facts", "world", "alone"),
    [
        (Invoice(), ORPHANS, order_key("acme", BILL)),
        (Invoice(), WORLD, ""),
    ],
)
def test_what_cannot_tell_is_placed_at_its_home(facts: Facts, world: World, alone: str) -> None:
    event = seen(object=BILL, facts=facts)
    assert place(event, world) == Place(key=BILL.key, event=event, alone=alone)
    assert place(seen(), ORPHANS) == Place(key=PAY.key, event=seen(), alone="")


def test_an_anchor_is_a_number_of_the_company_or_an_object() -> None:
    assert anchor_key("acme", Anchor("number", ObjectRef("", "", "number", "SO-1"))) == "number/acme/so-1"
    assert anchor_key("acme", on(BILL)) == anchor_key("acme", Anchor("order", BILL)) == BILL.key


def test_an_order_claims_its_objects_its_writes_and_its_number() -> None:
    known = state(giver(), look(PAID, "books", "s", share="3"), record("books|document", BILL), record("crm|order"))
    keys = [BILL.key, "number/acme/so-1", SHOP.key]
    assert binds(known, WORLD) == tuple(Bind(key=key, order=KEY, version=1) for key in keys)
    unnumbered = state(giver(number=""))
    assert [bind.key for bind in binds(unnumbered, WORLD)] == [SHOP.key]
    assert [bind.key for bind in binds(state(look(PAID, "books")), WORLD)] == ["books@b/payment/1"]
    taken = msgspec.structs.replace(unnumbered, aliases=("a" * 32, "b" * 32))
    assert [bind.version for bind in binds(taken, WORLD)] == [3]


# ------------------------------------------------------------------------------------- binding and asking


def test_a_claim_is_told_to_all_who_asked() -> None:
    row = LinkRow(key=BILL.key, askers=("a", "b"), waiting_since=NOW, asked_source=True, listed=True)
    bound = LinkRow(key=BILL.key, askers=("a", "b"), order="o1", version=2)
    answers = tuple(Answer(key=asker, anchor=BILL.key, order="o1", version=2) for asker in "ab")
    assert on_message(row, Bind(key=BILL.key, order="o1", version=2), NOW) == Linked(row=bound, messages=answers)


@pytest.mark.parametrize(
    ("order", "version", "wins"),
    [("o1", 1, False), ("o0", 1, False), ("o2", 1, True), ("o0", 2, True), ("o9", 0, False)],
)
def test_the_higher_version_then_the_higher_order_claims(order: str, version: int, *, wins: bool) -> None:
    row = LinkRow(key=BILL.key, order="o1", version=1)
    linked = on_message(row, Bind(key=BILL.key, order=order, version=version), NOW)
    assert linked.row == (LinkRow(key=BILL.key, order=order, version=version) if wins else row)


def test_a_repeated_claim_is_told_to_nobody() -> None:
    row = LinkRow(key=BILL.key, askers=("a",), order="o1", version=2)
    assert on_message(row, Bind(key=BILL.key, order="o1", version=2), NOW) == Linked(row=row)


def test_a_claim_that_is_given_up_leaves_the_object_waiting() -> None:
    row = waiting(order="o1", version=1)
    assert on_message(row, Bind(key=PAY.key, order="", version=2), NOW).row == msgspec.structs.replace(
        row, order="", version=2
    )


def test_who_asks_is_answered_at_once_and_remembered_once() -> None:
    row = LinkRow(key=BILL.key, order="o1", version=3, askers=("a",))
    told = (Answer(key="b", anchor=BILL.key, order="o1", version=3),)
    again = LinkRow(key=BILL.key, order="o1", version=3, askers=("a", "b"))
    assert on_message(row, Ask(key=BILL.key, asker="b"), NOW) == Linked(row=again, messages=told)
    assert on_message(again, Ask(key=BILL.key, asker="b"), NOW) == Linked(row=again, messages=told)


# ------------------------------------------------------------------------------------------------ arriving


def test_a_first_look_asks_its_anchors_and_waits() -> None:
    event = seen(on(OTHER, "1"), on(BILL, "2"))
    row = LinkRow(key=PAY.key, event=event, waiting_since=NOW)
    asks = tuple(Ask(key=key, asker=PAY.key) for key in (BILL.key, OTHER.key))
    linked = on_message(LinkRow(key=PAY.key), arrived(event), NOW)
    assert linked == Linked(row=row, messages=asks, due_at=NOW + PATIENCE)


def test_a_look_without_anchors_waits_as_well_unless_nobody_must_have_it() -> None:
    linked = on_message(LinkRow(key=PAY.key), arrived(seen()), NOW)
    assert linked == Linked(row=waiting(), due_at=NOW + PATIENCE)
    for facts in (Customer(party=Party()), Payout(amount=Decimal(1), currency="EUR")):
        event = seen(facts=facts)
        assert on_message(LinkRow(key=PAY.key), arrived(event), NOW) == Linked(row=LinkRow(key=PAY.key, event=event))
        asking = seen(on(BILL), facts=facts)
        assert on_message(LinkRow(key=PAY.key), arrived(asking), NOW).due_at == NOW + PATIENCE
    taken = LinkRow(key=PAY.key, order="o1")
    assert on_message(taken, arrived(seen()), NOW).due_at is None


def test_a_repeated_look_changes_nothing() -> None:
    row = waiting(on(BILL))
    later = NOW + timedelta(minutes=1)
    assert on_message(row, arrived(seen(on(BILL))), later) == Linked(row=row, due_at=NOW + PATIENCE)


def test_a_newer_look_keeps_the_answers_that_it_still_asks_for() -> None:
    known = {BILL.key: answer(BILL), OTHER.key: answer(OTHER)}
    row = waiting(on(BILL), on(OTHER), answers=known)
    third = ref("books", "invoice", "3")
    event = seen(on(BILL), on(third), native=2)
    linked = on_message(row, arrived(event), NOW + timedelta(minutes=1))
    wanted = msgspec.structs.replace(row, event=event, answers={BILL.key: known[BILL.key]})
    asks = (Ask(key=third.key, asker=PAY.key),)
    assert linked == Linked(row=wanted, messages=asks, due_at=NOW + PATIENCE)


def test_a_newer_look_with_the_same_anchors_is_kept() -> None:
    row = waiting(on(BILL), answers={BILL.key: answer(BILL)})
    event = seen(on(BILL), native=2, facts=msgspec.structs.replace(PAID, amount=Decimal(51)))
    assert on_message(row, arrived(event), NOW).row.event == event


def test_a_number_that_somebody_typed_finds_the_order() -> None:
    number = Anchor("number", ObjectRef("", "", "number", "SO-1"))
    asked = on_message(LinkRow(key=PAY.key), arrived(seen(number)), NOW)
    assert asked.messages == (Ask(key="number/acme/so-1", asker=PAY.key),)
    told = Answer(key=PAY.key, anchor="number/acme/so-1", order="o1", version=1)
    assert [one.order for one in on_message(asked.row, told, NOW).placed] == ["o1"]


def test_an_older_look_never_replaces_a_newer_one() -> None:
    newer = msgspec.structs.replace(waiting(), event=seen(on(BILL), native=5))
    linked = on_message(newer, arrived(seen(native=2)), NOW)
    assert linked.row.event == newer.event


def test_a_deletion_is_passed_on_with_what_was_known() -> None:
    row = waiting(on(BILL), answers={BILL.key: answer(BILL, "o1", 1)}, shares={"o1": ""}, share_version=1)
    gone = seen(facts=None, presence="deleted", version=Version(0, read=True, epoch=1, seq=9))
    linked = on_message(row, arrived(gone), NOW)
    assert linked.row.event == gone
    (told,) = linked.placed
    assert (told.order, told.event.presence, told.share) == ("o1", "deleted", "0")


def test_what_it_makes_alone_is_remembered() -> None:
    row = waiting(on(BILL))
    linked = on_message(row, arrived(seen(on(BILL)), "mine"), NOW)
    assert linked == Linked(row=msgspec.structs.replace(row, alone="mine"), due_at=NOW + PATIENCE)


# ----------------------------------------------------------------------------------------------- answering


def test_once_all_have_answered_each_order_gets_its_share() -> None:
    row = waiting(on(BILL, "30.00"), on(OTHER, "20.00"), answers={OTHER.key: answer(OTHER, "o2", 1)}, listed=True)
    linked = on_message(row, answer(BILL, "o1", 1), NOW)
    event = row.event
    assert event is not None
    assert linked.placed == tuple(
        Placed(order=order, event=msgspec.structs.replace(event, order=order), share=share, share_version=1)
        for order, share in (("o1", "30.00"), ("o2", "20.00"))
    )
    assert linked.row == msgspec.structs.replace(
        row,
        answers={BILL.key: answer(BILL, "o1", 1), OTHER.key: answer(OTHER, "o2", 1)},
        shares={"o1": "30.00", "o2": "20.00"},
        share_version=1,
        waiting_since=None,
        listed=False,
    )
    assert (linked.messages, linked.due_at) == ((), None)


def test_until_all_have_answered_nothing_is_told() -> None:
    row = waiting(on(BILL, "30.00"), on(OTHER, "20.00"))
    linked = on_message(row, answer(BILL, "o1", 1), NOW)
    assert linked == Linked(
        row=msgspec.structs.replace(row, answers={BILL.key: answer(BILL, "o1", 1)}), due_at=NOW + PATIENCE
    )


@pytest.mark.parametrize(("order", "version"), [("o1", 1), ("o0", 1), ("o9", 0)])
def test_an_old_or_repeated_answer_changes_nothing(order: str, version: int) -> None:
    row = waiting(on(BILL), answers={BILL.key: answer(BILL, "o1", 1)})
    assert on_message(row, answer(BILL, order, version), NOW) == Linked(row=row, due_at=NOW + PATIENCE)


def test_an_answer_to_nobody_changes_nothing() -> None:
    row = LinkRow(key=PAY.key)
    assert on_message(row, answer(BILL, "o1", 1), NOW) == Linked(row=row)


@pytest.mark.parametrize(
    ("anchors", "shares"),
    [
        ((on(BILL),), {"o1": None}),
        ((on(BILL), on(OTHER)), {"o1": None}),
        ((on(ref("books", "invoice", "3")), on(OTHER)), {"o2": None}),
        ((on(BILL, "1.10"), on(OTHER)), {"o1": "1.10"}),
        ((on(BILL, "1.10"), on(ref("books", "invoice", "4"), "2.20")), {"o1": "3.30"}),
        ((on(ref("books", "invoice", "3"), "5"), on(OTHER, "2")), {"o2": "2"}),
        ((on(ref("books", "invoice", "3")),), {}),
    ],
)
def test_how_an_object_is_shared_out(anchors: tuple[Anchor, ...], shares: dict[str, str | None]) -> None:
    knows = {"1": "o1", "2": "o2", "3": "", "4": "o1"}
    told = [answer(anchor.ref, knows[anchor.ref.id], 1) for anchor in anchors]
    row = waiting(*anchors)
    for one in told:
        linked = on_message(row, one, NOW)
        row = linked.row
    assert {one.order: one.share for one in linked.placed} == shares
    assert (row.waiting_since is None) is bool(shares)


def test_an_order_that_lost_it_is_told_so_and_the_version_grows() -> None:
    row = waiting(on(BILL, "5"), shares={"o1": "5", "o3": "0"}, share_version=4, waiting_since=None)
    linked = on_message(row, answer(BILL, "o2", 2), NOW)
    assert [(one.order, one.share, one.share_version) for one in linked.placed] == [
        ("o1", "0", 5),
        ("o2", "5", 5),
        ("o3", "0", 5),
    ]
    assert linked.row.shares == {"o1": "0", "o2": "5", "o3": "0"}


def test_the_same_shares_keep_their_version() -> None:
    row = waiting(on(BILL, "5"), shares={"o1": "5", "o3": "0"}, share_version=4)
    linked = on_message(row, answer(BILL, "o1", 2), NOW)
    assert {one.share_version for one in linked.placed} == {4}


def test_a_mirror_that_a_person_moved_is_told_to_the_order_of_its_mark() -> None:
    event = seen(on(BILL), mirror_of=mark(OTHER_ORDER))
    linked = on_message(waiting(event=event), answer(BILL, "o1", 1), NOW)
    assert {one.order: one.share for one in linked.placed} == {"o1": None, OTHER_ORDER: "0"}
    nowhere = on_message(waiting(event=event), answer(BILL, "", 1), NOW)
    assert nowhere.placed == ()
    assert nowhere.due_at == NOW + PATIENCE
