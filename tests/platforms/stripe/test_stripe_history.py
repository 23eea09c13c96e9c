"""What is older than Stripe's events: walked list by list, once at first and again where events are lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from app.core.errors import AuthError
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.facts import Payment
from streams.sources.base import Page
from streams.sources.platforms.stripe import StripeSource
from tests.platforms.conversation import answer, converse
from tests.platforms.stripe.plain import AUTH, CONNECTION, SINK, SOURCE, command, reply

NOW = datetime(2026, 11, 27, tzinfo=UTC)
LISTS = ("invoices", "credit_notes", "payment_intents", "invoice_payments", "charges", "refunds", "disputes", "payouts")
NOTHING = reply({"data": [], "has_more": False})


def _walk(name: str, cursor: str, now: datetime = NOW, source: StripeSource = SOURCE) -> tuple[list[str], list[Page]]:
    """Return which paths a pass asks, and its pages, where there is nothing."""
    paths, pages = [], [Page(cursor=cursor, more=True)]
    while pages[-1].more:
        requests, page = answer(source.sweep(name, pages[-1].cursor, now), NOTHING)
        paths += [request.path for request in requests]
        pages.append(page)
    return paths, pages[1:]


def test_history_is_walked_once_and_only_then_is_anything_complete() -> None:
    paths, pages = _walk("history", "")
    assert paths == [f"/v1/{name}" for name in LISTS]
    assert [page.complete_up_to for page in pages] == [None] * 7 + [NOW]
    later = NOW + timedelta(days=90)
    ((), page) = answer(SOURCE.sweep("history", pages[-1].cursor, later))
    assert (page.complete_up_to, page.more) == (later, False)


@pytest.mark.parametrize("days", [31, 60, 400])
def test_a_pause_longer_than_events_are_kept_is_walked_through_the_lists_first(days: int) -> None:
    paths, pages = _walk("events", (NOW - timedelta(days=days)).isoformat())
    assert paths == [*(f"/v1/{name}" for name in LISTS), "/v1/events"]
    assert [page.complete_up_to for page in pages] == [None] * 8 + [NOW]


def test_a_pass_that_was_left_in_the_middle_for_a_month_begins_with_the_lists() -> None:
    begun = (NOW - timedelta(days=40)).isoformat() + f"|{int(NOW.timestamp()) - 45 * 86_400}|64|"
    assert _walk("events", begun)[0][0] == "/v1/invoices"


@pytest.mark.parametrize("days", [0, 1, 28])
def test_a_shorter_pause_asks_the_events_alone(days: int) -> None:
    assert _walk("events", (NOW - timedelta(days=days)).isoformat())[0] == ["/v1/events"]


@pytest.mark.parametrize(
    ("since", "second"), [("2026-01-01", 1767222000), ("2026-01-01T00:00:00Z", 1767225600), ("", None)]
)
def test_it_goes_back_to_the_day_that_the_connection_names_where_the_account_is(since: str, second: int | None) -> None:
    options = {"since": since} if since else {}
    source = StripeSource(msgspec.structs.replace(CONNECTION, options=options, time_zone="Europe/Berlin"))
    (request,), _ = answer(source.sweep("history", "", NOW), NOTHING)
    assert request.params.get("created[gte]") == (None if second is None else str(second))


def test_a_version_without_a_list_goes_on_with_the_next() -> None:
    missing = reply({"error": {"message": "Unrecognized request URL"}}, 404)
    _, page = answer(SOURCE.sweep("history", "lists|2026-11-27T00:00:00+00:00|3|", NOW), missing)
    assert page.cursor == "lists|2026-11-27T00:00:00+00:00|4|"


def test_a_key_that_sees_no_disputes_walks_on_and_one_that_sees_no_invoices_does_not() -> None:
    shut = reply({"error": {"type": "invalid_request_error"}}, 403)
    _, page = answer(SOURCE.sweep("history", "lists|2026-11-27T00:00:00+00:00|6|", NOW), shut)
    assert page.cursor == "lists|2026-11-27T00:00:00+00:00|7|"
    with pytest.raises(AuthError):
        answer(SOURCE.sweep("history", "", NOW), shut)


@pytest.fixture
async def account() -> AsyncIterator[tuple[StripeSandbox, str]]:
    running = StripeSandbox(quota_scale=100)
    yield running, await running.start()
    await running.stop()


@pytest.mark.sandbox
async def test_every_object_of_an_old_account_is_hinted_at_once_whatever_its_list(
    account: tuple[StripeSandbox, str],
) -> None:
    running, url = account
    acts = running.acts
    bills = [acts.type_invoice({"currency": "EUR", "lines": [{"title": "x", "price": 9}]}) for _ in range(130)]
    taken = acts.charge({"amount": "9", "currency": "EUR", "invoice": bills[0]["id"]})
    back = acts.refund({"payment_intent": taken["id"], "amount": "1"})
    dispute, payout = acts.dispute({"payment_intent": taken["id"]}), acts.payout({"amount": "5", "currency": "EUR"})
    money = Payment(amount=Decimal(9), currency="EUR", paid_at=NOW)
    links = {"invoice": bills[1]["id"]}
    record = await converse(SINK.write(command("record_payment", money, links=links)), url, AUTH)
    note = acts.credit({"invoice": bills[2]["id"], "amount": "2"})
    found, page = list[str](), Page(more=True)
    while page.more:
        page = await converse(SOURCE.sweep("history", page.cursor, NOW), url, AUTH)
        found += [hint.object.id for hint in page.hints]
    there = {one["id"] for one in (*bills, taken, back, dispute, payout, note)} | {record.id}
    assert (set(found), page.complete_up_to) == (there, NOW)
    assert [found.count(id_) for id_ in (bills[0]["id"], back["id"], dispute["id"], record.id)] == [1] * 4
