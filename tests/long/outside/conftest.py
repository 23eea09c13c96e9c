"""Tools that others wrote, fetched by the test itself into a temporary folder: nothing of them is installed with o2c."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PRISM = "@stoplight/prism-cli@5.14.2"
LOCALSTRIPE = "localstripe==1.15.10"
_PATIENCE = 500


def fetched(what: str, *command: str | Path, where: Path | None = None) -> None:
    """Run an install command in *where*; tests that need *what* are skipped, with its own last words, where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=False, cwd=where)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        pytest.skip(f"{what} cannot be installed here: {said[-1]}")


@pytest.fixture(scope="session")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the command of the mock server: the one on PATH, else fetched through npm."""
    if found := shutil.which("prism"):
        return Path(found)
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("prism is not on PATH, nor are node and npm, which would fetch it")
    folder = tmp_path_factory.mktemp("prism")
    fetched("prism", npm, "install", "--prefix", folder, "--no-audit", "--no-fund", PRISM)
    return folder / "node_modules" / ".bin" / "prism"


@pytest.fixture(scope="session")
def localstripe_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment that holds localstripe and nothing of ours."""
    folder = tmp_path_factory.mktemp("localstripe")
    fetched("an environment", sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    fetched("localstripe", python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", LOCALSTRIPE)
    return python
