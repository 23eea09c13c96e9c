"""Where Kafka comes from, decided without one."""

from __future__ import annotations

from pathlib import Path

import pytest

import app.broker
from app.broker import docker, found, java, provide, stop
from app.core.errors import ConfigError


class World:
    """What the outside answers."""

    def __init__(self) -> None:
        self.engine = False
        self.image = True
        self.did: list[str] = []


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    monkeypatch.chdir(tmp_path)

    async def engine_answers() -> bool:
        return it.engine

    async def compose(*words: str) -> None:
        it.did.append(" ".join(words))
        if not it.image:
            raise ConfigError("no image")

    async def ready(bootstrap: str, seconds: float) -> None:
        it.did.append(f"wait {bootstrap}")

    async def start(data_dir: Path, environment: object, *, port: int = 0) -> java.Running:
        it.did.append("java")
        return java.Running("127.0.0.1:1", (1,))

    async def answers(bootstrap: str) -> bool:
        return True

    monkeypatch.setattr(docker, "engine_answers", engine_answers)
    monkeypatch.setattr(docker, "compose", compose)
    monkeypatch.setattr(java, "start", start)
    monkeypatch.setattr(app.broker, "wait_until_ready", ready)
    monkeypatch.setattr(app.broker, "answers", answers)
    return it


async def test_a_given_address_wins_and_is_left_alone(world: World, tmp_path: Path) -> None:
    world.engine = True
    broker = await provide(tmp_path, {"O2C_KAFKA": "kafka.example:9092"})
    await broker.stop()
    assert (broker.bootstrap, broker.origin) == ("kafka.example:9092", "O2C_KAFKA")
    assert world.did == ["wait kafka.example:9092"]


async def test_docker_is_used_where_an_engine_answers(world: World, tmp_path: Path) -> None:
    world.engine = True
    broker = await provide(tmp_path, {})
    await broker.stop()
    assert (broker.bootstrap, broker.origin) == (docker.BOOTSTRAP, "docker")
    assert world.did == ["up -d kafka", f"wait {docker.BOOTSTRAP}", "stop kafka"]


async def test_java_is_used_where_no_engine_answers(world: World, tmp_path: Path) -> None:
    broker = await provide(tmp_path, {})
    assert broker.origin == "java"
    assert world.did == ["java"]


async def test_java_is_used_where_the_engine_cannot_get_the_image(world: World, tmp_path: Path) -> None:
    world.engine, world.image = True, False
    assert (await provide(tmp_path, {})).origin == "java"


async def test_what_docker_started_is_found_and_stopped(world: World, tmp_path: Path) -> None:
    world.engine = True
    assert await found(tmp_path, {}) == (docker.BOOTSTRAP, True)
    assert await stop(tmp_path)
    assert world.did == ["stop kafka"]


async def test_nothing_is_found_where_nothing_runs(world: World, tmp_path: Path) -> None:
    assert await found(tmp_path, {}) == ("", False)
    assert not await stop(tmp_path)


async def test_a_state_file_of_a_broker_that_died_is_no_broker(tmp_path: Path) -> None:
    (tmp_path / "kafka.json").write_text('{"bootstrap":"127.0.0.1:1","pids":[1]}')
    (tmp_path / "node-1").mkdir()
    (tmp_path / "node-1" / ".lock").write_bytes(b"")
    assert java.state(tmp_path) is None
    assert not await java.stop(tmp_path)
