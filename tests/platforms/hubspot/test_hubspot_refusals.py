"""What HubSpot refuses, and how long it asks to wait: a read and a write hear the same."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from datetime import time as clock
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from app.connectors.reading import Reader
from app.connectors.sending import Sending
from app.core.auth import Credential, Tokens
from app.core.errors import AuthError, O2CError, RateLimited, RejectedError, RetryableError
from app.core.http import HttpClient, new_session
from app.core.limits import Limiter
from app.core.talk import Request, Response
from app.sandbox.platforms.hubspot import HubspotSandbox
from schemas.connection import Connection
from schemas.events import Hint
from schemas.platforms.hubspot import PLATFORM
from schemas.refs import ObjectRef
from sinks.platforms.hubspot import HubspotSink
from tests.platforms.conversation import answer
from tests.platforms.hubspot.plain import NOW, PORTAL, source_of

CONNECTION = Connection(name="crm", tenant="acme", platform="hubspot", account=PORTAL)
NO_SCOPE = {"status": "error", "category": "MISSING_SCOPES", "message": "This app hasn't been granted all scopes."}
DAILY = {"status": "error", "errorType": "RATE_LIMIT", "policyName": "DAILY"}
REFUSALS = [
    (401, {"category": "EXPIRED_AUTHENTICATION"}, {}, AuthError, None),
    (403, NO_SCOPE, {}, RejectedError, None),
    (403, {"category": "BANNED"}, {}, AuthError, None),
    (414, {}, {}, RejectedError, None),
    (423, {}, {}, RateLimited, 2.0),
    (423, {}, {"retry-after": "1"}, RateLimited, 2.0),
    (423, {}, {"retry-after": "7"}, RateLimited, 7.0),
    (429, {"policyName": "TEN_SECONDLY_ROLLING"}, {}, RateLimited, None),
    (429, DAILY, {}, RateLimited, 3600.0),
    (429, DAILY, {"retry-after": "60"}, RateLimited, 60.0),
    (477, {}, {"retry-after": "86400"}, RateLimited, 86400.0),
    (477, {}, {}, RateLimited, None),
    (503, {}, {}, RetryableError, None),
]


def _reply(body: Any, status: int, headers: dict[str, str]) -> Response:
    return Response(status=status, headers=headers, body=json.dumps(body).encode())


def _hint(id_: str) -> Hint:
    return Hint(tenant="acme", object=ObjectRef("crm", PORTAL, "deals", id_))


@pytest.mark.parametrize(("status", "body", "headers", "error", "pause"), REFUSALS)
def test_a_read_and_a_write_hear_the_same(
    status: int, body: Any, headers: dict[str, str], error: type[O2CError], pause: float | None
) -> None:
    reply = _reply(body, status, headers)
    heard = [HubspotSink(CONNECTION).classify(reply, mutating=False)]
    for talk in (source_of().read(_hint("1")), source_of().sweep("deals", "", NOW), source_of().identify()):
        with pytest.raises(O2CError) as caught:
            answer(talk, reply)  # type: ignore[type-var]  # whatever it would end with
        heard.append(caught.value)
    assert {type(one) for one in heard} == {error}
    assert {getattr(one, "retry_after", None) for one in heard} == {pause}


async def _read(status: int, body: Any) -> tuple[list[Hint], list[str], list[str]]:
    """Return what a reader of two deals tries again, what it puts aside, and why it would stop the connection."""
    aside: list[str] = []
    failed: list[str] = []

    async def send(request: Request) -> Response:
        del request
        return _reply(body, status, {"retry-after": "60"})

    async def put_aside(hint: Hint, why: str) -> None:
        del why
        aside.append(hint.object.id)

    async def nothing(*_: Any) -> None:
        return

    reader = Reader(
        source_of(),
        send,
        nothing,
        epoch=1,
        number=lambda: 1,
        keep_cursor=nothing,
        cursors={},
        failed=lambda error: failed.append(str(error)),
        put_aside=put_aside,
    )
    return list(await reader.read_all([_hint("1"), _hint("2")])), aside, failed


async def test_a_portal_that_moves_loses_no_hint() -> None:
    again, aside, failed = await _read(477, {})
    assert ([hint.object.id for hint in again], aside, failed) == (["1", "2"], [], [])


async def test_a_missing_scope_leaves_out_what_it_hides_and_stops_no_write() -> None:
    assert await _read(403, NO_SCOPE) == ([], ["1", "2"], [])


# -- how long everybody waits ------------------------------------------------------------------------------------------


class Way:
    """The connector's own way to a portal."""

    def __init__(self, sandbox: HubspotSandbox, sending: Sending, limiter: Limiter) -> None:
        self.sandbox, self.sending, self.limiter = sandbox, sending, limiter

    async def refused(self) -> float | None:
        """Ask for a deal, and return for how long nobody is to ask again."""
        with pytest.raises(RateLimited) as caught:
            await self.sending(Request(method="GET", path="/crm/v3/objects/deals"))
        return caught.value.retry_after


async def _stored(tokens: Tokens) -> None:
    raise AssertionError(tokens)


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    sandbox = HubspotSandbox(quota_scale=100)
    url = await sandbox.start()
    session = new_session(allow_private=True, timeout=PLATFORM.limits.timeout_seconds)
    http = HttpClient(session, url, allow_private=True, moved=True)
    credential = Credential(PLATFORM.auth, {"token": "pat-made-up"}, http, clock=time.time, store=_stored)
    limiter = Limiter(PLATFORM.limits, time.monotonic)
    yield Way(sandbox, Sending(CONNECTION, PLATFORM, http, credential, limiter), limiter)
    await session.close()
    await sandbox.stop()


@pytest.mark.sandbox
async def test_a_day_that_is_used_up_is_not_asked_for_again_in_half_a_minute(way: Way) -> None:
    way.sandbox.verbs["use_up_the_day"]({})
    assert await way.refused() == 3600.0
    assert way.limiter.wait() > 3500


@pytest.mark.sandbox
async def test_a_day_that_is_used_up_is_over_at_midnight_of_the_portal(way: Way) -> None:
    zone = next(zone for zone in ("Asia/Tokyo", "America/Denver") if datetime.now(ZoneInfo(zone)).hour not in {0, 23})
    way.sending.connection = structs.replace(CONNECTION, time_zone=zone)
    way.sandbox.verbs["use_up_the_day"]({})
    midnight = datetime.combine(datetime.now(ZoneInfo(zone)).date() + timedelta(days=1), clock(), ZoneInfo(zone))
    assert await way.refused() == pytest.approx(midnight.timestamp() - time.time(), abs=5)


@pytest.mark.sandbox
async def test_a_portal_that_moves_is_left_alone_for_as_long_as_it_says(way: Way) -> None:
    way.sandbox.verbs["move_portal"]({"seconds": 7200})
    assert await way.refused() == 7200.0
    assert way.limiter.wait() > 7100


@pytest.mark.sandbox
async def test_a_locked_record_keeps_nobody_else_waiting(way: Way) -> None:
    made = way.sandbox.verbs["create_deal"]({"name": "D", "amount": "1.00"})
    assert isinstance(made, dict)
    way.sandbox.verbs["lock"]({"id": made["id"], "seconds": 60})
    path = f"/crm/v3/objects/deals/{made['id']}"
    change = Request(method="PATCH", path=path, json={"properties": {"amount": "2.00"}}, mutates=True)
    assert (await way.sending(change)).status == 423
    assert (await way.sending(Request(method="GET", path=path))).status == 200
    assert way.limiter.wait() < 1
