"""`lockkeeper demo` where the demo is not installed, or is broken."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.errors import LockkeeperError
from lockkeeper import DEMO_PARTS, app, demo


@dataclass(frozen=True)
class Lacking:
    """An installation without this module, on which the demo depends."""

    module: str

    def find_spec(self, name: str, *_: object) -> None:
        if name == "lab.demo":
            raise ModuleNotFoundError(f"No module named {self.module!r}", name=self.module)


def ask_without(module: str, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sys, "meta_path", [Lacking(module), *sys.meta_path])
    patch.delitem(sys.modules, "lab.demo", raising=False)
    demo(scenario="small", target="v1.35", headless=True, chaos=None, speed=0, port=0)


@pytest.mark.parametrize("part", sorted(DEMO_PARTS))
def test_a_demo_that_is_not_installed_says_what_to_install(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the image, which has no lab."""
    with pytest.raises(LockkeeperError, match=rf"not installed \({part}\): .* pip install 'lockkeeper\[demo\]'"):
        ask_without(part, monkeypatch)


@pytest.mark.parametrize("module", ["lab.nodes", "cluster.observe", "yaml"])
def test_any_other_module_that_is_missing_is_no_part_of_the_demo(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads that something is to be installed would install it again and again."""
    with pytest.raises(ModuleNotFoundError, match=re.escape(module)):
        ask_without(module, monkeypatch)


@pytest.mark.parametrize("words", [("--port", "65536"), ("--port", "-1"), ("--speed", "-1")])
def test_a_number_that_makes_no_sense_starts_no_lab(words: tuple[str, str]) -> None:
    """Its option and what it may be are named."""
    answer = CliRunner().invoke(app, ["demo", "--headless", *words])
    assert answer.exit_code == 2
    assert f"'{words[0]}'" in answer.output
    assert "or equal to" in answer.output


def test_every_part_of_the_extra_is_known_as_one() -> None:
    """One that is missing would else look like a mistake."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {re.split(r"[^A-Za-z0-9_-]", text)[0] for text in project["optional-dependencies"]["demo"]}
    assert extra | {"lab"} == DEMO_PARTS
