"""The wheel holds the application and nothing else, and works where only it is installed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(240)
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, root, cwd=folder)
    return next(folder.glob("o2c-*.whl"))


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the wheel and the dependencies, but without this folder and its editable install."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    python = folder / "env/bin/python"
    run(*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder


def test_the_wheel_holds_neither_tests_nor_benchmarks(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"app", "schemas", "sinks", "streams"}
    assert "app/broker/jars.sha256" in names


def test_the_installed_application_works_from_anywhere(fresh: Path) -> None:
    o2c, python = fresh / "env/bin/o2c", fresh / "env/bin/python"
    where = run(python, "-c", "import app, app.broker.artifacts as a; print(app.__file__, len(a.pinned()))", cwd=fresh)
    assert where.startswith(str(fresh))
    run(o2c, "init", "--platforms", "shopify,xero", cwd=fresh)
    assert (fresh / "o2c.toml").exists()
    listed = run(o2c, "--help", cwd=fresh)
    for command in ("demo", "init", "kafka", "run", "topics"):
        run(o2c, command, "--help", cwd=fresh)
        assert command in listed
