"""What counts as an echo: a look that shows nothing but what o2c had written there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.events import ChangeEvent, Version
from schemas.facts import Invoice
from schemas.projection import project
from schemas.state import Agreed, WriteRecord
from streams.order.echo import Echo, echoes, typed_in
from streams.order.merge import observation
from tests.unit.streams.order.sample import SHOP
from tests.unit.streams.order.states import record, ref, state

BILL = ref("books", "invoice", "1")
FACTS = Invoice(currency="EUR", payable_amount=Decimal(24), note="ring")
NEW = msgspec.structs.replace(FACTS, note="knock")


def wrote(note: str = "knock", **changes: Any) -> WriteRecord:
    """Return the record of a document whose note somebody had typed in the shop."""
    base = {name: Pair(value, value) for name, value in project(msgspec.structs.replace(FACTS, note=note)).items()}
    return record("books|document", BILL, **{"source": "shop", "outcome": "confirmed", "base": base, **changes})


def told(facts: Invoice = NEW, seq: int = 9, **changes: Any) -> ChangeEvent:
    version = Version(read=True, epoch=1, seq=seq)
    return ChangeEvent(**{"tenant": "acme", "object": BILL, "facts": facts, "version": version, **changes})


def heard(event: ChangeEvent, *writes: WriteRecord, known: ChangeEvent | None = None) -> list[Echo]:
    """Return the echoes of *event*, told of a document that *writes* had changed and that looked as *known*."""
    looks = [] if known is None else [observation(known)]
    before = state(*looks, *writes)
    return list(echoes(before, state(observation(event), *writes), [event]))


def test_what_was_written_and_nothing_else_is_an_echo_of_where_it_was_typed() -> None:
    assert heard(told(), wrote(), known=told(FACTS, 5)) == [Echo("shop", "books")]
    assert heard(told(), wrote()) == [Echo("shop", "books")], "the first look at it"


@pytest.mark.parametrize(
    "event", [told(origin="write"), msgspec.structs.replace(told(), facts=None, presence="deleted")]
)
def test_the_answer_to_a_write_and_a_deletion_are_none(event: ChangeEvent) -> None:
    assert heard(event, wrote(), known=told(FACTS, 5)) == []


def test_what_nobody_wrote_is_somebodys_edit() -> None:
    assert heard(told(), wrote("bell"), known=told(FACTS, 5)) == []
    both = msgspec.structs.replace(NEW, po_number="P-7")
    assert heard(told(both), wrote(base={"note": Pair("knock", "knock")}), known=told(FACTS, 5)) == []
    assert heard(told(), wrote(base={"po_number": Pair("P-7", "P-7")}), known=told(FACTS, 5)) == []


def test_several_writes_may_explain_it_together_and_the_first_change_names_the_source() -> None:
    both = msgspec.structs.replace(NEW, po_number="P-7")
    one = wrote(base={"note": Pair("knock", "knock")})
    two = record("books|status", BILL, source="crm", outcome="confirmed", base={"po_number": Pair("P-7", "P-7")})
    assert heard(told(both), one, two, known=told(FACTS, 5)) == [Echo("shop", "books")]
    assert heard(told(both), two, one, known=told(FACTS, 5)) == [Echo("shop", "books")]


def test_until_its_answer_a_write_may_be_what_made_any_field_that_it_asked_for() -> None:
    open_ = wrote(outcome=None, base={}, asked=("note",))
    assert heard(told(), open_, known=told(FACTS, 5)) == [Echo("shop", "books")]
    assert heard(told(), wrote(base={}, asked=("note",)), known=told(FACTS, 5)) == [], "it was answered otherwise"
    assert heard(told(), wrote(outcome=None, base={}, asked=("email",)), known=told(FACTS, 5)) == []


def test_the_same_again_is_an_echo_only_where_nobody_looked_since_the_last_write() -> None:
    assert heard(told(seq=9), wrote(look=(1, 5)), known=told(seq=5)) == [Echo("shop", "books")]
    assert heard(told(seq=9), wrote(look=(1, 4)), known=told(seq=5)) == []
    newest = record("books|status", BILL, source="crm", look=(1, 7))
    assert heard(told(seq=9), wrote(look=(1, 5)), newest, known=told(seq=6)) == [Echo("crm", "books")]
    hook = msgspec.structs.replace(told(), version=Version(native=1))
    assert heard(told(seq=9), wrote(look=(1, 5)), known=hook) == [], "a webhook is no look"


def test_only_writes_of_which_the_source_was_known_before_count() -> None:
    assert heard(told(), wrote(source=""), known=told(FACTS, 5)) == []
    assert heard(told(), record("books|document", None, source="shop", base=wrote().base)) == []
    fresh = list(echoes(state(), state(observation(told()), wrote()), [told()]))
    assert fresh == [], "the write is told of together with the look"
    elsewhere = record("crm|order", ref("crm", "order", "1"), source="shop", base=wrote().base)
    assert heard(told(), elsewhere, known=told(FACTS, 5)) == []


def test_each_event_is_looked_at() -> None:
    before = state(observation(told(FACTS, 5)), wrote())
    after = state(observation(told()), wrote())
    assert len(list(echoes(before, after, [told(origin="write"), told(), told()]))) == 2


def test_a_value_was_typed_where_the_agreed_one_was() -> None:
    agreed = {"note": Agreed("x", "crm@c/order/7"), "po_number": Agreed("y", "crm@c/order/7")}
    mixed = {**agreed, "po_number": Agreed("y", "books@b/invoice/1")}
    assert typed_in(("note", "po_number"), agreed, SHOP) == "crm"
    assert typed_in(("note",), mixed, SHOP) == "crm"
    assert typed_in(("note", "po_number"), mixed, SHOP) == "shop", "two systems"
    assert typed_in(("note", "payable_amount"), agreed, SHOP) == "shop", "no agreement"
    assert typed_in((), agreed, SHOP) == "shop"
    assert typed_in(("note",), {"note": Agreed("x", "")}, SHOP) == "shop", "a person's decision"
