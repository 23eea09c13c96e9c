"""Where Kafka comes from: O2C_KAFKA, else Docker where an engine answers, else its Java artifacts on a Java wheel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.broker import docker, java
from app.broker.ready import wait_until_ready

__all__ = ["Broker", "provide"]
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
        await docker.compose("up", "-d", docker.SERVICE)
        await wait_until_ready(docker.BOOTSTRAP, _READY_SECONDS)
        return Broker(docker.BOOTSTRAP, "docker", lambda: docker.compose("stop", docker.SERVICE))
    running = await java.start(data_dir, environment, port=port)

    async def end() -> None:
        await java.stop(data_dir)

    return Broker(running.bootstrap, "java", end)


async def _leave() -> None:
    """Leave a Kafka alone that somebody else runs."""
