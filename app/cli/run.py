"""o2c run: one role, or one process per role with those that die restarted."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import structlog

from app.config.load import load
from app.core import faultpoints
from app.core.mistakes import traced
from app.core.quiet import Seldom

EXAMPLE = "o2c run streams --config o2c.toml"
ROLES = ("gateway", "streams", "connectors", "console")
_GRACE = 40.0
_log = structlog.get_logger(__name__)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="run a role, or all of them",
        epilog=f"example: {EXAMPLE}",
        description="Runs until SIGTERM; on SIGHUP the gateway reads its secrets and API keys again. "
        "Exit: 0 stopped clean, 1 the role failed, 2 configuration.",
    )
    parser.add_argument("role", choices=(*ROLES, "all"), nargs="?", default="all", help="what to run (default: all)")
    parser.add_argument("--config", type=Path, default=Path("o2c.toml"), help="configuration (default: o2c.toml)")
    parser.add_argument("--worker", default="", help="stable name of this worker (default: of the configuration)")
    parser.add_argument("--json", action="store_true", help="logs as JSON lines (default where no terminal is)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run what was asked for."""
    settings = load(args.config, os.environ)
    if args.worker:
        settings = settings.model_copy(update={"worker": args.worker})
    configure_logs(as_json=args.json or not sys.stderr.isatty())
    structlog.contextvars.bind_contextvars(role=args.role, worker=settings.worker)
    faultpoints.switch_on(os.environ.get(faultpoints.VARIABLE, ""))
    if args.role == "all":
        return asyncio.run(Supervisor(_told(args)).run())
    module = importlib.import_module(f"app.roles.{args.role}")
    more = [partial(load, args.config, os.environ)] if args.role == "gateway" else []
    code: int = asyncio.run(module.run(settings, *more))
    return code


def _told(args: argparse.Namespace) -> list[str]:
    """Return the words that every role is to be run with."""
    worker = ["--worker", args.worker] if args.worker else []
    return ["--config", str(args.config), *worker, *(["--json"] if args.json else [])]


def configure_logs(*, as_json: bool) -> None:
    """Write structured logs to standard error, warnings of libraries included, each of those once in a while."""
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_traced),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),  # filters nothing, and costs half as much
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    theirs.addFilter(Seldom())
    logging.basicConfig(handlers=[theirs], level=logging.WARNING, force=True)


def _traced(exc_info: structlog.typing.ExcInfo) -> str:
    return traced(exc_info[1])


class Supervisor:
    """One process per role; a role that dies is started again, later each time, others go on."""

    def __init__(self, words: Sequence[str]) -> None:
        """*words* follow `o2c run ROLE`."""
        self._words = words
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Supervise until SIGTERM or SIGINT, then stop every role."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        codes = await asyncio.gather(*(self._keep(role) for role in ROLES))
        return max(codes)

    async def _keep(self, role: str) -> int:
        pause = 1.0
        while True:
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "app", "run", role, *self._words)
            code = await self._until_ended(process)
            if self._stopping.is_set():
                return code
            _log.error("role.died", role=role, code=code, again_in=pause)
            await self._sleep(pause)
            pause = min(30.0, pause * 2)

    async def _until_ended(self, process: asyncio.subprocess.Process) -> int:
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if ended.done():
            return ended.result()
        process.terminate()
        try:
            return await asyncio.wait_for(ended, _GRACE)
        except TimeoutError:
            process.kill()
            return 1

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
