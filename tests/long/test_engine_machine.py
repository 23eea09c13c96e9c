"""The state machine of the engine at length in memory, and over a real Kafka: its producer, consumers and offsets."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.engine.logs import Kafka
from tests.property.engine.machine import EngineMachine

pytestmark = [pytest.mark.long, pytest.mark.timeout(3_600)]
_ANY = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def test_thousands_of_steps_in_memory_lose_nothing() -> None:
    run_state_machine_as_test(EngineMachine, settings=settings(max_examples=600, stateful_step_count=50, **_ANY))  # type: ignore[arg-type]


@pytest.mark.kafka
def test_the_same_machine_on_a_real_kafka_loses_nothing(kafka: str) -> None:
    """Failures are not shrunk: a broker does not repeat itself."""

    class OnKafka(EngineMachine):
        make_logs = staticmethod(lambda: Kafka(kafka))

    chance = settings(max_examples=15, stateful_step_count=25, phases=[Phase.generate], database=None, **_ANY)  # type: ignore[arg-type]
    run_state_machine_as_test(OnKafka, settings=chance)
