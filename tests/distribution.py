"""Which tests of a distributed run (`pytest -n`) share a worker, and which of them start first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest

TOGETHER: tuple[tuple[str, ...], ...] = (
    # Whole pipelines, which mostly wait: never more than two at a time, so that each still has half of a small machine.
    # The company that several files share comes last: nothing reads for it while tests of other files run.
    (
        "tests/e2e/test_webhooks_alone.py",
        "tests/e2e/test_demo.py",
        "tests/e2e/test_external.py",
        "tests/e2e/test_plan.py",
        "tests/e2e/test_undo.py",
        "tests/e2e/test_decisions.py",
        "tests/e2e/test_replay.py",
        "tests/e2e/test_one_edit.py",
        "tests/e2e/test_scenarios_people.py",
        "tests/e2e/test_scenarios_sources.py",
        "tests/e2e/test_scenarios_delivery.py",
    ),
    (
        "tests/e2e/test_without_webhooks.py",
        "tests/chaos/test_short_matrix.py",
        "tests/e2e/test_examples.py",
        "tests/e2e/test_hubspot_commerce.py",
        "tests/e2e/test_observed.py",
        "tests/e2e/test_console.py",
        "tests/e2e/test_reconnecting.py",
        "tests/e2e/test_old_books.py",
        "tests/e2e/test_by_hand.py",
    ),
    # Single roles and workers on the Kafka that all share.
    (
        "tests/integration/engine/test_takeover.py",
        "tests/integration/engine/test_behaviour.py",
        "tests/integration/engine/test_guarantees.py",
        "tests/integration/engine/test_ticks.py",
    ),
    (
        "tests/integration/connectors/test_ownership.py",
        "tests/integration/connectors/test_pausing.py",
        "tests/integration/connectors/test_fifty.py",
        "tests/integration/connectors/test_late.py",
        "tests/integration/test_broker.py",
        "tests/integration/test_kafka_security.py",
        "tests/integration/test_run_all.py",
        "tests/integration/gateway/test_letters.py",
        "tests/integration/check/test_check.py",
        "tests/integration/cli/test_on_kafka.py",
    ),
    # The longest of those that need nothing but a processor; all other files follow one by one.
    ("tests/sandbox/test_growth.py",),
    ("tests/unit/streams/order/test_step.py",),
    ("tests/property/engine/test_engine_machine.py",),
    ("tests/simulator/test_scenarios.py",),
    ("tests/platforms/quickbooks_online/test_faults.py",),
    ("tests/platforms/hubspot/test_hubspot_owner.py",),
)
"""Files whose tests run in one worker, one after another, in this order; the longest groups come first."""

_PLACES = {file: (group, place) for group, files in enumerate(TOGETHER) for place, file in enumerate(files)}
_LAST = (len(TOGETHER), 0)


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return *items* with the groups of TOGETHER first; the tests of one file stay as they were."""
    return sorted(items, key=lambda item: _PLACES.get(_file(item.nodeid), _LAST))


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


class Distribution(LoadScopeScheduling):
    """Gives a worker that has no more to do the next group, or the next file, in the order of collection."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False  # xdist would begin with the most tests, which are the quickest
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = _file(nodeid)
        group, _ = _PLACES.get(file, _LAST)
        return file if group == _LAST[0] else TOGETHER[group][0]
