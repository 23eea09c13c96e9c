"""The gateway role: webhooks and foreign events in."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Mapping
from functools import partial

import structlog
from aiokafka.errors import KafkaError

from app import platforms
from app.config.model import Settings
from app.core.errors import ConfigError
from app.core.metrics import new_metrics
from app.gateway.addresses import Address, addresses
from app.gateway.publisher import KafkaPublisher
from app.gateway.server import Gateway
from app.kafka import no_answer, reached, security
from app.roles.status_page import add_status_routes, serve
from app.world import router

log = structlog.get_logger(__name__)
_COLLECTED = (20_000, 20, 20)
"""Hundreds of deliveries wait for Kafka at once: by Python's own thresholds each is looked at again and again."""


def keys(settings: Settings) -> dict[str, str]:
    """Return the keys of services, each with the tenant that it may tell of, "" for all."""
    own = {key.get_secret_value(): tenant.tenant for tenant in settings.tenants for key in tenant.api_keys}
    return {**own, **{key.get_secret_value(): "" for key in settings.gateway.api_keys}}


async def run(settings: Settings, again: Callable[[], Settings] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; ConfigError when Kafka does not answer at the start.

    SIGHUP reads the settings *again*: what signs and who may tell may change without a delivery being refused.
    """
    await reached(settings.kafka)
    publisher = KafkaPublisher(
        settings.kafka.bootstrap, settings.topics.prefix, security(settings.kafka), router(settings)
    )
    try:
        await publisher.start()
    except KafkaError as error:
        await publisher.stop()
        raise no_answer(settings.kafka) from error
    metrics = new_metrics()
    gateway = Gateway(
        served(settings),
        publisher,
        metrics,
        public_url=settings.gateway.public_url,
        api_keys=keys(settings),
    )
    app = gateway.app()
    stopped = asyncio.Event()
    _fine: Mapping[str, str] = {}
    add_status_routes(app, metrics, live=lambda: _fine, ready=gateway.wrong)
    runner, _ = await serve(app, settings.gateway.host, settings.gateway.port, before=gateway.before)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    if again is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, partial(_taken, gateway, again))
    gc.freeze()  # what is there by now stays
    gc.set_threshold(*_COLLECTED)
    watching = asyncio.create_task(gateway.watch())
    await stopped.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await runner.cleanup()
    await publisher.stop()
    return 0


def served(settings: Settings) -> dict[tuple[str, str], Address]:
    """Return what stands behind each address of the configuration."""
    slugs = {resolved.connection.platform for resolved in settings.connections}
    return addresses(settings.connections, {slug: platforms.load(slug).source for slug in slugs})


def _taken(gateway: Gateway, again: Callable[[], Settings]) -> None:
    try:
        found = again()
        gateway.take(served(found), keys(found))
    except ConfigError as error:
        log.error("gateway.not_reloaded", why=str(error))  # noqa: TRY400 - a person's mistake; the old ones still hold
    else:
        log.info("gateway.reloaded")
