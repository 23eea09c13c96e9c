"""Read the configuration files; every complaint names file, line and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from app.config.kafka import CERTIFICATES
from app.config.lines import line_of
from app.config.model import Settings, TenantConfig
from app.core.errors import ConfigError

_Model = TypeVar("_Model", Settings, TenantConfig)
_Path = tuple[int | str, ...]
_PREFIXES = ("env:", "file:")
_AT_LINE = re.compile(r"at line (\d+)")


def load(path: Path, environment: Mapping[str, str], drafts: Mapping[Path, str] | None = None) -> Settings:
    """Return the settings in *path* and its tenant files; ConfigError tells file, line, key and what to do.

    `env:NAME` and `file:PATH` values are replaced here, relative paths are those of the file they stand in. A file that
    is among *drafts* is taken as it reads there.
    """
    drafts = drafts or {}
    table, text = _table(path, drafts)
    main = _Part(path, text)
    patterns = main.listed(table, "tenant_files", str, 'write it as tenant_files = ["tenants/*.toml"]')
    entries = main.listed(table, "tenant", dict, "begin each tenant with [[tenant]], in two brackets")
    parts = [replace(main, within=("tenant", at), called=_called(entry)) for at, entry in enumerate(entries)]
    for file in tenant_files(path, patterns, line_of(text, ("tenant_files",))):
        entry, its_text = _table(file, drafts)
        entries.append(entry)
        parts.append(_Part(file, its_text, called=_called(entry)))
    resolved = main.resolved(table, environment)
    folder = resolved.get("data_dir", "data")
    if not isinstance(folder, str):
        raise ConfigError(main.complaint(("data_dir",), 'this is no folder; write it as data_dir = "data"'))
    resolved["data_dir"] = str((path.parent / folder).resolve())
    _place_certificates(resolved.get("kafka"), path.parent)
    tenants = [part.tenant(entry, environment) for part, entry in zip(parts, entries, strict=True)]
    return main.checked(Settings, {**resolved, "tenants": tenants}, parts)


def _place_certificates(kafka: object, folder: Path) -> None:
    """Have relative paths of certificates begin in *folder*."""
    if isinstance(kafka, dict):
        there = [name for name in CERTIFICATES if kafka.get(name) and isinstance(kafka[name], str)]
        kafka.update({name: str(folder / kafka[name]) for name in there})


@dataclass(frozen=True)
class _Part:
    """A file, or the tenant within it, and how to say what is wrong there."""

    path: Path
    text: str
    within: _Path = ()
    called: str = "tenant"
    """The key that names the tenant: `name` or `tenant`."""

    def listed(self, table: dict[str, Any], key: str, kind: type, say: str) -> list[Any]:
        """Take the list of *key* out of *table*; ConfigError when it is something else."""
        found = table.pop(key, [])
        if not isinstance(found, list) or not all(isinstance(one, kind) for one in found):
            raise ConfigError(self.complaint((key,), f"this is not what belongs here; {say}"))
        return found

    def tenant(self, table: dict[str, Any], environment: Mapping[str, str]) -> TenantConfig:
        """Return the tenant of *table*, whose name may be called `name` or `tenant`."""
        resolved = self.resolved(table, environment)
        if self.called in resolved:
            resolved["tenant"] = resolved.pop(self.called)
        return self.checked(TenantConfig, resolved)

    def resolved(self, table: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
        """Return *table* with its references replaced; ConfigError names every one that leads nowhere."""
        wrong: list[str] = []
        found: dict[str, Any] = self._resolve(table, (), environment, wrong)
        if wrong:
            raise ConfigError("\n".join(wrong))
        return found

    def _resolve(self, value: Any, where: _Path, environment: Mapping[str, str], wrong: list[str]) -> Any:  # noqa: ANN401 - any TOML value
        if isinstance(value, dict):
            return {key: self._resolve(item, (*where, key), environment, wrong) for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolve(item, (*where, at), environment, wrong) for at, item in enumerate(value)]
        if isinstance(value, str) and value.startswith(_PREFIXES):
            try:
                return _secret(value, self.path, environment)
            except ConfigError as error:
                wrong.append(f"{self.path}:{self._line_with(value, where)}: {error}")
        return value

    def _line_with(self, value: str, where: _Path) -> int:
        """Return the line of a reference, which in a list over several lines stands below that of its key."""
        first = line_of(self.text, (*self.within, *where))
        lines = list(enumerate(self.text.splitlines(), start=1))[first - 1 :]
        return next((number for number, line in lines if f'"{value}"' in line or f"'{value}'" in line), first)

    def checked(self, model: type[_Model], table: dict[str, Any], tenants: Sequence[_Part] = ()) -> _Model:
        """Return the model of *table*, with *tenants* being where its tenants stand."""
        try:
            return model.model_validate(table)
        except ValidationError as error:
            raise ConfigError("\n".join(self._complaints(error, tenants))) from error

    def _complaints(self, error: ValidationError, tenants: Sequence[_Part]) -> Iterator[str]:
        for detail in error.errors():
            where = (*detail["loc"], *detail.get("ctx", {}).get("where", ()))
            what = detail["msg"].removeprefix("Value error, ")
            if where[:1] == ("tenants",) and len(where) > 1:  # of two tenants, each well in itself
                yield tenants[int(where[1])].complaint(where[2:], what)
            else:
                yield self.complaint(where, what)

    def complaint(self, where: _Path, what: str) -> str:
        """Return what is wrong with the key *where*, its file and line before it."""
        where = (*self.within, *((self.called,) if where == ("tenant",) else where))
        return f"{self.path}:{line_of(self.text, where)}: {'.'.join(map(str, where)) or 'file'}: {what}"


def _called(entry: Mapping[str, Any]) -> str:
    """Return the key that names the tenant of *entry*."""
    return "tenant" if "tenant" in entry else "name"


def _table(path: Path, drafts: Mapping[Path, str]) -> tuple[dict[str, Any], str]:
    try:
        text = drafts[path] if path in drafts else path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); write one with `o2c init`."
        raise ConfigError(message) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1: the file is not UTF-8; save it as UTF-8.") from error
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        told = _AT_LINE.search(str(error))
        line = told[1] if told else "1"
        raise ConfigError(f"{path}:{line}: this is not valid TOML ({error}); correct it.") from error


def tenant_files(path: Path, patterns: list[str], line: int = 1) -> Iterator[Path]:
    """Yield the files that *patterns* of the main file at *path* name on *line*; ConfigError when one names none."""
    for pattern in patterns:
        try:
            found = sorted(path.parent.glob(pattern))
        except (NotImplementedError, ValueError):  # an absolute path, or nothing
            found = []
        if not found:
            what = f"tenant_files names {pattern!r}, which matches no file below {path.parent}; correct the pattern."
            raise ConfigError(f"{path}:{line}: {what}")
        yield from found


def _secret(value: str, path: Path, environment: Mapping[str, str]) -> str:
    kind, _, name = value.partition(":")
    if kind == "env":
        if name not in environment:
            raise ConfigError(f"the environment variable {name} is not set; set it or change the reference.")
        return environment[name]
    try:
        return (path.parent / name).read_text(encoding="utf-8").strip()
    except OSError as error:
        message = f"the secret file {name} cannot be read ({error.strerror}); write it or change the reference."
        raise ConfigError(message) from error
