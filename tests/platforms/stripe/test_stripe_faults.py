"""The delivery loop against a Stripe that resets, lies, answers late and throttles: each thing is there once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal

import msgspec
import pytest

from app.core.errors import (
    AuthError,
    ConflictError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.http import HttpClient, new_session
from app.core.talk import Request, Response
from app.sandbox.faults import Faults
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.facts import Credit, Facts, Invoice, Line, Party, Payment, Shipment
from sinks.delivery.owner import Owner
from tests.platforms.memory import Memory
from tests.platforms.stripe.plain import AUTH, SINK, command, reply

ORDERS = 6
FASTER = 200
"""The loop's clock runs this much faster than the platform's: pauses of minutes take a moment."""
FAULTS = Faults(
    reset_before_commit=0.1,
    reset_after_commit=0.2,
    slow_commit=0.12,
    slow_commit_s=0.02,
    error_5xx=0.05,
    error_5xx_after_commit=0.1,
    html_200=0.05,
    rate_429=0.05,
)


async def _order(owner: Owner, memory: Memory, n: int, money: bool) -> None:  # noqa: FBT001 - one of two runs
    """Bill, ship, note, credit a part before the payment; take the *money*, credit and pay back a part of it."""

    async def done(step: int, capability: str, facts: Facts, **more: object) -> str:
        wanted = command(capability, facts, n=100 * n + step, kind="append" if step > 1 else "create", **more)
        wanted = msgspec.structs.replace(wanted, order=f"{n:032x}", entity=f"document:{n}")
        event = memory.waiting.setdefault(wanted.id, asyncio.Event())
        await owner.accept(wanted)
        await event.wait()
        result = memory.results[wanted.id]
        assert result.outcome == "confirmed", result
        assert result.bound is not None
        return result.bound.id

    line = Line(name="Mug", net_amount=Decimal("15.53"))
    buyer = Party(name=f"Buyer {n // 2}", email=f"b{n // 2}@example.com")
    bill = Invoice(currency="EUR", payable_amount=Decimal("15.53"), customer=buyer, reference=f"SO-{n}", lines=(line,))
    links = {"invoice": await done(1, "upsert_invoice", bill)}
    await done(2, "record_shipment", Shipment(carrier="UPS", tracking_numbers=(f"1Z{n}",)), links=links)
    await done(3, "add_note", bill, links=links, text=f"Note {n}")
    await done(4, "issue_credit", Credit(amount=Decimal("5.53"), currency="EUR", date=date(2026, 5, 3)), links=links)
    if money:
        paid = Payment(amount=Decimal(10), currency="EUR", date=date(2026, 5, 2), reference=f"a{n}")
        links["payment"] = await done(5, "record_payment", paid, links=links)
        back = Credit(document="refund", amount=Decimal(3), currency="EUR", date=date(2026, 5, 4))
        await done(6, "issue_credit", msgspec.structs.replace(back, document="credit_note"), links=links)
        await done(7, "record_refund", back, links=links)


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("keys", "seed"), [(True, 1), (False, 2), pytest.param(True, 3, marks=pytest.mark.long)], ids=str
)
async def test_whatever_goes_wrong_every_document_is_there_exactly_once(keys: bool, seed: int) -> None:  # noqa: FBT001
    """Without *keys* no money is reported: of a record that is on no invoice yet nothing but its key can tell."""
    faults = FAULTS if keys else FAULTS.changed({"idempotency_off": 1.0})
    sandbox = StripeSandbox("acct_sandbox", seed=seed, quota_scale=1000, faults=faults)
    url = await sandbox.start()
    memory, time = Memory(), asyncio.get_running_loop().time
    async with new_session(allow_private=True, timeout=5) as session:
        http = HttpClient(session, url, allow_private=True)

        async def sender(request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None) -> Response:
            if before is not None:
                await before()
            chosen = request.key or key
            return await http.send(request, {**AUTH, **({"Idempotency-Key": chosen} if chosen else {})}, {})

        owner = Owner(SINK, sender, memory, epoch=1, now=lambda: FASTER * time(), settle=0.5 * FASTER)
        running = asyncio.create_task(owner.run())
        try:
            await asyncio.wait_for(asyncio.gather(*[_order(owner, memory, n, keys) for n in range(1, 1 + ORDERS)]), 120)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    await sandbox.stop()
    assert memory.dead == []
    assert sum(sandbox.injector.injected[name] for name in ("reset_after_commit", "slow_commit")) > 1
    _check(sandbox, keys)


def _check(sandbox: StripeSandbox, money: bool) -> None:  # noqa: FBT001
    kinds = Counter(row["kind"] for row in sandbox.books())
    each = {"invoice": 1, "credit": 2 if money else 1, "payment": 1 if money else 0, "refund": 0}
    assert {kind: kinds[kind] for kind in each} == {kind: count * ORDERS for kind, count in each.items()}
    assert kinds["customer"] == ORDERS // 2 + 1, "two orders of one buyer make one customer"
    marks = Counter(row["mark"] for row in sandbox.books() if row["kind"] != "customer")
    assert set(marks.values()) == {1}
    for bill in sandbox.ledger.of("invoice"):
        number = bill["metadata"]["order_id"].removeprefix("SO-")
        assert {f"UPS 1Z{number}", f"Note {number}"} <= set(bill["metadata"].values())
        assert (bill["total"], bill["pre_payment_credit_notes_amount"]) == (1553, 553)
        assert (bill["amount_paid"], bill["post_payment_credit_notes_amount"]) == ((1000, 300) if money else (0, 0))
    assert {one["amount_refunded"]["value"] for one in sandbox.ledger.of("payment_record")} == (
        {300} if money else set()
    )


def _refused(code: str = "", type_: str = "invalid_request_error") -> dict[str, object]:
    return {"error": {"type": type_, **({"code": code} if code else {})}}


@pytest.mark.parametrize(
    ("answer", "write", "read"),
    [
        (reply(_refused("rate_limit"), 429, retry_after="7"), RateLimited, RateLimited),
        (reply(_refused("lock_timeout"), 429), RateLimited, RateLimited),
        (reply({}, 429), RateLimited, RateLimited),
        (reply(_refused("idempotency_key_in_use", "idempotency_error"), 409), RetryableError, RetryableError),
        (reply(_refused(), 409), RetryableError, RetryableError),
        (reply(_refused(type_="idempotency_error"), 400), RejectedError, RejectedError),
        (reply(_refused("resource_already_exists"), 400), DuplicateError, DuplicateError),
        (reply(_refused("invoice_not_editable"), 400), ConflictError, ConflictError),
        (reply(_refused("payment_intent_unexpected_state"), 400), ConflictError, ConflictError),
        (reply(_refused("charge_already_refunded"), 400), ConflictError, ConflictError),
        (reply(_refused("parameter_invalid_integer"), 400), RejectedError, RejectedError),
        (reply(_refused("resource_missing"), 404), RejectedError, RejectedError),
        (reply(_refused("card_declined", "card_error"), 402), RejectedError, RejectedError),
        (reply(_refused(), 401), AuthError, AuthError),
        (reply(_refused(), 403), AuthError, AuthError),
        (reply(_refused(), 400, stripe_should_retry="true"), RetryableError, RetryableError),
        (reply(_refused(type_="api_error"), 500), UncertainError, RetryableError),
        (reply(_refused(type_="api_error"), 500, stripe_should_retry="false"), UncertainError, RejectedError),
        (reply(_refused(type_="api_error"), 503, stripe_should_retry="true"), UncertainError, RetryableError),
        (Response(status=502, body=b"<html>"), UncertainError, RetryableError),
        (reply(["no object"], 400), RejectedError, RejectedError),
    ],
)
def test_an_answer_says_what_to_do_next(answer: Response, write: type[O2CError], read: type[O2CError]) -> None:
    assert type(SINK.classify(answer, mutating=True)) is write
    assert type(SINK.classify(answer, mutating=False)) is read
    assert SINK.classify(reply({"id": "in_1"}), mutating=True) is None


def test_a_pause_that_stripe_asks_for_is_kept() -> None:
    error = SINK.classify(reply(_refused("rate_limit"), 429, retry_after="7"), mutating=True)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7


async def test_a_throttled_report_keeps_the_key_under_which_it_may_have_been_done() -> None:
    """What is told of money outside Stripe is in no list: under another key it would be there twice."""
    keys: list[str] = []
    paid = Payment(amount=Decimal(10), currency="EUR", date=date(2026, 5, 2))
    record = {"object": "payment_record", "id": "pr_1", "amount_requested": {"currency": "eur", "value": 1000}}
    answers = [Response(status=502), reply(_refused("rate_limit"), 429), reply(record)]

    async def sender(request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None) -> Response:
        if before is not None:
            await before()
        keys.append(request.key or key)
        return answers[len(keys) - 1]

    memory, time = Memory(), asyncio.get_running_loop().time
    owner = Owner(SINK, sender, memory, epoch=1, now=lambda: FASTER * time(), settle=1)
    wanted = command("record_payment", paid, kind="append")
    memory.waiting[wanted.id] = asyncio.Event()
    await owner.accept(wanted)
    running = asyncio.create_task(owner.run())
    await asyncio.wait_for(memory.waiting[wanted.id].wait(), 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert memory.results[wanted.id].outcome == "confirmed"
    assert (len(keys), len(set(keys))) == (3, 1)
