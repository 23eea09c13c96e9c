"""Apache Kafka from its Java artifacts, started and stopped for real."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.broker import java
from app.core.errors import ConfigError

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
WITHOUT_GIVEN = {name: value for name, value in os.environ.items() if name != "O2C_KAFKA"}


async def create(bootstrap: str, topic: str, copies: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, copies)])
    finally:
        await admin.close()


async def write(bootstrap: str, topic: str, value: bytes, codec: str | None = None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", compression_type=codec)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def first(bootstrap: str, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return bytes((await consumer.getone()).value or b"")
    finally:
        await consumer.stop()


async def test_records_survive_a_restart_of_the_broker(tmp_path: Path) -> None:
    running = await java.start(tmp_path, WITHOUT_GIVEN)
    try:
        await create(running.bootstrap, "kept")
        await write(running.bootstrap, "kept", b"value", codec="zstd")
        assert await java.stop(tmp_path)
        assert java.state(tmp_path) is None
        running = await java.start(tmp_path, WITHOUT_GIVEN)
        assert await first(running.bootstrap, "kept") == b"value"
    finally:
        await java.stop(tmp_path)


async def test_a_taken_port_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigError, match=r"Port \d+ is taken; choose another"):
            await java.start(tmp_path, WITHOUT_GIVEN, port=other.getsockname()[1])
    assert java.state(tmp_path) is None


def o2c(folder: Path, root: Path, *words: str) -> tuple[int, dict[str, object]]:
    command = [sys.executable, "-m", "app", "kafka", *words, "--data", str(folder), "--json"]
    environment = WITHOUT_GIVEN | {"PYTHONPATH": str(root), "DOCKER_HOST": "tcp://127.0.0.1:1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, json.loads(done.stdout)


def test_the_command_starts_tells_and_stops(tmp_path: Path, root: Path) -> None:
    code, started = o2c(tmp_path, root, "start", "--port", "0")
    try:
        assert (code, started["origin"]) == (0, "java")
        assert o2c(tmp_path, root, "status") == (
            0,
            {"running": True, "healthy": True, "bootstrap": started["bootstrap"]},
        )
        assert o2c(tmp_path, root, "start") == (0, {"bootstrap": started["bootstrap"]})
    finally:
        assert o2c(tmp_path, root, "stop") == (0, {"stopped": True})
    assert o2c(tmp_path, root, "status")[0] == 1
    assert o2c(tmp_path, root, "stop") == (0, {"stopped": False})


@pytest.mark.long
async def test_three_brokers_keep_what_was_acknowledged_when_one_is_killed(tmp_path: Path) -> None:
    running = await java.start(tmp_path, WITHOUT_GIVEN, nodes=3)
    try:
        await create(running.bootstrap, "copied", copies=3)
        await write(running.bootstrap, "copied", b"value")
        os.kill(running.pids[0], 9)
        others = running.bootstrap.partition(",")[2]
        assert await first(others, "copied") == b"value"
        await write(others, "copied", b"after")
    finally:
        await java.stop(tmp_path)
