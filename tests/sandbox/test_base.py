"""The sandbox's own promises: faults happen where they say, webhooks arrive signed and in order."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.sandbox.base import Faults, Sandbox
from app.sandbox.faults import Injector

pytestmark = pytest.mark.sandbox


class Counting(Sandbox):
    slug = "counting"

    def __init__(self, *args: Any, **knobs: Any) -> None:
        super().__init__(*args, **knobs)
        self.value = 0
        self.verbs = {"add": self.add}

    def add(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.value += asked["by"]
        self.remember({"kind": "order", "id": "1", "total": str(self.value)})
        self.emit(json.dumps({"value": self.value}).encode(), topic="added")
        return {"value": self.value}

    def routes(self) -> list[web.RouteDef]:
        async def get(_: web.Request) -> web.Response:
            return web.json_response({"value": self.value})

        async def post(_: web.Request) -> web.Response:
            self.value += 1
            return web.json_response({"value": self.value})

        return [web.get("/value", get), web.post("/value", post)]

    def books(self) -> list[dict[str, Any]]:
        return [{"kind": "order", "id": "1", "total": str(self.value)}]

    def sign(self, body: bytes, url: str, secret: str, now: datetime) -> dict[str, str]:
        return {"X-Signature": f"{secret}:{len(body)}"}


@pytest.fixture
async def sandbox() -> AsyncIterator[Counting]:
    sandbox = Counting("acc")
    sandbox.url = await sandbox.start()
    yield sandbox
    await sandbox.stop()


async def faults(client: aiohttp.ClientSession, sandbox: Counting, **knobs: Any) -> None:
    async with client.post(f"{sandbox.url}/_sandbox/faults", json=knobs) as reply:
        assert reply.status == 200


async def test_reset_before_commit_changes_nothing_and_reset_after_does(sandbox: Counting) -> None:
    async with aiohttp.ClientSession() as client:
        await faults(client, sandbox, reset_before_commit=1)
        with pytest.raises(aiohttp.ClientError):
            await client.post(f"{sandbox.url}/value")
        assert sandbox.value == 0
        await faults(client, sandbox, reset_before_commit=0, reset_after_commit=1)
        with pytest.raises(aiohttp.ClientError):
            await client.post(f"{sandbox.url}/value")
        assert sandbox.value == 1
        async with client.get(f"{sandbox.url}/_sandbox/faults") as reply:
            assert (await reply.json())["injected"] == {"reset_before_commit": 1, "reset_after_commit": 1}


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - the other side is a socket
            await asyncio.sleep(0.02)


async def test_slow_commit_breaks_the_connection_and_commits_later(sandbox: Counting) -> None:
    async with aiohttp.ClientSession() as client:
        await faults(client, sandbox, slow_commit=1, slow_commit_s=0.5)
        with pytest.raises(aiohttp.ClientError):
            await client.post(f"{sandbox.url}/value")
        assert sandbox.value == 0
        await until(lambda: sandbox.value == 1)


async def test_reads_are_logged_as_reads_and_faults_by_name(sandbox: Counting) -> None:
    async with aiohttp.ClientSession() as client:
        await faults(client, sandbox, rate_429=1)
        assert (await client.get(f"{sandbox.url}/value")).status == 429
        await faults(client, sandbox, rate_429=0)
        await client.post(f"{sandbox.url}/value", headers={"Idempotency-Key": "k"})
        async with client.get(f"{sandbox.url}/_sandbox/requests") as reply:
            log = await reply.json()
    assert [(row["mutating"], row["key"], row["fault"]) for row in log["requests"]] == [
        (False, "", "rate_429"),
        (True, "k", ""),
    ]
    assert log["counters"] == {"total": 2, "mutating": 1, "429": 1, "200": 1}


async def test_webhooks_are_signed_and_keep_their_order_over_a_refusal(sandbox: Counting) -> None:
    got: list[tuple[Any, str]] = []

    async def receive(request: web.Request) -> web.Response:
        got.append((await request.json(), request.headers["X-Signature"]))
        return web.Response(status=503 if len(got) == 1 else 200)

    receiver = web.Application()
    receiver.add_routes([web.post("/in", receive)])
    runner = web.AppRunner(receiver)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    async with aiohttp.ClientSession() as client:
        await client.post(f"{sandbox.url}/_sandbox/webhooks", json={"url": url, "secret": "s"})
        for _ in range(3):
            await client.post(f"{sandbox.url}/_sandbox/act/add", json={"by": 1})
        await until(lambda: not sandbox.hooks.pending)
    await runner.cleanup()
    assert [body["value"] for body, _ in got] == [1, 1, 2, 3]
    assert got[0][1] == "s:12"


async def test_an_unknown_route_is_answered_404_where_warnings_are_errors(sandbox: Counting) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{sandbox.url}/nowhere") as reply:
        assert reply.status == 404
        assert "404" in await reply.text()


async def test_books_are_json_lines(sandbox: Counting) -> None:
    async with aiohttp.ClientSession() as client, client.get(f"{sandbox.url}/_sandbox/books") as reply:
        assert json.loads(await reply.text()) == {"kind": "order", "id": "1", "total": "0"}


async def test_the_history_tells_every_change_once_in_order(sandbox: Counting) -> None:
    async with aiohttp.ClientSession() as client:
        for _ in range(3):
            await client.post(f"{sandbox.url}/_sandbox/act/add", json={"by": 1})
        async with client.get(f"{sandbox.url}/_sandbox/history", params={"after": "1"}) as reply:
            assert [json.loads(line)["total"] for line in (await reply.text()).splitlines()] == ["2", "3"]


async def test_a_write_counts_as_in_flight_from_its_arrival_to_its_answer(sandbox: Counting) -> None:
    async def in_flight(client: aiohttp.ClientSession) -> int:
        async with client.get(f"{sandbox.url}/_sandbox/requests", params={"last": "0"}) as reply:
            return int((await reply.json())["in_flight"])

    async with aiohttp.ClientSession() as client:
        await faults(client, sandbox, latency_s=1)
        calls = [asyncio.create_task(client.request(method, f"{sandbox.url}/value")) for method in ("POST", "GET")]
        await until(lambda: sandbox._writes_in_flight)
        await asyncio.sleep(0.1)  # the other one arrives as well
        assert await in_flight(client) == 1
        await asyncio.gather(*calls)
        assert await in_flight(client) == 0


async def test_a_write_whose_caller_is_gone_is_done_and_counted_as_unheard(sandbox: Counting) -> None:
    async with aiohttp.ClientSession() as client:
        await faults(client, sandbox, latency_s=1)
        async with aiohttp.ClientSession() as caller:
            call = asyncio.create_task(caller.post(f"{sandbox.url}/value"))
            await until(lambda: sandbox._writes_in_flight)
            call.cancel()
        await until(lambda: not sandbox._writes_in_flight)
        async with client.get(f"{sandbox.url}/_sandbox/requests", params={"last": "0"}) as reply:
            told = await reply.json()
    assert (sandbox.value, told["unheard"], told["in_flight"]) == (1, 1, 0)


async def test_a_platform_runs_as_a_process_and_names_its_address_first() -> None:
    words = ("-m", "app.sandbox", "shopify", "--account", "a.myshopify.com")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    url = (await asyncio.wait_for(process.stdout.readline(), 120)).decode().strip()
    async with aiohttp.ClientSession() as client, client.get(f"{url}/_sandbox/health") as reply:
        assert (await reply.json())["account"] == "a.myshopify.com"
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 60) == 0


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        Faults().changed({"gremlins": 1})


def test_the_same_seed_injects_the_same_faults() -> None:
    runs = [Injector(Faults(rate_429=0.5), Random(7)) for _ in range(2)]
    assert [runs[0].happens("rate_429") for _ in range(50)] == [runs[1].happens("rate_429") for _ in range(50)]


async def test_a_strike_hits_exactly_as_often_as_asked_for(sandbox: Counting) -> None:
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{sandbox.url}/_sandbox/strikes", json={"rate_429": 2}) as reply:
            assert (await reply.json())["due"] == {"rate_429": 2}
        statuses = []
        for _ in range(4):
            async with client.post(f"{sandbox.url}/value") as reply:
                statuses.append(reply.status)
        assert statuses == [429, 429, 200, 200]
        async with client.get(f"{sandbox.url}/_sandbox/faults") as reply:
            told = await reply.json()
        assert (told["injected"], told["due"]) == ({"rate_429": 2}, {})
        async with client.post(f"{sandbox.url}/_sandbox/strikes", json={"rate_430": 2}) as reply:
            assert reply.status == 400


async def test_a_token_expires_between_a_read_and_a_write(sandbox: Counting) -> None:
    sandbox.injector.due["expired_on_write"] = 1
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{sandbox.url}/value") as reply:
            assert reply.status == 200
        async with client.post(f"{sandbox.url}/value") as reply:
            assert reply.status == 401
    assert sandbox.value == 0


async def test_a_late_reply_comes_when_the_write_is_done_and_nobody_listens(sandbox: Counting) -> None:
    sandbox.injector.due["late_reply"] = 1
    sandbox.injector.faults = sandbox.faults.changed({"late_reply_s": 2})
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as client:
        with pytest.raises(TimeoutError):
            await client.post(f"{sandbox.url}/value")
    assert sandbox.value == 1


async def test_what_is_kept_from_a_search_counts_as_injected(sandbox: Counting) -> None:
    now = sandbox.clock()
    assert sandbox.visible(now)
    assert sandbox.injector.injected == {}
    sandbox.injector.faults = sandbox.faults.changed({"visibility_lag_s": 30})
    assert not sandbox.settled(now)
    assert not sandbox.visible(now)
    assert sandbox.injector.injected == {"visibility_lag_s": 1}
