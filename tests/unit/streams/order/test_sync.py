"""A person asks for one order to be read and planned again."""

from __future__ import annotations

from schemas.decisions import Decision
from schemas.events import SYNC, Hint
from schemas.state import OrderState
from streams.order.step import Stepped, step
from tests.unit.streams.order.sample import KEY, NOW, WORLD
from tests.unit.streams.order.states import giver, record, ref, state

INVOICE = ref("books", "invoice", "i1")
KNOWN = state(giver(), record("books|upsert_invoice", INVOICE, outcome="confirmed"))


def _synced(known: OrderState, tenant: str = "acme") -> Stepped:
    return step(known, [Decision(id="d1", tenant=tenant, order=KEY, kind="sync")], WORLD, NOW)


def test_everything_seen_and_written_is_read_again_and_planned_at_once() -> None:
    synced = _synced(KNOWN)
    assert synced.hints == tuple(Hint(tenant="acme", object=one, reason=SYNC) for one in (INVOICE, giver().object))
    assert synced.changed
    assert synced.public is not None


def test_a_decision_heard_before_reads_nothing_again() -> None:
    assert _synced(_synced(KNOWN).state).hints == ()


def test_another_tenants_word_reads_nothing() -> None:
    assert _synced(KNOWN, "other").hints == ()
