"""Programs of Debian for one test run: downloaded by apt and unpacked, so that nothing is installed and nobody is root."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.long.outside.conftest import fetched

if TYPE_CHECKING:
    from pathlib import Path


def unpacked(package: str, folder: Path) -> Path:
    """Return *folder* with the files of *package*; skips, with apt's own words, where there is none to be had."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip(f"{package} is not on PATH, and apt-get, which would fetch it, is not here")
    # Lists of our own: those of the machine may be missing, as in containers, or belong to root.
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    own = ["apt-get", "-q", "-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}"]
    own += ["-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"]
    fetched(f"{package} of Debian", *own, "update")
    fetched(f"{package} of Debian", *own, "download", package, where=folder)
    fetched(f"{package} of Debian", "dpkg-deb", "--extract", *folder.glob("*.deb"), folder)
    return folder
