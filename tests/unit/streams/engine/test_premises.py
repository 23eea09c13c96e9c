from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from app.core.errors import ConfigError
from streams.engine.premises import occupied
from streams.engine.settings import WorkerSettings
from streams.engine.worker import create_worker

if TYPE_CHECKING:
    from pathlib import Path

_HOLDER = """
import sys, time
from pathlib import Path
from streams.engine.premises import occupied
with occupied(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


async def test_two_workers_cannot_share_a_data_folder_and_the_second_is_told_what_to_do(tmp_path: Path) -> None:
    """It is told before it joins the group: under the same name it would take the membership from the first."""
    second = create_worker(WorkerSettings(bootstrap="127.0.0.1:1", group="g", name="w", data_dir=tmp_path), [])
    with occupied(tmp_path), pytest.raises(ConfigError, match=rf"in use by process {os.getpid()}.*--worker"):
        await second.run(signals=False)


def test_a_killed_worker_lets_go_of_its_folder(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match=f"process {holder.pid}"), occupied(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    for _ in range(2):
        with occupied(tmp_path):
            assert (tmp_path / "occupied").read_text() == f"{os.getpid()}\n"
