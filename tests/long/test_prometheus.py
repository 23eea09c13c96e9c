"""A real Prometheus over a demo: every panel and every alert finds its series."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from app.cli.topics import apply_topics
from app.config.load import load
from app.demo.history import generated
from app.demo.play import Player
from app.demo.registering import register_webhooks
from app.demo.stack import Stack, free_port
from app.demo.watch import Watch
from tests.composed import filled
from tests.long.debian import unpacked

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.kafka]
ROLES = ("streams", "connectors", "gateway", "console")
PATIENCE = 120.0
_COMPARED = re.compile(r" (?:==|<|>) [0-9* ]+$")
Query = Callable[[str], Awaitable[list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of prometheus and promtool: where PATH finds them, else Debian's package, unpacked for this run."""
    if (found := shutil.which("prometheus")) and shutil.which("promtool"):
        return Path(found).parent
    return unpacked("prometheus", tmp_path_factory.mktemp("debian")) / "usr/bin"


@pytest.fixture(scope="module")
def service(root: Path) -> dict[str, Any]:
    """Return what docker-compose.yml says of Prometheus."""
    text = filled((root / "docker-compose.yml").read_text(encoding="utf-8"), {})
    found: dict[str, Any] = yaml.safe_load(text)["services"]["prometheus"]
    return found


def _rules(root: Path) -> dict[str, str]:
    groups = yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def _panels(root: Path) -> dict[str, str]:
    board = json.loads((root / "deploy/grafana/dashboards/o2c.json").read_text(encoding="utf-8"))
    return {f"{panel['title']} {one['refId']}": one["expr"] for panel in board["panels"] for one in panel["targets"]}


def _uncompared(expression: str) -> list[str]:
    """Return what an alert looks at, without what it compares it with: a healthy system still has the series."""
    parts = expression.split(" and ")
    found = [_COMPARED.sub("", part) for part in parts]
    assert all(one != part for one, part in zip(found, parts, strict=True)), expression
    return found


def test_promtool_finds_nothing_wrong(root: Path, programs: Path) -> None:
    command = [str(programs / "promtool"), "check", "config", "prometheus.yml"]
    done = subprocess.run(command, cwd=root / "deploy/prometheus", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(_rules(root))} rules found" in done.stdout


async def test_the_check_of_the_service_tells_the_truth(
    root: Path, tmp_path: Path, programs: Path, service: dict[str, Any]
) -> None:
    kind, program, *words = service["healthcheck"]["test"]
    if (found := shutil.which(program)) is None:
        pytest.skip(f"no {program} on PATH, which the image has")
    port = free_port()

    def healthy() -> bool:
        asked = [word.replace(":9090", f":{port}") for word in words]
        return subprocess.run([found, *asked], capture_output=True, timeout=30, check=False).returncode == 0

    assert (kind, healthy()) == ("CMD", False)
    async with _prometheus(root, tmp_path, programs, service, dict.fromkeys(ROLES, 9), port):
        assert await asyncio.to_thread(healthy)
    assert not healthy()


async def test_after_a_demo_every_panel_and_every_alert_has_its_series(
    kafka: str, root: Path, tmp_path: Path, programs: Path, service: dict[str, Any]
) -> None:
    async with AsyncExitStack() as after:
        stack = Stack(tmp_path, 50.0)
        after.push_async_callback(stack.stop)
        await stack.start_sandboxes()
        config = stack.write_config(kafka, free_port(), 50.0, prefix=f"prom-{uuid.uuid4().hex[:8]}-")
        console = f"[console]\nport = {free_port()}\n[[tenant]]"
        config.write_text(config.read_text("utf-8").replace("[[tenant]]", console, 1), encoding="utf-8")
        settings = load(config, os.environ)
        await apply_topics(settings)
        settings = await register_webhooks(stack.urls, config)
        for role in ROLES:
            await stack.start_role(role, config, f"{role}-1")
        ports = {role: getattr(settings, role).port for role in ROLES}
        query = await after.enter_async_context(_prometheus(root, tmp_path, programs, service, ports))
        session = await after.enter_async_context(aiohttp.ClientSession())
        await _until(lambda: _all_ready(session, ports), "every role is ready")
        await _until(lambda: _all_seen(query, ports), "every role was asked for its figures before anything happens")
        player = Player(session, stack.urls)
        await player.play(generated(8, 2))
        pages = [f"http://127.0.0.1:{port}" for port in ports.values()]
        watch = Watch(session, stack.urls, pages)
        assert await watch.silence(5.0, 240.0)
        assert (await watch.figures()).writes, "something was written"
        await asyncio.sleep(2 * _SCRAPED)
        for title, expression in _panels(root).items():
            values = [float(row["value"][1]) for row in await query(expression)]
            assert values, f"{title} draws nothing: {expression}"
            assert not all(map(math.isnan, values)), f"{title} has no number: {expression}"
        for name, expression in _rules(root).items():
            for part in _uncompared(expression):
                assert await query(part), f"{name} can never fire: {part}"
        rules = await query("ALERTS")
        calm = {"RoleDown", "DeadLetters", "HooksUnavailable", "TokenExpires", "NothingCommitted", "StateThrownAway"}
        assert {row["metric"]["alertname"] for row in rules} & calm == set()


_SCRAPED = 1.0


@asynccontextmanager
async def _prometheus(
    root: Path, folder: Path, programs: Path, service: dict[str, Any], ports: dict[str, int], port: int = 0
) -> AsyncIterator[Query]:
    """Run the project's own configuration by the service's command, with the ports of this run and a scrape each second."""
    text = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    text["global"] = dict.fromkeys(text["global"], f"{_SCRAPED:g}s")
    text["rule_files"] = [str(root / "deploy/prometheus" / name) for name in text["rule_files"]]
    for entry in text["scrape_configs"][0]["static_configs"]:
        entry["targets"] = [f"127.0.0.1:{ports[entry['labels']['role']]}"]
    path, port = folder / "prometheus.yml", port or free_port()
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    words = [
        *(word.replace("/etc/prometheus/prometheus.yml", str(path)) for word in service["command"]),
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(programs / "prometheus", *words, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:

        async def query(expression: str) -> list[dict[str, Any]]:
            async with session.get(f"{url}/api/v1/query", params={"query": expression}) as reply:
                answer = await reply.json()
            assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
            found: list[dict[str, Any]] = answer["data"]["result"]
            return found

        async def ready() -> bool:
            async with session.get(f"{url}/-/ready") as reply:
                return reply.status == 200

        try:
            await _until(ready, "Prometheus is ready")
            yield query
        finally:
            process.terminate()
            await process.wait()


async def _all_ready(session: aiohttp.ClientSession, ports: dict[str, int]) -> bool:
    for port in ports.values():
        async with session.get(f"http://127.0.0.1:{port}/health/ready") as reply:
            if reply.status != 200:
                return False
    return True


async def _all_seen(query: Query, ports: dict[str, int]) -> bool:
    """Tell whether Prometheus has a first look at each role: it sees no increase in what happened before."""
    return len([row for row in await query("up") if row["value"][1] == "1"]) == len(ports)


async def _until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if await true():
                return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.3)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")
