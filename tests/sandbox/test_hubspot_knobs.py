"""Every fault knob of the simulated HubSpot, felt by the vendor's own library, unchanged."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hubspot import HubSpot
from hubspot.crm.deals import ApiException, SimplePublicObjectInputForCreate
from urllib3.exceptions import HTTPError

from app.sandbox.faults import Faults
from app.sandbox.platforms.hubspot import HubspotSandbox
from tests.platforms.receiver import receiver

pytestmark = pytest.mark.sandbox
Running = tuple[HubspotSandbox, str]
BROKEN = {"reset_before_commit": 0, "reset_after_commit": 1, "slow_commit": 1}
"""Knob -> how many deals there are in the end although the connection broke."""
REFUSED = {
    "rate_429": (429, 0, "RATE_LIMITS"),
    "error_5xx": (500, 0, "INTERNAL_ERROR"),
    "error_5xx_after_commit": (500, 1, "INTERNAL_ERROR"),
    "expired_token": (401, 0, "INVALID_AUTHENTICATION"),
    "expired_on_write": (401, 0, "INVALID_AUTHENTICATION"),
}
"""Knob -> what the library is told, and how many deals there are all the same."""
ELSEWHERE = {"visibility_lag_s", "slow_commit_s", "late_reply_s"}
NOT_HERE = {"idempotency_off"}
"""HubSpot has no idempotency keys that could be ignored."""


@pytest.fixture
async def sandbox() -> AsyncIterator[Running]:
    running = HubspotSandbox(quota_scale=10)
    yield running, await running.start()
    await running.stop()


def _turn(sandbox: HubspotSandbox, **knobs: float) -> None:
    sandbox.injector.faults = sandbox.faults.changed(knobs)


def _create(url: str, *names: str) -> list[Any]:
    """Return what the library takes for the new deals."""
    made, client = list[Any](), HubSpot(access_token="pat-eu1-made-up", host=url)
    for name in names:
        asked = SimplePublicObjectInputForCreate(properties={"dealname": name}, associations=[])
        made.append(client.crm.deals.basic_api.create(simple_public_object_input_for_create=asked))
    return made


@pytest.mark.parametrize("knob", REFUSED)
async def test_a_refusal_reaches_the_library_as_the_vendor_words_it(sandbox: Running, knob: str) -> None:
    portal, url = sandbox
    status, held, category = REFUSED[knob]
    _turn(portal, **{knob: 1.0})
    with pytest.raises(ApiException) as caught:
        await asyncio.to_thread(_create, url, "A")
    assert (caught.value.status, json.loads(caught.value.body)["category"]) == (status, category)
    assert len(portal.books()) == held
    assert portal.injector.injected[knob] == 1
    assert status != 429 or caught.value.headers["Retry-After"]


@pytest.mark.parametrize("knob", BROKEN)
async def test_a_broken_connection_leaves_done_or_undone_what_the_knob_says(sandbox: Running, knob: str) -> None:
    portal, url = sandbox
    _turn(portal, **{knob: 1.0, "slow_commit_s": 0.3})
    with pytest.raises(HTTPError):
        await asyncio.to_thread(_create, url, "A")
    assert len(portal.books()) == (knob == "reset_after_commit")
    await asyncio.sleep(0.5)
    assert len(portal.books()) == BROKEN[knob]


async def test_a_page_of_a_proxy_is_no_deal_to_the_library(sandbox: Running) -> None:
    portal, url = sandbox
    _turn(portal, html_200=1.0)
    assert await asyncio.to_thread(_create, url, "A") == [None]
    assert portal.books() == []


@pytest.mark.parametrize("knobs", [{"latency_s": 0.3}, {"late_reply": 1.0, "late_reply_s": 0.3}])
async def test_a_slow_portal_keeps_the_library_waiting(sandbox: Running, knobs: dict[str, float]) -> None:
    portal, url = sandbox
    _turn(portal, **knobs)
    began = time.monotonic()
    await asyncio.to_thread(_create, url, "A")
    assert time.monotonic() - began >= 0.3
    assert len(portal.books()) == 1


async def test_one_of_a_batch_is_refused_while_its_neighbours_are_made(sandbox: Running) -> None:
    portal, url = sandbox
    portal.injector.due["batch_item_failure"] = 1
    rows = [{"properties": {"dealname": name}, "associations": [], "objectWriteTraceId": name} for name in "AB"]

    def work() -> Any:
        api = HubSpot(access_token="pat-eu1-made-up", host=url).crm.deals.batch_api
        return api.create(batch_input_simple_public_object_batch_input_for_create={"inputs": rows})

    done = await asyncio.to_thread(work)
    assert (done.num_errors, done.errors[0].category, len(done.results)) == (1, "INTERNAL_ERROR", 1)
    assert [row["number"] for row in portal.books()] == ["B"]


@pytest.mark.parametrize("knob", ["webhook_lost", "webhook_duplicated", "webhook_reordered"])
async def test_webhooks_of_the_librarys_writes_are_lost_doubled_or_late(sandbox: Running, knob: str) -> None:
    portal, url = sandbox
    _turn(portal, **{knob: 1.0})
    async with receiver() as hooks:
        portal.hooks.keep(f"{hooks.url}/", "secret", frozenset(("deal.creation",)))
        await asyncio.to_thread(_create, url, "A", "B")
        await asyncio.sleep(1.5)
        told = [
            event["objectId"] for _ in range(hooks.hooks.qsize()) for event in json.loads(hooks.hooks.get_nowait().body)
        ]
    made = [int(row["id"]) for row in portal.books()]
    if knob == "webhook_lost":
        assert told == []
    elif knob == "webhook_duplicated":
        assert sorted(told) == sorted([*made, *made])
    else:
        assert sorted(told) == made
    assert portal.injector.injected[knob] > 0


def test_no_knob_is_forgotten() -> None:
    felt = {*REFUSED, *BROKEN, "html_200", "latency_s", "late_reply", "batch_item_failure"}
    felt |= {"webhook_lost", "webhook_duplicated", "webhook_reordered"}
    assert felt | ELSEWHERE | NOT_HERE == set(Faults.__dataclass_fields__)
