"""Kafka from a Docker engine, where one answers."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from app.core.errors import ConfigError

SERVICE = "kafka"
BOOTSTRAP = "127.0.0.1:9092"
_PROBE_SECONDS = 5.0


def composed() -> bool:
    """Tell whether the current folder has a compose file."""
    return Path("docker-compose.yml").exists()


async def engine_answers() -> bool:
    """Tell whether `docker info` reaches an engine."""
    if shutil.which("docker") is None:
        return False
    process = await asyncio.create_subprocess_exec(
        "docker", "info", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        return await asyncio.wait_for(process.wait(), _PROBE_SECONDS) == 0
    except TimeoutError:
        process.kill()
        await process.wait()
        return False


async def compose(*words: str) -> None:
    """Run `docker compose` in the current folder; ConfigError with its last line when it fails."""
    process = await asyncio.create_subprocess_exec(
        "docker", "compose", *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise ConfigError(f"docker compose {' '.join(words)} failed: {last[0]}; set O2C_KAFKA to use another Kafka.")
