"""One problem of a configuration, and the line of the file that it is about."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from app.config.lines import line_of
from app.config.load import tenant_files

Severity = Literal["error", "warning"]


class Problem(msgspec.Struct, frozen=True, order=True):
    """Something to mend: `message` is one sentence, what is wrong; then what to do."""

    where: str
    """file:line, or the connection that was asked."""
    severity: Severity
    code: str
    message: str


class Places:
    """Finds the line of a key of a tenant, in the main file or the tenant's own."""

    def __init__(self, path: Path) -> None:
        """Read *path* and its tenant files, which were loaded before."""
        self._path, self._text = path, path.read_text(encoding="utf-8")
        table = tomllib.loads(self._text)
        self._found: dict[str, tuple[Path, str, tuple[int | str, ...]]] = {}
        for position, entry in enumerate(table.get("tenant", [])):
            self._found[_name(entry)] = (path, self._text, ("tenant", position))
        for file in tenant_files(path, table.get("tenant_files", [])):
            text = file.read_text(encoding="utf-8")
            self._found[_name(tomllib.loads(text))] = (file, text, ())

    def file(self, tenant: str) -> tuple[Path, tuple[int | str, ...]]:
        """Return the file that a tenant stands in, and its keys within."""
        path, _, within = self._found[tenant]
        return path, within

    def main(self, *keys: str) -> str:
        """Return file:line of a key of the main file."""
        return f"{self._path}:{line_of(self._text, keys)}"

    def of(self, tenant: str, *keys: int | str) -> str:
        """Return file:line of the key of a tenant, or of the nearest table around it."""
        path, text, within = self._found[tenant]
        return f"{path}:{line_of(text, (*within, *keys))}"


def _name(table: dict[str, object]) -> str:
    return str(table.get("name") or table.get("tenant") or "")
