"""An invoice that QuickBooks mails to the customer: once, whatever happened on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.core.errors import RejectedError
from schemas.commands import Command
from schemas.facts import Invoice
from tests.platforms.quickbooks_online.rig import ADA, Rig, billed, command, invoice, stopped

pytestmark = pytest.mark.sandbox


def asked(**more: Any) -> Command:
    return command("request_payment", invoice(document="payment_request"), **more)


def mails(rig: Rig) -> list[str]:
    return [request.params["sendTo"] for request in rig.writes if request.path.endswith("/send")]


async def test_a_request_makes_the_invoice_and_mails_it(rig: Rig) -> None:
    made = await rig.write(asked())
    assert isinstance(made.facts, Invoice)
    assert (made.type, made.mark, str(made.facts.payable_amount)) == ("Invoice", asked().mark, "15.41")
    assert mails(rig) == [ADA.email]
    assert rig.row("Invoice", made.id)["EmailStatus"] == "EmailSent"


async def test_a_request_for_a_document_that_is_there_mails_that(rig: Rig) -> None:
    first = await billed(rig)
    made = await rig.write(asked(links={"invoice": first.id}))
    assert made.id == first.id
    assert mails(rig) == [ADA.email]


async def test_a_change_is_written_and_mails_nobody(rig: Rig) -> None:
    made = await rig.write(asked())
    facts = invoice(document="payment_request", note="please pay")
    more = {"kind": "set", "bound_id": made.id, "changes": ("note",), "presence": "present"}
    changed = await rig.write(command("request_payment", facts, **more))
    assert isinstance(changed.facts, Invoice)
    assert (changed.id, changed.facts.note) == (made.id, "please pay")
    assert len(mails(rig)) == 1


async def test_a_try_that_died_before_the_mail_is_completed_and_begun_no_second_time(rig: Rig) -> None:
    assert await rig.run(rig.sink.probe(asked())) is None
    await stopped(rig, rig.sink.write(asked()), "dying", "send")
    rig.sandbox._replies.clear()
    begun = await rig.run(rig.sink.probe(asked()))
    assert begun is not None
    assert (begun.id, begun.complete) == (rig.books("invoice")[0]["id"], False)

    done = await rig.write(asked())

    assert (done.id, len(rig.books("invoice")), mails(rig)) == (begun.id, 1, [ADA.email])
    found = await rig.run(rig.sink.probe(asked()))
    assert found is not None
    assert found.complete
    assert (await rig.write(asked())).id == begun.id
    assert mails(rig) == [ADA.email]


async def test_without_an_address_nothing_is_made(rig: Rig) -> None:
    nobody = command("request_payment", invoice(customer=msgspec.structs.replace(ADA, email="")))
    with pytest.raises(RejectedError, match="no e-mail address"):
        await rig.write(nobody)
    assert rig.books("invoice") == []
