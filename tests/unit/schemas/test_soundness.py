"""What another service may not say in a change event, through the decoder that the streams and the gateway share."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.cloudevents import decode, decode_http
from schemas.errors import DecodeError
from schemas.events import ChangeEvent

HEADERS = (("ce_type", b"o2c.order.changed.v1"), ("ce_specversion", b"1.0"), ("ce_id", b"e-1"))


def told(facts: Any = None, **more: Any) -> bytes:
    order = {"type": "order", "number": "7", "currency": "EUR", "payable_amount": "12.50", **(facts or {})}
    ref = {"connection": "erp", "account": "1", "type": "order", "id": "7"}
    return msgspec.json.encode({"tenant": "acme", "object": ref, "facts": order, **more})


def read(value: bytes) -> ChangeEvent:
    return decode(HEADERS, value)


@pytest.mark.parametrize(
    "amount",
    ["NaN", "sNaN", "Infinity", "-inf", "1e999999", "1E-99", "١٢٫٠٠", "١٢", " 12", "1_000", "9" * 40],  # noqa: RUF001
)
@pytest.mark.parametrize("place", ["payable_amount", "lines"])
def test_what_is_no_amount_is_refused(amount: str, place: str) -> None:
    value: Any = [{"id": "1", "net_amount": amount}] if place == "lines" else amount
    with pytest.raises(DecodeError):
        read(told({place: value}))


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "100.50"), ("EUR", "0.30000000000000004"), ("KWD", "1.2345"), ("EUR", "1e-3")]
)
def test_a_total_finer_than_its_currency_is_refused(currency: str, amount: str) -> None:
    with pytest.raises(DecodeError, match="finer"):
        read(told({"currency": currency, "payable_amount": amount}))


@pytest.mark.parametrize(
    ("currency", "amount"), [("JPY", "100"), ("JPY", "100.00"), ("KWD", "1.234"), ("EUR", "-0.00"), ("EUR", "12.5")]
)
def test_a_total_its_currency_can_pay_is_kept_to_the_last_digit(currency: str, amount: str) -> None:
    event = read(told({"currency": currency, "payable_amount": amount}))
    assert str(getattr(event.facts, "payable_amount", "")) == amount


@pytest.mark.parametrize("id_", ["", "a\0b", "1\r\nX-Injected: 1", "INV-\u202e0001", "a\ud7ff\u2066"])
def test_a_name_that_cannot_be_printed_is_refused(id_: str) -> None:
    with pytest.raises(DecodeError):
        read(told(object={"connection": "erp", "account": "1", "type": "order", "id": id_}))
    with pytest.raises(DecodeError):
        read(told(anchors=[{"kind": "number", "ref": {"connection": "", "account": "", "type": "number", "id": id_}}]))


@pytest.mark.parametrize("number", ["INV-\u202e0001", "a\0b"])
def test_a_number_with_a_hidden_character_is_refused(number: str) -> None:
    with pytest.raises(DecodeError, match="hidden"):
        read(told({"number": number}))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999999", "=1+1", "{{7*7}}", "\u202e", "Zoë ٣"])
def test_any_text_stays_text(text: str) -> None:
    assert getattr(read(told({"note": text})).facts, "note", "") == text


def test_a_key_that_is_said_twice_is_refused_and_one_that_nobody_reads_is_not() -> None:
    doubled = told().replace(b'"number":"7"', b'"number":"7","numb\\u0065r":"8"')
    with pytest.raises(DecodeError, match="twice"):
        read(doubled)
    assert read(told().replace(b'"number":"7"', b'"x":1,"x":2,"__faust":{"ns":"os.PathLike"},"number":"7"'))


def test_the_envelope_says_everything_once() -> None:
    body = b'{"specversion":"1.0","type":"o2c.order.changed.v1","source":"/x","id":"1","id":"2","data":%s}' % told()
    with pytest.raises(DecodeError, match="twice"):
        decode_http({"content-type": "application/cloudevents+json"}, body)
