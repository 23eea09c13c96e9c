"""When webhooks count as silent: more is found than was told, again and again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.connectors.silence import Silence
from schemas.events import ChangeEvent
from schemas.facts import Customer, Facts, Party
from schemas.refs import ObjectRef

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)


def ref(number: int) -> ObjectRef:
    return ObjectRef("shop", "1", "order", str(number))


def look(number: int, *, age: float = 300.0, facts: Facts | None = None) -> ChangeEvent:
    return ChangeEvent(
        tenant="acme", object=ref(number), facts=facts, changed_at=NOW - timedelta(seconds=age), origin="sweep"
    )


def made() -> Silence:
    """Return what an owner who began an hour ago has heard."""
    clock = [NOW.timestamp() - 3_600.0]
    silence = Silence(lambda: clock[0])
    clock[0] = NOW.timestamp()
    return silence


def swept(silence: Silence, found: int, untold: int) -> bool:
    """Let a sweep find so many changes, of which nobody told so many, and end the round."""
    for number in range(found):
        silence.found(look(number))
    for number in range(untold):
        silence.untold(ref(number))
    return silence.judged()


def test_what_nobody_tells_any_more_is_told_once() -> None:
    silence = made()
    assert [swept(silence, 10, 10), swept(silence, 0, 0)] == [True, False]


def test_one_lost_delivery_of_a_hundred_is_what_sweeps_are_for() -> None:
    silence = made()
    assert not any(swept(silence, 1_000, 10) for _ in range(100))


def test_a_shop_of_few_orders_is_heard_to_be_silent_in_the_end() -> None:
    silence = made()
    assert [swept(silence, 3, 3) for _ in range(4)] == [False, False, False, True]


def test_webhooks_that_name_objects_tell_although_no_sweep_finds_anything_then() -> None:
    silence = made()
    for _ in range(10):
        silence.told()
    assert not swept(silence, 10, 10)


def test_what_streams_say_before_the_sweep_knows_that_it_was_written_counts_and_what_they_say_late_does_not() -> None:
    silence = made()
    for number in range(10):
        silence.untold(ref(number))
    assert swept(silence, 10, 0)
    assert [swept(silence, 10, 0), swept(silence, 0, 10)] == [False, False]


def test_what_may_still_be_told_what_changed_before_the_owner_began_and_a_customer_accuse_nobody() -> None:
    silence = made()
    for number in range(20):
        silence.found(look(number, age=60.0))
        silence.found(look(number, age=4_000.0))
        silence.found(look(number, facts=Customer(party=Party(name="Ada"))))
        silence.untold(ref(number))
    assert not silence.judged()
