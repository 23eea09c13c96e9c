"""What Xero's refusals mean, without a network."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.errors import (
    AuthError,
    ConflictError,
    DuplicateError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.talk import Response
from tests.platforms.xero.plain import SINK, reply_of


def _invalid(*texts: str) -> dict[str, Any]:
    errors = [{"Message": text} for text in texts]
    return {
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
        "Elements": [{"ValidationErrors": errors}],
    }


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Invoice # must be unique.", DuplicateError),
        ("The contact name Ada is already assigned to another contact.", DuplicateError),
        ("Invoice not of valid status for modification", ConflictError),
        ("This document cannot be edited as it has a payment or credit note allocated to it.", ConflictError),
        ("The document date cannot be before the period lock date.", RejectedError),
        ("Organisation is not subscribed to currency XYZ", RejectedError),
        ("Something nobody has seen", RejectedError),
    ],
)
def test_texts_are_the_discriminator(text: str, kind: type[Exception]) -> None:
    for shown in (text, text.upper()):
        assert type(SINK.classify(reply_of(_invalid(shown), 400), mutating=True)) is kind


def test_names_and_addresses_are_never_quoted() -> None:
    for text in (
        "Mail to ada@example.com bounced",
        "The contact name Ada Lovelace is already assigned to another contact.",
    ):
        error = SINK.classify(reply_of(_invalid(text), 400), mutating=True)
        assert "Ada" not in str(error)
        assert "@" not in str(error)


def test_a_limit_is_obeyed_to_the_second() -> None:
    error = SINK.classify(
        Response(status=429, headers={"retry-after": "66975", "x-rate-limit-problem": "day"}), mutating=True
    )
    assert isinstance(error, RateLimited)
    assert error.retry_after == 66975
    assert "day" in str(error)


def test_what_may_have_happened_is_uncertain_only_for_writes() -> None:
    for reply in (reply_of({"Title": "offline"}, 503), Response(status=200, body=b"<html>Just a moment...</html>")):
        assert isinstance(SINK.classify(reply, mutating=True), UncertainError)
        assert isinstance(SINK.classify(reply, mutating=False), RetryableError)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"Title": "Unauthorized"}, AuthError),
        (403, {"Title": "Forbidden"}, AuthError),
        (400, {"error": "invalid_grant"}, AuthError),
        (
            400,
            {"ErrorNumber": 17, "Type": "NoDataProcessedException", "Message": "No data has been processed"},
            RejectedError,
        ),
        (404, "gone", RejectedError),
    ],
)
def test_other_refusals_say_what_to_do_next(status: int, body: Any, kind: type[Exception]) -> None:
    assert isinstance(SINK.classify(reply_of(body, status), mutating=True), kind)


def test_a_mixed_batch_is_a_success_and_a_warning_is_no_error() -> None:
    bad = {"StatusAttributeString": "ERROR", "HasErrors": True, "ValidationErrors": [{"Message": "x"}]}
    assert SINK.classify(reply_of({"Invoices": [{"StatusAttributeString": "OK"}, bad]}), mutating=True) is None
    assert isinstance(SINK.classify(reply_of({"Invoices": [bad]}), mutating=True), RejectedError)
    assert isinstance(
        SINK.classify(reply_of({"Invoices": [{"StatusAttributeString": "ERROR"}]}), mutating=True), RejectedError
    )
    warned = {
        "Payments": [{"PaymentID": "p1", "Warnings": [{"Message": "The payment date is prior to the invoice date."}]}]
    }
    assert SINK.classify(reply_of(warned), mutating=True) is None
    assert SINK.classify(Response(status=204), mutating=True) is None
