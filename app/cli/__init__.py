"""The `o2c` command line: one file per command, found by where it lives; a name that begins with _ is part of one.

Exit codes: 0 done, 1 it went wrong, 2 usage or configuration, 130 interrupted; each command's help says what they mean.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import pkgutil
import sys
from collections.abc import Sequence

from app.core.errors import ConfigError, O2CError

__all__ = ["main", "new_parser"]


def new_parser(only: str = "") -> argparse.ArgumentParser:
    """Return the command line with every command that lives here, or with *only* one: to load all takes a second."""
    parser = argparse.ArgumentParser(
        prog="o2c",
        description="Orders, invoices, payments, credits and shipments, the same in every system.",
        epilog="example: o2c demo",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    known = sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))
    wanted = only.replace("-", "_")
    for module in [wanted] if wanted in known else known:
        importlib.import_module(f"{__name__}.{module}").register(subparsers)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error is one sentence on standard error, with what to do."""
    words = sys.argv[1:] if words is None else words
    args = new_parser(words[0] if words else "").parse_args(words)
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # a Kafka that is away is one sentence of ours
    try:
        code: int = args.run(args)
    except ConfigError as error:
        sys.stderr.write(f"o2c: {error}\n")
        return 2
    except O2CError as error:
        sys.stderr.write(f"o2c: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"o2c: {_sentence(error)}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _sentence(error: OSError) -> str:
    if error.filename:
        return f"{error.filename} cannot be used ({error.strerror}); correct the path or its permissions."
    return f"{str(error).rstrip('.')}; look whether the other side runs, then try again."
