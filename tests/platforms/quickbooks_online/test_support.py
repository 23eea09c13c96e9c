"""What Intuit's support asks for is in the log."""

from __future__ import annotations

import json
import time

import pytest
import structlog

from app.connectors.sending import Sending
from app.core.auth import Credential, Tokens
from app.core.http import HttpClient, new_session
from app.core.limits import Limiter
from app.core.talk import Request
from schemas.platforms.quickbooks_online import PLATFORM
from tests.platforms.quickbooks_online.rig import ACCOUNT, HEADERS, Rig

pytestmark = pytest.mark.sandbox


async def _stored(tokens: Tokens) -> None:
    assert tokens.access


async def test_a_refused_call_is_logged_with_intuits_name_for_it_and_without_what_it_said(rig: Rig) -> None:
    secrets = {"token": HEADERS["Authorization"].removeprefix("Bearer ")}
    async with new_session(allow_private=True, timeout=10) as session:
        http = HttpClient(session, rig.url, allow_private=True, moved=True)
        credential = Credential(PLATFORM.auth, secrets, http, clock=time.time, store=_stored)
        sending = Sending(rig.connection, PLATFORM, http, credential, Limiter(PLATFORM.limits, time.monotonic))
        with structlog.testing.capture_logs() as told:
            path = f"/v3/company/{ACCOUNT}"
            refused = await sending(
                Request(method="POST", path=f"{path}/customer", json={"DisplayName": "Ada: Lovelace"})
            )
            answered = await sending(Request(method="GET", path=f"{path}/companyinfo/{ACCOUNT}"))
    (row,) = [row for row in told if row["event"] == "call.refused"]
    assert answered.headers["intuit_tid"] != refused.headers["intuit_tid"] == row["support_id"]
    assert (row["connection"], row["method"], row["status"]) == ("books", "POST", 400)
    assert all("Ada" not in json.dumps(row, default=str) for row in told)
