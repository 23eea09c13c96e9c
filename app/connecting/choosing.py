"""Which of the accounts that a login reaches a connection belongs to: pure, but for the question to a person."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from app.config.model import NO_ACCOUNT
from app.core.errors import ConfigError, DecodeError
from app.core.talk import Response
from schemas.platform import Auth


class Reached(msgspec.Struct, frozen=True):
    """An account that a login reaches."""

    id: str
    name: str = ""

    def __str__(self) -> str:
        """Return it as a person is shown it."""
        return f"{self.id} ({self.name})" if self.name else self.id


Pick = Callable[[Sequence[Reached]], str]
"""Return the id that a person picks."""


def reached(auth: Auth, reply: Response) -> tuple[Reached, ...]:
    """Return what the platform lists; DecodeError when it is no list of accounts."""
    rows: Any = reply.json()
    try:
        return tuple(Reached(str(row[auth.account_id]), str(row.get(auth.account_name) or "")) for row in rows)
    except (AttributeError, KeyError, TypeError) as error:
        raise DecodeError("The list of accounts does not have the documented shape.") from error


def wanted(connection: str, configured: str, asked: str) -> str:
    """Return the account that it has to be, "" for any; ConfigError when *asked* is not the configured one."""
    if configured == NO_ACCOUNT:
        return asked
    if asked and asked != configured:
        raise ConfigError(
            f"{connection} is configured for account {configured}; choose that one, "
            f"or set account = {quoted(asked)} first."
        )
    return configured


def known_grant(auth: Auth, title: str, connection: str, grant: str) -> None:
    """Raise ConfigError where *grant* is none of those that an app of the platform has; others have no such option."""
    if grant and auth.grants and grant not in auth.grants:
        words = ", ".join(sorted(auth.grants))
        raise ConfigError(f"{connection} has a grant {grant!r} that {title} does not know; use one of {words}.")


def fitting(auth: Auth, connection: str, account: str) -> str:
    """Return *account*, which may be ""; ConfigError when none looks so that a person could be asked for.

    It may be the host that a person's login and the app's secret are sent to.
    """
    asked = auth.kind == "oauth2" and account and auth.account_pattern
    if asked and not re.fullmatch(auth.account_pattern, account):
        raise ConfigError(f"{quoted(account)} is no account for {connection}; write it as {auth.account_example}.")
    return account


def chosen(connection: str, there: Sequence[Reached], account: str, pick: Pick) -> str:
    """Return the id of the account to connect: *account* where it is reached, the only one, or the picked one."""
    ids = [one.id for one in there]
    listed = ", ".join(str(one) for one in there)
    if not there:
        raise ConfigError(
            f"The login reaches no account; log in as a user who has one, then run `o2c connect {connection}` again."
        )
    if account:
        if account not in ids:
            raise other(connection, account, ids[0] if len(ids) == 1 else "", listed)
        return account
    found = ids[0] if len(ids) == 1 else pick(there)
    if found not in ids:
        raise ConfigError(f"{found or 'Nothing'} is none of {listed}; run `o2c connect {connection} --account ID`.")
    return found


def other(connection: str, account: str, found: str, shown: str) -> ConfigError:
    """Return the refusal of a login of another account than the configured one."""
    instead = f"set account = {quoted(found)}" if found else "set account to one of these"
    return ConfigError(
        f"The login belongs to {shown}, not to account {account} of {connection}; "
        f"log in as a user of {account}, or {instead} and connect again."
    )


def quoted(text: str) -> str:
    """Return *text* as a TOML string."""
    return msgspec.json.encode(text).decode()
