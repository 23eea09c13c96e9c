"""The example configurations before anything runs, and whether the page about flows names every key with its default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.check.configuration import check_configuration
from app.check.problems import Places
from app.config.load import load
from app.config.model import FlowConfig, TargetConfig
from app.core.errors import ConfigError
from tests.examples import FOLDER, SECRETS, files


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_nothing_is_wrong_with_an_example_and_it_writes_nothing_until_somebody_says_so(path: Path) -> None:
    settings = load(path, SECRETS)
    assert check_configuration(settings, Places(path)) == []
    assert {flow.mode for flow in settings.flows} == {"shadow"}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_an_example_holds_no_secret_and_names_each_that_is_missing(path: Path) -> None:
    named = set(re.findall(r'"env:([A-Z0-9_]+)"', path.read_text(encoding="utf-8")))
    with pytest.raises(ConfigError) as raised:
        load(path, {"O2C_KEY": "made-up"})
    assert all(f"the environment variable {name} is not set" in str(raised.value) for name in named - {"O2C_KEY"})
    assert named <= SECRETS.keys()


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_an_example_says_what_it_does_before_it_does_it(path: Path) -> None:
    head = path.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    assert all(line.startswith("#") for line in head)
    assert head[0].endswith(".")


def test_examples_can_live_in_one_company() -> None:
    names = [one.connection.name for path in files() for one in load(path, SECRETS).connections]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("model", [FlowConfig, TargetConfig])
def test_the_page_about_flows_names_every_key_and_no_other(model: type[FlowConfig | TargetConfig], root: Path) -> None:
    page = (root / "docs" / "flows.md").read_text(encoding="utf-8")
    heading = {FlowConfig: "## A flow", TargetConfig: "## A target"}[model]
    table = page[page.index(heading) :].partition("\n#")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| *([^|]*?) *\|", table, re.MULTILINE))
    assert set(rows) == set(model.model_fields)
    for name, said in rows.items():
        default = model.model_fields[name].default
        if said.startswith("`"):
            shown = {"true": True, "false": False}.get(said.strip("`"), said.strip("`"))
            plain = list(default) if isinstance(default, tuple) else default
            text = repr(plain).replace("'", '"') if isinstance(plain, list | str) else plain
            assert str(shown) == str(text), name


def test_every_example_is_told_of(root: Path) -> None:
    page = (root / "docs" / "flows.md").read_text(encoding="utf-8")
    assert {path.name for path in FOLDER.glob("*.toml")} == set(re.findall(r"\(examples/([\w-]+\.toml)\)", page))
