"""The plans that were shown, kept as files below `data_dir`: what a person saw can be compared and gone live with."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from app.core.errors import ConfigError
from app.planning.plan import Plan

_KEPT = 20
_DIGEST = re.compile(r"[0-9a-f]{16}")
_ENCODE = msgspec.json.Encoder().encode


class _Named(Protocol):
    @property
    def digest(self) -> str: ...


P = TypeVar("P", bound=_Named)


class PlanShelf(Generic[P]):
    """The newest plans of one kind and flow that were shown."""

    def __init__(self, folder: Path, form: type[P]) -> None:
        """Nothing is made before the first plan is kept."""
        self._folder, self._decoder = folder, msgspec.json.Decoder(form)

    def keep(self, plan: P) -> None:
        """Remember that *plan* was shown just now; only the newest stay, readable by their owner alone."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{plan.digest}.json"
        fresh = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(_ENCODE(plan))
        fresh.replace(path)
        for old in self._newest_first()[_KEPT:]:
            old.unlink(missing_ok=True)

    def find(self, digest: str) -> P | None:
        """Return the plan of that digest, None when none was shown here lately."""
        path = self._folder / f"{digest}.json"
        return self._read(path) if _DIGEST.fullmatch(digest) and path.exists() else None

    def last(self) -> P | None:
        """Return the plan that was shown last."""
        newest = self._newest_first()
        return self._read(newest[0]) if newest else None

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)

    def _read(self, path: Path) -> P:
        try:
            return self._decoder.decode(path.read_bytes())
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{path} is no plan of this version; remove it, then run `o2c plan`.") from error


class Shelf(PlanShelf[Plan]):
    """The newest plans of one flow that were shown."""

    def __init__(self, data_dir: Path, tenant: str, flow: str) -> None:
        super().__init__(data_dir / "plans" / tenant / flow, Plan)
