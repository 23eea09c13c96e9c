"""An invoice is mailed once, whether Xero marks what the API mails as sent or leaves that to its client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.core.talk import Request, Response
from tests.platforms.xero.company import INVOICE, Company, command, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture(params=[True, False])
async def company(request: pytest.FixtureRequest) -> AsyncIterator[Company]:
    async with opened() as found:
        found.sandbox.books_of.marks_mailed = request.param
        yield found


def mails(company: Company) -> int:
    return sum(
        note["Changes"] == "Invoice sent" for notes in company.sandbox.books_of.history.values() for note in notes
    )


async def test_what_was_mailed_is_marked_as_sent_so_that_whoever_asks_later_knows(company: Company) -> None:
    asked = command("request_payment", INVOICE)
    written = await company.talk(company.sink.write(asked))
    assert company.sandbox.books_of.invoices[written.id]["SentToContact"]
    found = await company.talk(company.sink.probe(asked))
    assert found is not None
    assert (found.id, found.complete, mails(company)) == (written.id, True, 1)
    assert [request.once for request in company.requests if request.step == "email"] == [True]


async def test_an_invoice_that_takes_no_change_any_more_was_mailed_all_the_same(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, send = await company.write("upsert_invoice", INVOICE), company.send

    async def and_voided_at_once(request: Request) -> Response:
        reply = await send(request)
        if request.step == "email":
            company.sandbox.verbs["void_invoice"]({"id": made.id})
        return reply

    monkeypatch.setattr(company, "send", and_voided_at_once)
    written = await company.write("request_payment", INVOICE, n=2, links={"invoice": made.id})
    assert (written.id, mails(company)) == (made.id, 1)
