"""When the owner of a connection looks after its webhooks, and when it leaves them alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app import platforms
from app.config.model import GatewayConfig, ResolvedConnection, Settings
from app.core.talk import Request, Response
from app.subscribing import keeping
from app.subscribing.keeping import Keeper, every
from app.subscribing.registering import Registrar, Report
from schemas.connection import Connection

HERE = "https://hooks.example.com"
ADDRESS = f"{HERE}/hooks/acme/pay"


class Watched:
    """A Stripe account without endpoints, and what its keeper asked and told."""

    def __init__(self, platform: str = "stripe") -> None:
        self.asked: list[str] = []
        self.told: list[Report | None] = []
        self.address = ADDRESS
        self.answers = True
        self.well = asyncio.Event()
        self.well.set()
        settings = Settings(data_dir=Path("data"), gateway=GatewayConfig(public_url=HERE))
        resolved = ResolvedConnection(
            connection=Connection(name="pay", tenant="acme", platform=platform, account="acct_1"),
            secrets={}, allow_private=False, sweep_seconds=1, quota_share=1,
        )  # fmt: skip
        self.registrar = Registrar(settings, resolved, self.send)

    async def reached(self, address: str) -> bool:
        return self.answers and address == ADDRESS

    async def send(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.path}")
        return Response(status=200, body=b'{"object": "list", "data": [], "has_more": false}')

    @contextlib.asynccontextmanager
    async def kept(self, seconds: float) -> AsyncIterator[None]:
        """Let the keeper live during the block."""
        self.keeper = Keeper(
            self.registrar, lambda: self.address, seconds=seconds, well=self.well, shown=self.told.append,
            reached=self.reached,
        )  # fmt: skip
        running = asyncio.create_task(self.keeper.run())
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)


async def turns() -> None:
    """Let everything that is ready happen, many times."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_OFTEN", 0.0)


async def test_a_lost_endpoint_is_told_and_not_made_again_without_a_person() -> None:
    watched = Watched()
    async with watched.kept(3_600):
        await watched.until(lambda: bool(watched.told))
        await turns()
    assert watched.asked == ["GET /v1/webhook_endpoints"], "one look an hour, and nothing is changed"
    (report,) = watched.told
    assert report is not None
    assert report.standing is not None
    assert report.standing.missing == report.wanted
    assert report.errors[0].endswith("run `o2c webhooks register pay`.")


async def test_what_is_silent_is_registered_anew_once_between_two_looks_or_a_person_is_told_how() -> None:
    watched = Watched()
    async with watched.kept(3_600):
        await watched.until(lambda: len(watched.told) == 1)
        for _ in range(2):
            watched.keeper.renew()
            await turns()
    assert watched.asked == ["GET /v1/webhook_endpoints"] * 3, "Stripe shows a new secret once: nothing is changed"
    _, renewed, again = watched.told
    assert renewed is not None
    assert renewed.errors[0].endswith("run `o2c webhooks remove pay`, then `o2c webhooks register pay`.")
    for report in (renewed, again):
        assert report is not None
        assert report.standing is not None
        assert report.standing.missing == report.wanted, "the alarm rings"
    assert again is not None
    assert again.errors == (), "it is not tried again"


async def test_a_platform_is_not_to_blame_where_no_gateway_answers() -> None:
    watched = Watched()
    watched.answers = False
    async with watched.kept(3_600):
        await watched.until(lambda: len(watched.told) == 1)
        watched.keeper.renew()
        await turns()
    assert len(watched.told) == 1


async def test_what_nobody_registered_is_not_registered_because_it_is_silent() -> None:
    watched = Watched()
    watched.address = ""
    async with watched.kept(3_600):
        watched.keeper.renew()
        await turns()
    assert watched.asked == []


@pytest.mark.parametrize("address", ["", "https://old.example.com/hooks/acme/pay"])
async def test_what_nobody_registered_at_this_address_is_left_alone(address: str) -> None:
    watched = Watched()
    watched.address = address
    async with watched.kept(0.01):
        await turns()
    assert (watched.asked, watched.told) == ([], [])


@pytest.mark.parametrize(("platform", "seconds"), [("stripe", 0.0), ("xero", 0.01)])
async def test_never_means_never_and_where_there_is_no_api_nobody_looks(platform: str, seconds: float) -> None:
    watched = Watched(platform)
    watched.address = watched.registrar.address
    async with watched.kept(seconds):
        await turns()
    assert (watched.asked, watched.told) == ([], [])


async def test_a_connection_that_is_not_well_is_not_asked() -> None:
    watched = Watched()
    watched.well.clear()
    async with watched.kept(0.01):
        await turns()
    assert watched.asked == []


async def test_once_removed_it_is_told_no_more() -> None:
    watched = Watched()
    async with watched.kept(0.01):
        await watched.until(lambda: bool(watched.told))
        watched.address = ""
        await watched.until(lambda: watched.told[-1] is None)
        await turns()
    assert watched.told[0] is not None
    assert watched.told[-1] is None
    assert watched.told.count(None) == 1


@pytest.mark.parametrize(
    ("platform", "configured", "seconds"),
    [("stripe", None, 86_400), ("shopify", None, 3_600), ("shopify", 60, 60), ("shopify", 0, 0)],
)
def test_a_connection_is_looked_at_as_often_as_its_platform_needs_or_its_section_says(
    platform: str, configured: float | None, seconds: float
) -> None:
    resolved = ResolvedConnection(
        connection=Connection(name="pay", tenant="acme", platform=platform, account="a"),
        secrets={}, allow_private=False, sweep_seconds=1, quota_share=1, webhooks_seconds=configured,
    )  # fmt: skip
    assert every(resolved, platforms.load(platform).source.webhooks) == seconds
