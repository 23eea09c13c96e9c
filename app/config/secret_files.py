"""Secrets that came to light later: into the empty file that a connection's section already names for them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.config.load import tenant_files

_FILE = "file:"


def fill(config: Path, connection: str, secret: str, value: str) -> Path | None:
    """Write *value* into the file that holds *secret*; None where no file is named for it, or it is not empty."""
    for folder, section in _sections(config, connection):
        named = str(section.get("secrets", {}).get(secret, ""))
        file = folder / named.removeprefix(_FILE)
        if named.startswith(_FILE) and file.is_file() and not file.read_text(encoding="utf-8").strip():
            file.write_text(f"{value}\n", encoding="utf-8")
            return file
    return None


def _sections(config: Path, connection: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    table = tomllib.loads(config.read_text(encoding="utf-8"))
    files = tenant_files(config, table.get("tenant_files", []))
    own = ((file.parent, tomllib.loads(file.read_text(encoding="utf-8"))) for file in files)
    for folder, tenant in (*((config.parent, tenant) for tenant in table.get("tenant", [])), *own):
        if connection in tenant.get("connections", {}):
            yield folder, tenant["connections"][connection]
