"""No sample of a platform is left lying: each is named by a test of that platform, or read by one that walks them all."""

import json
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1] / "platforms"
PLATFORMS = ("hubspot", "quickbooks-online", "shopify", "stripe", "xero")
WALKED = {"stripe": "test_samples_parse_to_their_expect"}
"""The test that reads every entry of a platform's index, whatever it is called."""


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_sample_is_claimed_by_a_test(shared: Path, platform: str) -> None:
    text = "".join(path.read_text("utf-8") for path in (TESTS / platform.replace("-", "_")).glob("*.py"))
    files = {row["file"] for row in json.loads((shared / "samples" / platform / "index.json").read_text("utf-8"))}
    assert len(files) > 5
    if walker := WALKED.get(platform):
        assert f"def {walker}(" in text
        return
    assert {file for file in files if file not in text} == set()
