"""Logs that a machine reads: one JSON object per line, whoever wrote it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import logging, structlog
from app.cli.run import configure_logs
configure_logs(as_json=True)
structlog.contextvars.bind_contextvars(role="gateway")
structlog.get_logger().info("hook", trace_id="abc")
for _ in range(400):
    logging.getLogger("aiokafka").warning("Unable to connect to %s", "broker 1")
for error in (OSError("made up"), ValueError("invalid literal for int(): 'ada@example.com'")):
    try:
        raise error
    except Exception:
        logging.getLogger("asyncio").exception("A task failed")
"""


def test_every_line_is_one_object_also_of_libraries(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    ours, kafkas, failed, over_data = (json.loads(line) for line in done.stderr.splitlines())
    assert (ours["event"], ours["trace_id"], ours["role"], ours["level"]) == ("hook", "abc", "gateway", "info")
    assert (kafkas["event"], kafkas["logger"]) == ("Unable to connect to broker 1", "aiokafka")
    assert kafkas["role"] == "gateway"
    assert failed["exception"].endswith("OSError: made up")
    assert over_data["exception"].endswith("ValueError")
