"""The pinned versions install on the lowest Python that the project promises."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINS = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOWEST = PROJECT["requires-python"].removeprefix(">=") + ".0"


def test_every_pinned_version_accepts_the_lowest_python():
    assert re.fullmatch(r"3\.\d+\.0", LOWEST)
    versions = {canonicalize_name(name): version for name, version in PINS}
    accepted = {
        f"{name} {versions[name]}": distribution.metadata["Requires-Python"] or ""
        for distribution in importlib.metadata.distributions()
        if (name := canonicalize_name(distribution.name)) in versions
        and distribution.version.split("+")[0] == versions[name]
    }
    assert len(accepted) > len(PINS) / 2  # of the pins, those that are installed here
    refusing = {
        name: wanted
        for name, wanted in accepted.items()
        if not SpecifierSet(wanted).contains(LOWEST)
    }
    assert not refusing, f"pin the newest versions that accept Python {LOWEST}"
