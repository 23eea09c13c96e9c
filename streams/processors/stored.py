"""What is stored carries the number of its format: who meets a higher one stops, also where it cannot read the rest."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

from streams.engine.fold import NewerFormat


class _Numbered(Protocol):
    @property
    def format(self) -> int: ...


class _Number(msgspec.Struct, frozen=True):
    """The number of a state or row, or of the state in a hand-over; nothing else is looked at."""

    format: int = 0
    state: _Number | None = None


T = TypeVar("T", bound=_Numbered)
_NUMBER = msgspec.json.Decoder(_Number)


class Stored(Generic[T]):
    """Reads one form of value, up to the format *newest*."""

    def __init__(self, form: type[T], newest: int) -> None:
        self._decoder, self._newest = msgspec.json.Decoder(form), newest

    def read(self, raw: bytes) -> T:
        """Return what *raw* holds; raise NewerFormat for a higher number, MsgspecError for what cannot be read.

        The number alone is read only of what does not fit, so that it costs nothing where all is well.
        """
        try:
            value = self._decoder.decode(raw)
        except msgspec.ValidationError:
            number = _NUMBER.decode(raw)
            self._stop_at(number.format if number.state is None else number.state.format)
            raise
        self._stop_at(value.format)
        return value

    def _stop_at(self, number: int) -> None:
        if number > self._newest:
            raise NewerFormat(f"it has format {number}, this version knows {self._newest}")
