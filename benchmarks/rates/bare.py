"""The floor of the gateway: an aiohttp handler that reads and produces the body, with the gateway's settings and key.

`python -m benchmarks.rates.bare BOOTSTRAP TOPIC PORT` serves POST on any path until SIGTERM; 200 once acknowledged.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from aiohttp import web
from aiokafka import AIOKafkaProducer

from app.gateway.publisher import PRODUCER
from app.roles.status_page import serve


async def main(bootstrap: str, topic: str, port: int) -> None:
    """Serve until told to stop."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **PRODUCER)
    await producer.start()

    async def hook(request: web.Request) -> web.Response:
        body = await request.read()
        await producer.send_and_wait(topic, body, key=request.path.encode())
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", hook)
    runner, _ = await serve(app, "127.0.0.1", port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await runner.cleanup()
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
