"""A set that a worker without its partition sent behind its successor's does not replace the newer one."""

from __future__ import annotations

import msgspec
import pytest

from app.core import topics
from schemas.commands import Command
from streams.engine.origin import ORIGIN, Origin
from tests.integration.connectors.test_ownership import ENCODE, Stand, orders, stand
from tests.integration.connectors.test_pausing import said

__all__ = ["stand"]
pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]


async def planned(stand: Stand, command: Command, epoch: int) -> None:
    """Send *command* as the owner of its order's partition under *epoch* does."""
    headers = [(ORIGIN, Origin("orders", 0, epoch, 100).pack())]
    await stand.producer.send_and_wait(stand.prefix + topics.COMMANDS, ENCODE(command), key=b"books", headers=headers)


def wants(made: Command, bound: str, note: str) -> Command:
    """Return the set that gives the invoice of *made* another note."""
    facts = msgspec.structs.replace(made.facts, note=note)
    return msgspec.structs.replace(
        made, id=f"set-{note}", kind="set", presence="present", bound_id=bound, facts=facts, changes=("note",),
        fields={"note": note}, digest=note,
    )  # fmt: skip


async def test_a_late_set_behind_a_newer_one_is_superseded_and_the_newer_is_written(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    (made,) = orders(1)
    await stand.start()
    await planned(stand, made, 5)
    (result,) = await stand.results(1)
    assert result.bound is not None
    await said(stand, capsys, "connections", "pause", "books")
    older, newer, other = (wants(made, result.bound.id, note) for note in ("older", "newer", "newest"))
    await planned(stand, newer, 6)
    await planned(stand, older, 5)
    (late,) = [one for one in await stand.results_of([older]) if one.command == older.id]
    assert (late.outcome, late.digest) == ("superseded", "older")
    await said(stand, capsys, "connections", "resume", "books")
    outcomes = {one.command: one.outcome for one in await stand.results_of([newer])}
    assert outcomes[newer.id] == "confirmed"
    await planned(stand, other, 6)
    outcomes = {one.command: one.outcome for one in await stand.results_of([other])}
    assert (outcomes[older.id], outcomes[other.id]) == ("superseded", "confirmed")
    (invoice,) = [row for row in stand.sandbox.books() if row["kind"] == "invoice"]
    assert invoice["note"] == "newest"
