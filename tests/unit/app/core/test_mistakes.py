"""Faults are told by where they happened; what was looked at stays out of it."""

from __future__ import annotations

import msgspec
import pytest

from app.core.errors import RejectedError
from app.core.mistakes import fault, traced
from schemas.errors import misfit

ADA = "ada@example.com"


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as raised:  # noqa: BLE001 - whatever it is, it now has a traceback
        return raised


@pytest.mark.parametrize("error", [ValueError(ADA), KeyError(ADA), AttributeError(ADA), msgspec.ValidationError(ADA)])
def test_a_fault_over_data_names_its_place_and_no_value(error: Exception) -> None:
    told = fault(_raised(error))
    assert told.startswith(f"{type(error).__name__} at tests/unit/app/core/test_mistakes.py:")
    assert ADA not in told


def test_what_is_ours_and_what_the_system_says_is_told_whole() -> None:
    assert fault(RejectedError("Xero refuses it.")) == "RejectedError: Xero refuses it."
    assert fault(OSError("no space left")) == "OSError: no space left"


def test_a_traceback_goes_back_to_the_cause_and_quotes_nothing() -> None:
    cause = _raised(ValueError(ADA))
    group = ExceptionGroup("two tasks", [_raised(KeyError(ADA)), _raised(OSError("broken pipe"))])
    told = traced(_raised(group, cause))
    assert ADA not in told
    places = [told.index(word) for word in ("ValueError", "KeyError", "OSError: broken pipe", "ExceptionGroup: two")]
    assert places[0] < min(places[1:])
    assert told.count("test_mistakes.py") == 4


class _Shape(msgspec.Struct, tag_field="kind", tag="shape", forbid_unknown_fields=True):
    word: bool | None = None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"kind":"%s"}', "Invalid value - at `$.kind`"),
        (b'{"kind":"shape","%s":1}', "Object contains unknown field"),
        (b'{"kind":"%s - at `$.x`"}', "Invalid value - at `$.kind`"),
        (b'{"kind":"shape","word":"%s"}', "Expected `bool | null`, got `str` - at `$.word`"),
    ],
)
def test_a_misfit_says_what_was_expected_and_never_what_was_there(body: bytes, told: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(body.replace(b"%s", ADA.encode()), type=_Shape)
    assert misfit(raised.value) == told
