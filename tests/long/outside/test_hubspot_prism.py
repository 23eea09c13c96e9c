"""The round trips of HubSpot's sink and source once more; a mock that nobody here wrote must accept each of their requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.core.talk import Request
from app.sandbox.platforms.hubspot import HubspotSandbox
from streams.sources.subscribing import Subscription
from tests.long.outside.mock import Judge, judging
from tests.platforms.hubspot.desk import AUTH, Desk, desks
from tests.platforms.hubspot.spec import FILES, UNLISTED, Spec
from tests.platforms.hubspot.test_hubspot_batches import *  # noqa: F403 - the same tests, with a judged `open_desk`
from tests.platforms.hubspot.test_hubspot_many_invoices import *  # noqa: F403 - the same
from tests.platforms.hubspot.test_hubspot_many_payments import *  # noqa: F403 - the same
from tests.platforms.hubspot.test_hubspot_webhooks import ADDRESS, SUBSCRIBER, WANTED, App
from tests.sandbox.test_hubspot_buyers import *  # noqa: F403 - the same
from tests.sandbox.test_hubspot_dated import *  # noqa: F403 - the same
from tests.sandbox.test_hubspot_lines import *  # noqa: F403 - the same
from tests.sandbox.test_hubspot_money import *  # noqa: F403 - the same
from tests.sandbox.test_hubspot_roundtrip import *  # noqa: F403 - the same

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
DEALS = "/crm/v3/objects/deals"


class Witness(Spec):
    """Remembers every request of a desk, where the round trips have the vendor's files look at it."""

    def __init__(self) -> None:
        self.seen: list[Request] = []

    def check_request(self, method: str, path: str, body: bytes, params: dict[str, str]) -> None:
        if not path.startswith(UNLISTED):
            self.seen.append(Request(method=method, path=path, params=params, json=json.loads(body) if body else None))

    def check_reply(self, method: str, path: str, status: int, body: bytes) -> None:
        """Leave replies to the round trips themselves."""


@pytest.fixture(scope="module")
def judge(prism: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    named = [name for name in FILES if name.startswith("crm-") or name == "webhooks-2026-09"]
    files = [shared / "specs" / "hubspot" / f"{name}.json" for name in named]
    # The file of deals calls the type by its id; both names are one resource.
    also = {DEALS: "/crm/v3/objects/0-3"}
    with judging(prism, tmp_path_factory.mktemp("hubspot"), files, AUTH, also) as found:
        yield found


@pytest.fixture
async def open_desk(judge: Judge, root: Path) -> AsyncIterator[Callable[..., Any]]:
    witness = Witness()
    async with desks(root) as start:

        async def watched(**options: str) -> Desk:
            desk: Desk = await start(**options)
            desk.spec = witness
            return desk

        yield watched
    assert judge.objections(witness.seen) == []


async def test_the_apps_address_and_subscriptions_are_accepted(judge: Judge) -> None:
    witness, sandbox = Witness(), HubspotSandbox()
    other = Subscription(topics=WANTED.topics[:3], address="https://old.example.com/hooks/hubspot/default")
    async with aiohttp.ClientSession() as session:
        app = App(sandbox, await sandbox.start(), witness, session)
        await app.talk(SUBSCRIBER.create(other))
        row = sandbox.subscriptions.call("GET", ["1", "subscriptions"], {})[1]["results"][0]  # type: ignore[index]
        sandbox.subscriptions.call("PATCH", ["1", "subscriptions", row["id"]], {"active": False})
        await app.talk(SUBSCRIBER.update(other, WANTED))
        (now,) = await app.talk(SUBSCRIBER.found())
        await app.talk(SUBSCRIBER.delete(now, WANTED.topics))
    await sandbox.stop()
    assert now.address == ADDRESS
    assert {one.method for one in witness.seen} == {"GET", "PUT", "POST", "PATCH", "DELETE"}
    assert judge.objections(witness.seen) == []


@pytest.mark.parametrize(
    "wrong",
    [
        Request(method="POST", path=DEALS, json={"properties": "none", "associations": []}),
        Request(method="POST", path=DEALS, json={"properties": {}, "associations": [], "kind": "deal"}),
        Request(method="POST", path=f"{DEALS}/search", json={"filterGroups": [{"filters": [{"operator": "IS"}]}]}),
        Request(method="GET", path=f"{DEALS}/7", params={"archived": "perhaps"}),
        Request(method="GET", path="/crm/v3/objects/deals/7/lines"),
        Request(method="POST", path="/crm/objects/2026-09/deals", json={"properties": "none"}),
        Request(method="POST", path="/app-webhooks/2026-09/1/subscriptions", json={"active": True}),
    ],
)
def test_a_wrong_request_is_refused(wrong: Request, judge: Judge) -> None:
    assert judge.objections([wrong])


def test_the_judge_had_work(judge: Judge) -> None:
    assert judge.judged > 100
