"""Why a write was refused, without the people that it is about: reasons end in logs, headers and on screens."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

import msgspec

from app.core.errors import O2CError
from schemas.commands import Command
from schemas.facts import Address, Party

_SHORTEST = 3
"""Signs; what is shorter names nobody, and would be found within words."""
_LEFT_OUT = "..."
_PLACES = frozenset(("country", "id"))


def without_people(error: O2CError, command: Command) -> O2CError:
    """Return *error* as it may be told: a vendor's text may quote the name or the address that was sent to it."""
    said = str(error)
    values = {value for value in _people(command.facts) if len(value) >= _SHORTEST}
    plain = said
    for value in sorted(values, key=len, reverse=True):
        plain = re.sub(re.escape(value), _LEFT_OUT, plain, flags=re.IGNORECASE)
    if plain == said:
        return error
    told = copy.copy(error)
    told.args = (plain,)
    return told


def _people(value: object) -> Iterator[str]:
    """Yield what *value* says of people, in whatever of its parts."""
    if isinstance(value, tuple):
        for one in value:
            yield from _people(one)
    elif isinstance(value, msgspec.Struct):
        own = isinstance(value, Party | Address)
        for name in value.__struct_fields__:
            part = getattr(value, name)
            if isinstance(part, str) and own and name not in _PLACES:
                yield part
            else:
                yield from _people(part)
