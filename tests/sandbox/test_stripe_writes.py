"""What our sink makes of a Stripe account, write by write: the books of the simulated one tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import stripe

from app.core.errors import ConflictError, RejectedError, UnsupportedError
from app.core.talk import Talk
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.events import Hint
from schemas.facts import Credit, Customer, Invoice, Party, Payment, Shipment
from schemas.refs import ObjectRef
from tests.platforms.stripe.account import DAY, Account, bill
from tests.platforms.stripe.plain import SINK, SOURCE

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    sandbox = StripeSandbox(quota_scale=100)
    there = Account(sandbox, await sandbox.start())
    yield there
    await there.close()


# ---------------------------------------------------------------------------------------------- invoices


@pytest.mark.parametrize("field", ["payable_amount", "lines", "currency"])
async def test_what_a_finalized_invoice_bills_is_changed_by_a_person_who_is_told(account: Account, field: str) -> None:
    made = await account.bill("24.00")
    with pytest.raises(UnsupportedError, match=field):
        await account.bill("30.00", kind="set", bound_id=made.id, changes=("note", field))
    noted = msgspec.structs.replace(bill("24.00"), note="Ring twice")
    written = await account.write("upsert_invoice", noted, kind="set", bound_id=made.id, changes=("note",))
    assert isinstance(written.facts, Invoice)
    assert (written.facts.note, written.facts.payable_amount) == ("Ring twice", Decimal(24))


async def test_of_a_long_invoice_and_its_changes_all_lines_are_told(account: Account) -> None:
    made = await account.bill("24.00", lines=12)
    change = account.command("upsert_invoice", bill("24.00"), kind="set", bound_id=made.id, changes=("note",))
    set_, read = await account.talk(SINK.write(change)), await account.talk(SINK.reread(change))
    hint = Hint(tenant="acme", object=ObjectRef("pay", "acct_sandbox", "invoice", made.id))
    (event,) = await account.talk(SOURCE.read(hint))
    assert isinstance(made.facts, Invoice)
    assert len(made.facts.lines) == 12
    assert [one.facts for one in (set_, read, event)] == [made.facts] * 3


@pytest.mark.parametrize(
    ("due", "shown"), [(date(2026, 12, 24), date(2026, 12, 24)), (date(2026, 11, 25), None), (None, None)]
)
async def test_an_invoice_is_due_on_the_day_that_the_order_names_if_it_is_to_come(
    account: Account, due: date | None, shown: date | None
) -> None:
    told = datetime(2026, 11, 25, 23, tzinfo=UTC)
    made = await account.write("upsert_invoice", msgspec.structs.replace(bill("24.00"), due_date=due), told_at=told)
    assert isinstance(made.facts, Invoice)
    assert made.facts.due_date == (shown or (account.sandbox.clock() + timedelta(days=30)).date())


async def test_a_void_ends_an_invoice_whatever_it_is_and_once(account: Account) -> None:
    made = await account.bill("24.00")
    voids = [account.command("void_invoice", bill("24.00"), links={"invoice": made.id}) for _ in range(2)]
    assert await account.talk(SINK.probe(voids[0])) is None
    shown = [(await account.talk(SINK.write(one))).facts.status for one in voids]
    assert (shown, account.record("invoice", made.id)["status"]) == (["void", "void"], "void")
    assert (await account.talk(SINK.probe(voids[0]))).id == made.id
    draft = account.sandbox.acts.bill_subscription({"currency": "EUR", "lines": [{"title": "x", "price": "5"}]})
    await account.write("void_invoice", bill("5.00"), links={"invoice": draft["id"]})
    assert draft["id"] not in account.sandbox.ledger.records
    with pytest.raises(ConflictError):
        await account.write("void_invoice", bill("5.00"), links={"invoice": draft["id"]})


async def test_a_payment_request_is_the_invoice_itself_mailed_once(account: Account) -> None:
    asked = msgspec.structs.replace(bill("24.00"), document="payment_request")
    made = await account.write("request_payment", asked)
    assert [one.path.rpartition("/")[2] for one in account.asked if one.mutates][-2:] == ["finalize", "send"]
    assert [row["total"] for row in account.rows("invoice")] == ["24.00"]
    await account.write("request_payment", asked, kind="set", bound_id=made.id, changes=("note",))
    assert not any("/send" in one.path for one in account.asked), "a change mails nobody"


async def test_a_request_that_may_have_been_made_is_looked_for_and_mailed_for_sure(account: Account) -> None:
    wanted = account.command("request_payment", bill("24.00"), presence="unknown")
    await account.talk(SINK.write(msgspec.structs.replace(wanted, capability="upsert_invoice", presence="absent")))
    found = await account.talk(SINK.probe(wanted))
    assert not found.complete, "whether it was mailed nobody can see"
    sent = await account.talk(SINK.write(wanted))
    assert [one.step for one in account.asked if one.mutates] == ["send"]
    assert (sent.id, len(account.rows("invoice"))) == (found.id, 1)


async def test_a_draft_that_an_earlier_try_left_is_gone_on_with(account: Account) -> None:
    wanted = account.command("upsert_invoice", bill("24.00"), presence="unknown")
    talk = SINK.write(msgspec.structs.replace(wanted, presence="absent"))
    with pytest.raises(RuntimeError):
        await account.talk(_until("lines", talk))
    assert not (await account.talk(SINK.probe(wanted))).complete
    written = await account.talk(SINK.write(wanted))
    assert [one.step for one in account.asked if one.mutates] == ["lines", "finalize"]
    assert [(row["total"], row["status"]) for row in account.rows("invoice")] == [("24.00", "invoiced")]
    assert written.complete


def _until(step: str, talk: Talk[Any]) -> Talk[Any]:
    """Die before *step* leaves."""
    request = next(talk)
    while request.step != step:
        request = talk.send((yield request))
    raise RuntimeError(step)


@pytest.mark.parametrize("lines", [1, 12])
async def test_a_draft_of_an_earlier_wish_bills_what_is_wanted_now(account: Account, lines: int) -> None:
    """A finalize that was refused leaves a draft; by the next try the order may cost something else."""
    earlier = account.command("upsert_invoice", bill("24.00", lines=lines))
    with pytest.raises(RuntimeError):
        await account.talk(_until("finalize", SINK.write(earlier)))
    now = msgspec.structs.replace(earlier, facts=bill("30.00", lines=2), presence="unknown")
    made = await account.talk(SINK.write(now))
    assert (made.facts.payable_amount, len(made.facts.lines)) == (Decimal(30), 2)
    assert [row["total"] for row in account.rows("invoice")] == ["30.00"]


async def test_the_vendors_library_takes_lines_off_a_draft_and_off_nothing_else(account: Account) -> None:
    with pytest.raises(RuntimeError):
        await account.talk(_until("finalize", SINK.write(account.command("upsert_invoice", bill("24.00", lines=2)))))

    def work() -> tuple[int, int]:
        client = stripe.StripeClient(
            "sk_test_a", base_addresses={"api": account.url}, http_client=stripe.RequestsClient()
        )
        (draft,) = client.v1.invoices.list().data
        first, second = ({"id": str(line.id), "behavior": "delete"} for line in draft.lines.data)
        left = client.v1.invoices.remove_lines(str(draft.id), {"lines": [first]})  # type: ignore[typeddict-item]
        client.v1.invoices.finalize_invoice(str(draft.id))
        with pytest.raises(stripe.InvalidRequestError, match="finalized"):
            client.v1.invoices.remove_lines(str(draft.id), {"lines": [second]})  # type: ignore[typeddict-item]
        return len(left.lines.data), left.total

    assert await asyncio.to_thread(work) == (1, 1200)


async def test_an_old_invoice_is_found_among_those_of_its_customer(account: Account) -> None:
    wanted = account.command("upsert_invoice", bill("24.00"))
    made = await account.talk(SINK.write(wanted))
    for number in range(120):
        account.sandbox.acts.type_invoice(
            {"currency": "EUR", "email": f"b{number}@example.com", "lines": [{"title": "x", "price": 1}]}
        )
    assert (await account.talk(SINK.probe(wanted))).id == made.id
    assert len(account.asked) == 2, "whose it is, then what is theirs"
    since = account.sandbox.clock() - timedelta(hours=1)
    assert (await account.talk(SINK.probe_since(wanted, since))).id == made.id
    assert all(one.params["created[gte]"] == str(int(since.timestamp())) for one in account.asked)
    account.record("invoice", made.id)["customer"] = "cus_other"
    account.sandbox.ledger.records[made.id]["customer_email"] = "other@example.com"
    assert (await account.talk(SINK.probe(wanted))).id == made.id, "a person gave it to somebody else"
    other = msgspec.structs.replace(wanted, mark="o2c1:" + "c" * 32 + ":" + "d" * 12)
    assert await account.talk(SINK.probe(other)) is None


# --------------------------------------------------------------------------------------------- customers


async def test_one_buyer_is_one_customer_with_an_address_or_without(account: Account) -> None:
    for number, party in enumerate(
        (
            Party(name="Bo", email="Bo@example.com"),
            Party(name="Bo", email="bo@example.com"),
            Party(name="Cy"),
            Party(name="Cy"),
            Party(name="Di O'Hara", id="7"),
            Party(name="Di O'Hara", id="7"),
            Party(name="Di O'Hara", id="8"),
        )
    ):
        await account.write("upsert_invoice", bill(f"{number + 1}.00", customer=party))
    made = [(one["name"], one["email"]) for one in account.sandbox.ledger.of("customer")]
    assert sorted(made, key=lambda one: one[0]) == [
        ("Bo", "bo@example.com"),
        ("Cy", None),
        ("Di O'Hara", None),
        ("Di O'Hara", None),
    ]
    wanted = account.command("upsert_customer", Customer(party=Party(name="Bo", email="Bo@Example.com")))
    assert (await account.talk(SINK.probe(wanted))).facts.party.email == "bo@example.com"
    bound = (await account.talk(SINK.write(wanted))).id
    renamed = Customer(party=Party(name="Bo Lind", email="bo@example.com"))
    await account.write("upsert_customer", renamed, kind="set", bound_id=bound, changes=("name",))
    assert account.record("customer", bound)["name"] == "Bo Lind"


# ------------------------------------------------------------------------------------------------- money


async def test_the_twelfth_payment_on_an_invoice_is_told_with_its_invoice_as_well(account: Account) -> None:
    made = await account.bill("24.00")
    for _ in range(12):
        paid = await account.pay(made.id, "1.00")
        assert isinstance(paid.facts, Payment)
        assert [one.id for one in paid.facts.allocations] == [made.id]
        hint = Hint(tenant="acme", object=ObjectRef("pay", "acct_sandbox", "payment_record", paid.id))
        (event,) = await account.talk(SOURCE.read(hint))
        assert (event.facts, event.anchors) == (paid.facts, paid.anchors)


@pytest.mark.parametrize(
    ("paid", "credited", "kind", "outside"),
    [
        ("0", "5.00", "pre_payment", None),
        ("24.00", "5.00", "post_payment", 500),
        ("20.00", "3.00", "pre_payment", None),
        ("20.00", "10.00", "mixed", 600),
    ],
)
@pytest.mark.parametrize("by", ["us", "stripe"])
async def test_a_credit_note_is_split_by_what_is_left_to_pay(
    account: Account, paid: str, credited: str, kind: str, outside: int | None, by: str
) -> None:
    made = await account.bill("24.00")
    if Decimal(paid) and by == "us":
        await account.pay(made.id, paid)
    elif Decimal(paid):
        account.sandbox.acts.charge({"amount": paid, "currency": "EUR", "invoice": made.id})
    note = Credit(amount=Decimal(credited), currency="EUR")
    wanted = account.command("issue_credit", note, kind="append", links={"invoice": made.id})
    written = await account.talk(SINK.write(wanted))
    there = account.record("credit_note", written.id)
    assert (there["type"], there["out_of_band_amount"], there["total"]) == (kind, outside, int(Decimal(credited) * 100))
    assert (await account.talk(SINK.probe(wanted))).id == written.id


async def test_the_sandbox_takes_no_other_sum_than_the_part_after_the_payment(account: Account) -> None:
    made = await account.bill("24.00")
    await account.pay(made.id, "20.00")
    for outside in ("0", "1000", "400"):
        with pytest.raises(Exception, match="add up"):
            account.sandbox.ledger.credit({"invoice": made.id, "amount": "1000", "out_of_band_amount": outside})


BACK = Credit(document="refund", amount=Decimal(5), currency="EUR", date=DAY)


@pytest.mark.parametrize("linked", ["payment", "nothing"])
async def test_money_taken_outside_stripe_is_reported_as_gone_back(account: Account, linked: str) -> None:
    made = await account.bill("24.00")
    paid = await account.pay(made.id, "24.00")
    links = {"invoice": made.id, **({"payment": paid.id} if linked == "payment" else {})}
    wanted = account.command("record_refund", BACK, kind="append", links=links)
    assert await account.talk(SINK.probe(wanted)) is None
    written = await account.talk(SINK.write(wanted))
    there = account.record("payment_record", paid.id)
    assert there["amount_refunded"] == {"currency": "eur", "value": 500}
    assert there["metadata"]["o2c"] == paid.mark, "the payment keeps its own mark"
    assert account.rows("refund") == [], "no money moves"
    assert (written.facts.amount, written.facts.status, written.facts.date) == (5, "issued", DAY)
    assert written.mark == wanted.mark
    assert await account.talk(SINK.probe(wanted)) == written
    hint = Hint(tenant="acme", object=ObjectRef("pay", "acct_sandbox", written.type, written.id))
    (event,) = await account.talk(SOURCE.read(hint))
    assert (event.facts, event.mirror_of, event.anchors) == (written.facts, written.mark, written.anchors)
    assert [anchor.ref.id for anchor in event.anchors] == [paid.id]


async def test_what_stripe_took_itself_it_sends_back(account: Account) -> None:
    made = await account.bill("24.00")
    taken = account.sandbox.acts.charge({"amount": "24.00", "currency": "EUR", "invoice": made.id})
    wanted = account.command("record_refund", BACK, kind="append", links={"invoice": made.id})
    written = await account.talk(SINK.write(wanted))
    assert [(row["amount"], row["id"]) for row in account.rows("refund")] == [("5.00", written.id)]
    assert account.record("refund", written.id)["payment_intent"] == taken["id"]
    assert (await account.talk(SINK.probe(wanted))).id == written.id


async def test_a_refund_that_nothing_can_pay_is_refused_in_words(account: Account) -> None:
    made = await account.bill("24.00")
    with pytest.raises(RejectedError, match="no payment"):
        await account.write("record_refund", BACK, kind="append", links={"invoice": made.id})
    with pytest.raises(RejectedError, match="no payment"):
        await account.write("record_refund", BACK, kind="append", links={})
    for capability, facts in (("record_shipment", Shipment()), ("issue_credit", BACK), ("void_invoice", bill("1"))):
        with pytest.raises(RejectedError, match="invoice"):
            await account.write(capability, facts, kind="append", links={})


# ---------------------------------------------------------------------------------------------- metadata


async def test_every_parcel_and_every_note_stays(account: Account) -> None:
    made = await account.bill("24.00")
    links = {"invoice": made.id}
    for number in ("1Z1", "1Z2"):
        parcel = Shipment(carrier="UPS", tracking_numbers=(number, "x" * 600))
        wanted = account.command("record_shipment", parcel, kind="append", links=links)
        assert await account.talk(SINK.probe(wanted)) is None
        await account.talk(SINK.write(wanted))
        assert (await account.talk(SINK.probe(wanted))).id == made.id
    for text in ("Call first", "Ring twice"):
        await account.write("add_note", bill("24.00"), kind="append", links=links, text=text)
    told = account.record("invoice", made.id)["metadata"]
    assert all(len(key) <= 40 and len(value) <= 500 for key, value in told.items())
    text = " ".join(told.values())
    assert all(one in text for one in ("UPS 1Z1", "UPS 1Z2", "Call first", "Ring twice"))
    assert "".join(value for key, value in told.items() if key.startswith("parcel_")).count("x") == 1200
    assert (told["carrier"], told["tracking_number"][:5]) == ("UPS", "1Z2, "), "the last parcel, under plain names"


async def test_a_note_on_a_persons_invoice_does_not_make_it_ours(account: Account) -> None:
    typed = account.sandbox.acts.type_invoice({"currency": "EUR", "lines": [{"title": "x", "price": 1}]})
    written = await account.write("record_shipment", Shipment(), kind="append", links={"invoice": typed["id"]})
    assert (written.id, written.facts) == (typed["id"], None)
