"""The demo's webhooks, arranged as a company does: by the product where a platform has an API, else by hand."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from app.config.load import load
from app.config.model import Settings
from app.core.errors import ConfigError
from app.demo.stack import SYSTEMS
from app.subscribing.keeping import promise
from app.subscribing.registering import Registrar, Report

_SECRETS = {system.connection: system.secrets["webhook_secret"] for system in SYSTEMS}


async def register_webhooks(urls: Mapping[str, str], config: Path) -> Settings:
    """Register at every system of *urls*, and return the configuration as the gateway is to read it.

    A signing secret that is shown once goes into *config*, so this comes before the gateway is started.
    """
    settings = load(config, os.environ)
    reports = await asyncio.gather(
        *(Registrar(settings, one).register() for one in settings.connections if one.connection.name in urls)
    )
    if wrong := [error for report in reports for error in report.errors]:
        raise ConfigError(wrong[0])
    by_api = {report.connection: report.address for report in reports if report.standing is not None}
    if why := await promise(settings, by_api):
        raise ConfigError(why)
    _keep_secrets(config, reports)
    async with aiohttp.ClientSession() as session:
        for report in reports:
            if report.standing is None:
                await _click(session, urls[report.connection], report, _SECRETS[report.connection])
    return load(config, os.environ)


def _keep_secrets(config: Path, reports: Sequence[Report]) -> None:
    text = config.read_text(encoding="utf-8")
    for report in reports:
        if report.secret:
            text = text.replace(f'"{_SECRETS[report.connection]}"', f'"{report.secret}"')
    new = config.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(config)  # at once: other roles may be reading it


async def _click(session: aiohttp.ClientSession, url: str, report: Report, secret: str) -> None:
    """Enter the address in the developer's console of a sandbox."""
    async with session.post(f"{url}/_sandbox/webhooks", json={"url": report.address, "secret": secret}) as reply:
        reply.raise_for_status()
