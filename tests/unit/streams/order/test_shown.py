"""What a system shows of a field: the newest look, or what our last write of that very field made."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from schemas.commands import Pair, Result
from schemas.events import ChangeEvent, Version
from schemas.facts import Invoice
from schemas.refs import ObjectRef
from schemas.state import OrderState, WriteRecord
from streams.order.merge import merge, merge_result
from streams.order.plan.desk import shown

REF = ObjectRef("books", "b", "invoice", "1")
RECORD = WriteRecord(
    key="w", connection="books", account="b", capability="upsert_invoice", canonical="c", id="i", bound=REF
)


def _look(seq: int, total: str, note: str) -> ChangeEvent:
    facts = Invoice(currency="EUR", payable_amount=Decimal(total), note=note)
    return ChangeEvent(tenant="t", object=REF, facts=facts, version=Version(read=True, epoch=1, seq=seq))


def _wrote(seq: int, **made: str) -> Result:
    return Result(
        command=f"c{seq}", order="o", write="w", tenant="t", connection="books", account="b",
        capability="upsert_invoice", outcome="confirmed", look=(1, seq), epoch=1, offset=seq,
        made={name: Pair(value, value) for name, value in made.items()},
    )  # fmt: skip


def _after(*inputs: ChangeEvent | Result) -> dict[str, str]:
    state = OrderState(key="o", tenant="t", writes={"w": RECORD})
    for one in inputs:
        state = (merge_result(state, one) if isinstance(one, Result) else merge(state, one)) or state
    stored = msgspec.json.decode(msgspec.json.encode(state), type=OrderState)
    assert stored == state
    return dict(shown(stored, REF, stored.writes["w"]) or {})


def test_an_older_write_of_a_field_does_not_hide_a_newer_look_at_it() -> None:
    found = _after(_wrote(1, payable_amount="100.00", note="a"), _look(2, "120.00", "a"), _wrote(3, note="b"))
    assert (found["payable_amount"], found["note"]) == ("120.00", "b")


def test_a_look_before_both_writes_shows_neither() -> None:
    found = _after(_look(1, "90.00", ""), _wrote(2, payable_amount="100.00"), _wrote(3, note="b"))
    assert (found["payable_amount"], found["note"]) == ("100.00", "b")


def test_a_field_that_was_written_again_counts_from_then() -> None:
    found = _after(
        _wrote(1, payable_amount="100.00"),
        _wrote(2, note="b"),
        _look(3, "90.00", "b"),
        _wrote(4, payable_amount="95.00"),
    )
    assert (found["payable_amount"], found["note"]) == ("95.00", "b")


def test_a_look_after_the_last_write_is_believed_whole() -> None:
    found = _after(_wrote(1, payable_amount="100.00"), _wrote(2, note="b"), _look(3, "90.00", "c"))
    assert (found["payable_amount"], found["note"]) == ("90.00", "c")


def test_each_field_counts_from_its_own_write_however_many_follow() -> None:
    found = _after(
        _wrote(1, payable_amount="100.00"), _wrote(3, note="b"), _wrote(5, po_number="P"), _look(2, "120.00", "a")
    )
    assert (found["payable_amount"], found["note"]) == ("120.00", "b")


def test_the_look_that_ended_a_write_is_believed_about_its_fields() -> None:
    found = _after(_wrote(3, payable_amount="100.00"), _look(3, "99.00", "a"), _wrote(5, note="b"))
    assert (found["payable_amount"], found["note"]) == ("99.00", "b")
