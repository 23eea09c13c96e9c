"""Where Kafka comes from: O2C_KAFKA, else Docker where an engine answers, else its Java artifacts on a Java wheel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.broker import docker, java
from app.broker.ready import answers, wait_until_ready
from app.core.errors import ConfigError

__all__ = ["Broker", "found", "provide", "stop"]
_log = structlog.get_logger(__name__)
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Broker:
    """A Kafka that answers; `stop` ends it when it was started here."""

    bootstrap: str
    origin: str
    stop: Callable[[], Awaitable[None]]


async def provide(data_dir: Path, environment: Mapping[str, str], *, port: int = 0) -> Broker:
    """Return a Kafka that answers; ConfigError says in one sentence what failed and the next step.

    What is started here keeps its data in *data_dir* and listens on the loopback address only.
    """
    if given := environment.get("O2C_KAFKA"):
        await wait_until_ready(given, _READY_SECONDS)
        return Broker(given, "O2C_KAFKA", _leave)
    if await docker.engine_answers() and docker.composed():
        try:
            await docker.compose("up", "-d", docker.SERVICE)
            await wait_until_ready(docker.BOOTSTRAP, _READY_SECONDS)
        except ConfigError as error:
            _log.warning("kafka.docker_failed", reason=str(error), instead="Apache Kafka's Java artifacts")
        else:
            return Broker(docker.BOOTSTRAP, "docker", lambda: docker.compose("stop", docker.SERVICE))
    running = await java.start(data_dir, environment, port=port)

    async def end() -> None:
        await java.stop(data_dir)

    return Broker(running.bootstrap, "java", end)


async def found(data_dir: Path, environment: Mapping[str, str]) -> tuple[str, bool]:
    """Return the address of the Kafka that `provide` gave, and whether it answers; "" when there is none."""
    running = java.state(data_dir)
    address = environment.get("O2C_KAFKA") or (running.bootstrap if running else "")
    if not address and docker.composed() and await docker.engine_answers():
        address = docker.BOOTSTRAP
    return address, bool(address) and await answers(address)


async def stop(data_dir: Path) -> bool:
    """Stop what `provide` started, in Java or in Docker; False when there was nothing."""
    if await java.stop(data_dir):
        return True
    if docker.composed() and await docker.engine_answers() and await answers(docker.BOOTSTRAP):
        await docker.compose("stop", docker.SERVICE)
        return True
    return False


async def _leave() -> None:
    """Leave a Kafka alone that somebody else runs."""
