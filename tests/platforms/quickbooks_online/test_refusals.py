"""What a refusal means, and what a lost reply comes to."""

from __future__ import annotations

import aiohttp
import msgspec
import pytest

from app.core.errors import ConflictError, DuplicateError, O2CError, RejectedError, RetryableError, UncertainError
from app.core.talk import Response
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from tests.platforms.conversation import answer
from tests.platforms.quickbooks_online.rig import Rig, command, invoice, refusal, stopped

pytestmark = pytest.mark.sandbox


def test_a_stale_token_is_a_conflict() -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    changed = command("upsert_invoice", invoice(note="new"), kind="set", bound_id="1", changes=("note",))
    read = Response(status=200, body=b'{"Invoice":{"Id":"1","SyncToken":"0"}}')
    with pytest.raises(ConflictError):
        answer(sink.write(changed), read, Response(status=400, body=refusal("5010")))


@pytest.mark.parametrize("fault", ["reset_after_commit", "error_5xx_after_commit"])
async def test_a_lost_reply_is_found_by_the_probe_and_a_repeat_makes_no_second(rig: Rig, fault: str) -> None:
    asked = command("upsert_invoice", invoice())
    await stopped(rig, rig.sink.write(asked), asked.id, "invoice")
    rig.sandbox.injector.faults = rig.sandbox.faults.changed({fault: 1})
    with pytest.raises((aiohttp.ClientError, UncertainError)):
        await rig.write(asked)
    rig.sandbox.injector.faults = rig.sandbox.faults.changed({fault: 0, "idempotency_off": 1})
    found = await rig.run(rig.sink.probe(asked))
    assert found is not None
    assert found.mark == asked.mark
    assert (await rig.write(msgspec.structs.replace(asked, presence="unknown"))).id == found.id
    assert len(rig.books("invoice")) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "error"),
    [
        (400, refusal("5010"), "write", ConflictError),
        (400, refusal("6240"), "write", DuplicateError),
        (400, refusal("6140"), "write", DuplicateError),
        (400, refusal("6210"), "write", RejectedError),
        (400, refusal("2020"), "write", RejectedError),
        (200, refusal("2500"), "write", RejectedError),
        (500, refusal("10000", "SystemFault"), "write", UncertainError),
        (500, refusal("10000", "SystemFault"), "read", RetryableError),
        (200, b"<html>wait</html>", "write", UncertainError),
        (200, b"<html>wait</html>", "read", RetryableError),
        (504, b"", "write", UncertainError),
    ],
)
def test_refusals_are_named_by_what_to_do_next(status: int, body: bytes, kind: str, error: type[O2CError]) -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    assert type(sink.classify(Response(status=status, body=body), mutating=kind == "write")) is error


def test_a_success_is_no_error() -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    assert sink.classify(Response(status=200, body=b'{"Invoice":{"Id":"1"},"time":"x"}'), mutating=True) is None
