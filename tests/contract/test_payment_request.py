"""A flow that asks its customers for payment: the planner's own command makes a document, a changed order amends it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app import platforms
from app.render.studio import studio
from tests.platforms.planned import Planned, order

pytestmark = pytest.mark.sandbox
MENDED = ("xero", "quickbooks_online")
"""Platforms whose sink takes the planner's command; each that has `request_payment` belongs here."""
ASKS = "request_payment"
WRITTEN = {slug: platforms.load(slug).platform for slug in platforms.slugs()}
WITHOUT = [slug for slug, platform in WRITTEN.items() if platform.capabilities and ASKS not in platform.capabilities]


@pytest.mark.parametrize("slug", MENDED)
async def test_a_request_makes_a_document_and_a_changed_order_amends_it_without_a_second_mail(slug: str) -> None:
    async with studio(slug) as bench:
        flow = Planned(bench, "payment_request", (ASKS,))
        made = [one for one in await flow.see(order("10.00", 1)) if one.capability == ASKS]
        assert [one.outcome for one in made] == ["confirmed"], made
        document = made[0].bound
        assert document is not None
        assert await flow.total(document) == Decimal(10)
        before = len(flow.writes(ASKS))
        changed = [one for one in await flow.see(order("12.00", 2)) if one.capability == ASKS]
        assert [one.outcome for one in changed] == ["confirmed"], changed
        assert await flow.total(document) == Decimal(12)
        assert [call for call in flow.writes(ASKS)[before:] if is_mail(call)] == []


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
