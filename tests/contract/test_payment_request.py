"""A flow that asks its customers for payment: the planner's own command makes a document, a changed order amends it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app import platforms
from app.render.studio import studio
from schemas.commands import Result
from schemas.facts import Invoice
from tests.platforms.planned import Planned, order

pytestmark = pytest.mark.sandbox
MENDED = ("xero", "quickbooks_online", "stripe")
"""Platforms whose sink takes the planner's command; each that has `request_payment` belongs here."""
FIXED = tuple(slug for slug in MENDED if platforms.load(slug).platform.fixed_amounts)
"""Those of them whose document cannot change any more: it is voided, and the customer is asked by another one."""
ASKS = "request_payment"
WRITTEN = {slug: platforms.load(slug).platform for slug in platforms.slugs()}
WITHOUT = [slug for slug, platform in WRITTEN.items() if platform.capabilities and ASKS not in platform.capabilities]


def _asked(results: list[Result]) -> list[Result]:
    return [one for one in results if one.capability == ASKS]


@pytest.mark.parametrize("slug", [slug for slug in MENDED if slug not in FIXED])
async def test_a_request_makes_a_document_and_a_changed_order_amends_it_without_a_second_mail(slug: str) -> None:
    async with studio(slug) as bench:
        flow = Planned(bench, "payment_request", (ASKS,))
        made = _asked(await flow.see(order("10.00", 1)))
        assert [one.outcome for one in made] == ["confirmed"], made
        document = made[0].bound
        assert document is not None
        assert await flow.total(document) == Decimal(10)
        before = len(flow.writes(ASKS))
        changed = _asked(await flow.see(order("12.00", 2)))
        assert [one.outcome for one in changed] == ["confirmed"], changed
        assert await flow.total(document) == Decimal(12)
        assert [call for call in flow.writes(ASKS)[before:] if is_mail(call)] == []


@pytest.mark.parametrize("slug", FIXED)
async def test_a_request_that_cannot_change_is_voided_and_the_next_one_is_mailed_once(slug: str) -> None:
    """The first mail asks for what nobody owes any more: without the second one the customer could not pay."""
    async with studio(slug) as bench:
        flow = Planned(bench, "payment_request", (ASKS,))
        (made,) = _asked(await flow.see(order("10.00", 1)))
        before = len(flow.writes(ASKS))
        results = await flow.see(order("12.00", 2))
        (changed,) = _asked(results)
        assert [(one.capability, one.outcome) for one in results] == [
            ("void_invoice", "confirmed"),
            (ASKS, "confirmed"),
        ]
        assert made.bound is not None
        assert changed.bound is not None
        assert await flow.total(changed.bound) == Decimal(12)
        ended = [event.facts for event in results[0].events if event.object == made.bound]
        assert [facts.status for facts in ended if isinstance(facts, Invoice)] == ["void"]
        mails = [call for call in flow.writes(ASKS)[before:] if is_mail(call)]
        assert [changed.bound.id in mail for mail in mails] == [True]
        assert await flow.see(order("12.00", 3)) == []
        assert flow.findings == ()


def is_mail(call: str) -> bool:
    """Tell whether a call mails the customer."""
    return call.partition("?")[0].lower().endswith(("/email", "/send"))


@pytest.mark.parametrize("slug", sorted({"shopify", *WITHOUT}))
async def test_where_there_is_no_such_document_it_is_told_and_the_order_is_kept(slug: str) -> None:
    async with studio(slug) as bench:
        flow = Planned(bench, "payment_request", (ASKS,))
        done = await flow.see(order("10.00", 1))
        assert {(one.capability, one.outcome) for one in done} == {("upsert_order", "confirmed")}
        told = [one.message for one in flow.findings if one.code == "unsupported"]
        assert told == [f"{WRITTEN[slug].title} has no payment_request."]
