"""A rig beside a sandbox that is as quick as it can be."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from tests.platforms.quickbooks_online.rig import Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    sandbox = QuickbooksOnlineSandbox("310687", quota_scale=100)
    yield Rig(sandbox, await sandbox.start())
    await sandbox.stop()
