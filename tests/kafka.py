"""Where the tests' Kafka comes from: `O2C_KAFKA`, else a container where an engine answers, else the Java artifacts."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from docker.errors import DockerException
from requests import RequestException
from testcontainers.core.container import DockerContainer

from app.broker import docker, java
from app.broker.artifacts import KAFKA_VERSION
from app.broker.properties import Node, properties
from app.broker.ready import wait_until_ready
from app.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READY_SECONDS = 90.0
_INSIDE, _CONTROLLER = 9092, 9093


@contextmanager
def provided(data_dir: Path) -> Iterator[str]:
    """Yield the bootstrap servers of a real Kafka; it is stopped afterwards if it was started here."""
    with asyncio.Runner() as runner:
        if given := os.environ.get("O2C_KAFKA"):
            runner.run(wait_until_ready(given, _READY_SECONDS))
            yield given
            return
        container = _container() if runner.run(docker.engine_answers()) else None
        if container is not None:
            try:
                address = f"127.0.0.1:{container.get_exposed_port(_INSIDE)}"
                runner.run(wait_until_ready(address, _READY_SECONDS))
                yield address
            finally:
                container.stop()
            return
        running = runner.run(java.start(data_dir, os.environ))
        try:
            yield running.bootstrap
        finally:
            runner.run(java.stop(data_dir))


def _container() -> DockerContainer | None:
    """Return a started broker; None where the engine cannot get the image (then the Java artifacts do)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(_INSIDE, port)
    for name, value in settings(port).items():
        container = container.with_env(name, value)
    try:
        return container.start()
    except (ConfigError, DockerException, RequestException):
        return None


def settings(port: int) -> dict[str, str]:
    """Return the environment of the image: what the Java broker gets as properties, listening on every address inside."""
    node = Node(id=1, port=_INSIDE, controller_port=_CONTROLLER)
    lines = (line.partition("=") for line in properties(node, [node], PurePosixPath("/tmp/kafka")).splitlines())
    values = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, _, value in lines}
    return values | {
        "KAFKA_LISTENERS": f"PLAINTEXT://:{_INSIDE},CONTROLLER://127.0.0.1:{_CONTROLLER}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
    }
