"""Every command explains itself."""

from __future__ import annotations

import re

import pytest

from app.cli import main


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    assert len(listed) >= 12
    for command in listed:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "example: o2c" in capsys.readouterr().out, command
