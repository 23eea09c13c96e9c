"""One running pipeline for the tests of this folder that leave it as they found it: running and silent."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.running import Running, running
from tests.e2e.scenes import STOCK, Stage

SETTLE = 1.0
"""Seconds that a lost answer may still take effect, instead of the two minutes of Xero."""


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def company(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Return a made-up company whose five systems are linked, with webhooks and sweeps."""
    folder = tmp_path_factory.mktemp("company")
    async with running(kafka, folder, f"company-{uuid.uuid4().hex[:8]}-", settle=SETTLE) as there:
        yield there


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def stage(company: Running) -> Stage:
    """Return that company with a stock of orders."""
    found = Stage(company)
    await found.fill(STOCK)
    return found
