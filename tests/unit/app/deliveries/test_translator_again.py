"""What ends a translator, and what only makes it begin again: aiokafka is played, since a broker cannot be asked for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from app.core.metrics import new_metrics
from app.deliveries import translator as under_test
from app.deliveries.translator import Translator
from app.gateway.publisher import KafkaPublisher
from tests.made_up_deliveries import served


class Consumer:
    """Raises what it is told, then has nothing to give."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors, self.empty = list(errors), asyncio.Event()

    async def getmany(self, **_how: Any) -> dict[Any, Any]:
        if self.errors:
            raise self.errors.pop(0)
        self.empty.set()
        await asyncio.Event().wait()
        return {}


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KafkaConnectionError()])
async def test_a_cancellation_that_nobody_asked_for_is_begun_again_and_told_and_one_that_somebody_did_ends_it(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "_PAUSE", 0.0)
    translator = Translator(served(), KafkaPublisher("127.0.0.1:1", "t."), new_metrics(), "t.")
    translator._consumer = consumer = Consumer(error)
    running = asyncio.create_task(translator.run())
    async with asyncio.timeout(5):
        await consumer.empty.wait()
    assert type(error).__name__ in translator.wrong()["deliveries"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
