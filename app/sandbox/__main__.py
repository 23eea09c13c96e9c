"""Run one sandbox platform: `python -m app.sandbox shopify --port 9001 --account example`."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
import sys

from app.sandbox.base import Sandbox


def find(slug: str) -> type[Sandbox]:
    """Return the sandbox class of the platform whose file or folder is *slug*."""
    name = f"app.sandbox.platforms.{slug}"
    module = importlib.import_module(name)
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Sandbox) and value.slug == slug:
            return value
    raise LookupError(f"{name} has no Sandbox class with slug {slug!r}")


async def serve(sandbox: Sandbox, port: int) -> None:
    """Serve until a signal comes; the first line on the output is the base URL."""
    url = await sandbox.start(port)
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, done.set)
    await done.wait()
    await sandbox.stop()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m app.sandbox", description=__doc__)
    parser.add_argument("platform")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--account", default="example")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quota-scale", type=float, default=1.0)
    asked = parser.parse_args()
    sandbox = find(asked.platform)(asked.account, seed=asked.seed, quota_scale=asked.quota_scale)
    asyncio.run(serve(sandbox, asked.port))


if __name__ == "__main__":
    main()
