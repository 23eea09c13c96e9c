"""o2c schema export: the public contract as files."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from app.contract import documents

EXAMPLE = "o2c schema export --output schemas/generated"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("schema", help="the public contract", epilog=f"example: {EXAMPLE}")
    actions = parser.add_subparsers(dest="action", required=True)
    export = actions.add_parser(
        "export",
        help="write JSON Schema and AsyncAPI",
        epilog=f"example: {EXAMPLE}",
        description="Writes JSON Schemas and asyncapi.json. Exit: 0 written, 1 --check found a change.",
    )
    export.add_argument("--output", type=Path, default=Path("schemas/generated"), help="folder to write into")
    export.add_argument("--check", action="store_true", help="write nothing; fail when a file would change")
    export.add_argument("--json", action="store_true", help="print the file names as JSON")
    export.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write or compare the documents."""
    wanted = {args.output / name: text for name, text in documents().items()}
    if args.check:
        changed = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        if changed:
            sys.stderr.write(f"{', '.join(changed)} would change; run `{EXAMPLE}`.\n")
        return 1 if changed else 0
    args.output.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    names = sorted(str(path) for path in wanted)
    sys.stdout.write(json.dumps(names) + "\n" if args.json else "\n".join(names) + "\n")
    return 0
