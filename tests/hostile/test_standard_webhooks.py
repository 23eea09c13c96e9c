"""POST /events signed as Standard Webhooks says: the published vectors, and the door itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.gateway.signed import is_signed
from tests.hostile.door import NOW, open_door
from tests.hostile.shapes import envelope, named
from tests.hostile.wire import post, send

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GOOD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
BODY = b'{"test": 2432232314}'


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(1614265330 + seconds, UTC)


def test_all_42_vectors_have_their_verdict(shared: Path) -> None:
    vectors = json.loads((shared / "specs/standard-webhooks/vectors.json").read_bytes())["vectors"]
    assert len(vectors) == 42
    for one in vectors:
        now = datetime.fromtimestamp(one["now"], UTC)
        verdict = is_signed(one["headers"], base64.b64decode(one["body_b64"]), [one["secret"]], now)
        assert one["valid"] in (verdict, "either"), one["name"]


def test_the_published_example_is_good_for_five_minutes_either_way() -> None:
    assert [is_signed(GOOD, BODY, ["whsec_bm90IGl0", SECRET], at(off)) for off in (-301, -300, 0, 300, 301)] == [
        False, True, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("header", GOOD)
def test_without_one_of_the_headers_or_with_another_nobody_is_known(header: str) -> None:
    assert not is_signed({name: value for name, value in GOOD.items() if name != header}, BODY, [SECRET], at(0))
    assert not is_signed({**GOOD, header: GOOD[header] + "1"}, BODY, [SECRET], at(0))


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!"])
def test_an_empty_or_broken_secret_signs_nothing(secret: str) -> None:
    assert not is_signed(GOOD, BODY, [secret], at(0))


@pytest.mark.sandbox
async def test_a_signed_event_is_taken_and_a_signing_secret_is_no_bearer_token() -> None:

    body = envelope(named("x"))
    stamp = str(int(NOW.timestamp()))
    digest = hmac.new(base64.b64decode(SECRET[6:]), f"m1.{stamp}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "Content-Type": "application/cloudevents+json",
        "webhook-id": "m1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    async with open_door(api_keys={SECRET: ""}) as door:
        assert (await send(door.port, post("/events", headers, body), 10)).status == 202
        assert len(door.kept.taken()[0]) == 1
        forged = [
            await send(door.port, post("/events", given, sent), 10)
            for given, sent in ((headers, body + b" "), ({**headers, "webhook-id": "m2"}, body), ({"Authorization": f"Bearer {SECRET}"}, body))
        ]  # fmt: skip
        assert [said.status for said in forged] == [401, 401, 401]
        assert len({said.text.partition(b"\r\n\r\n")[2] for said in forged}) == 1, "the text tells what was wrong"
        assert door.kept.taken() == ([], [], [])
