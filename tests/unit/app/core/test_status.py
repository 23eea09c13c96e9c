"""What a status means, and what it means to one platform alone."""

from __future__ import annotations

import pytest

from app.core.errors import (
    AuthError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.status import asked_to_wait, from_status
from app.core.talk import Response
from schemas.platform import Refusal

OWN = (
    Refusal(status=400, error="duplicate", says=("is taken", "exists")),
    Refusal(status=403, error="rejected"),
    Refusal(status=423, error="rate_limited", least=2.0),
    Refusal(status=429, error="rate_limited", says=("of the day",), pause=3600.0, everybody=True),
    Refusal(status=529, error="rate_limited", everybody=True),
)


def _reply(status: int, body: bytes = b"", **headers: str) -> Response:
    return Response(
        status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.mark.parametrize(
    ("status", "body", "shared", "own"),
    [
        (400, b"The name is taken.", RejectedError, DuplicateError),
        (400, b"No.", RejectedError, RejectedError),
        (403, b"", AuthError, RejectedError),
        (423, b"", RetryableError, RateLimited),
        (503, b"", UncertainError, UncertainError),
        (529, b"", UncertainError, RateLimited),
    ],
)
def test_a_platforms_own_meaning_counts_before_that_of_all(
    status: int, body: bytes, shared: type[O2CError], own: type[O2CError]
) -> None:
    reply = _reply(status, body)
    assert type(from_status("Made up", reply, mutating=True)) is shared
    assert type(from_status("Made up", reply, mutating=True, own=OWN)) is own


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        (_reply(429), None),
        (_reply(429, retry_after="5"), 5.0),
        (_reply(429, b"the end of the day"), 3600.0),
        (_reply(429, b"the end of the day", retry_after="5"), 5.0),
        (_reply(529), None),
    ],
)
def test_everybody_waits_for_as_long_as_the_platform_says_or_is_known_to_mean(
    reply: Response, pause: float | None
) -> None:
    wait = asked_to_wait("Made up", reply, OWN)
    assert wait is not None
    assert wait.retry_after == pause


@pytest.mark.parametrize(
    ("date", "zone", "pause"),
    [
        ("Fri, 27 Nov 2026 22:00:00 GMT", "America/New_York", 7 * 3600.0),  # 17:00 there
        ("Fri, 27 Nov 2026 22:59:30 GMT", "Europe/Berlin", 30.0),
        ("Sat, 24 Oct 2026 23:30:00 GMT", "Europe/Berlin", 23.5 * 3600.0),  # 01:30 of a day of 25 hours
        ("Fri, 27 Nov 2026 23:10:00 GMT", "Europe/Berlin", 3600.0),  # its day ends later than we are told
        ("Fri, 27 Nov 2026 22:00:00 GMT", "UTC", 3600.0),  # what nobody configured
        ("", "Europe/Berlin", 3600.0),
        ("yesterday", "Europe/Berlin", 3600.0),
    ],
)
def test_a_day_that_is_used_up_ends_at_midnight_of_the_account(date: str, zone: str, pause: float) -> None:
    own = (Refusal(status=429, error="rate_limited", pause=3600.0, until_midnight=True),)
    wait = asked_to_wait("Made up", _reply(429, b"", date=date), own, zone)
    assert wait is not None
    assert wait.retry_after == pause
    said = asked_to_wait("Made up", _reply(429, b"", date=date, retry_after="5"), own, zone)
    assert said is not None
    assert said.retry_after == 5.0


@pytest.mark.parametrize("status", [200, 400, 403, 423, 503])
def test_no_other_reply_holds_everybody_up(status: int) -> None:
    assert asked_to_wait("Made up", _reply(status, retry_after="5"), OWN) is None


@pytest.mark.parametrize(("said", "pause"), [({}, 2.0), ({"retry_after": "1"}, 2.0), ({"retry_after": "7"}, 7.0)])
def test_a_wait_is_never_shorter_than_the_least(said: dict[str, str], pause: float) -> None:
    error = from_status("Made up", _reply(423, b"", **said), mutating=True, own=OWN)
    assert isinstance(error, RateLimited)
    assert error.retry_after == pause
