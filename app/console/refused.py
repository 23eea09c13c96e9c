"""Why a request to the console comes to nothing."""

from __future__ import annotations

from app.core.errors import O2CError


class Refused(O2CError):
    """One sentence and the next step, with the HTTP status that says so."""

    def __init__(self, status: int, error: str, next_step: str) -> None:
        super().__init__(f"{error.rstrip('.')}; {next_step[:1].lower()}{next_step[1:]}")
        self.status, self.error, self.next_step = status, error, next_step
