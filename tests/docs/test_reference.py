"""The documents name every option, key and reason that there is, and none that there is not."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from pydantic import BaseModel

from e2e.harness import ROOT
from reembed.beam.metrics import PENDING, PENDING_NOW
from reembed.cli.log_format import FIELDS
from reembed.cli.main import app
from reembed.config.load import config_from_mapping, load_config
from reembed.config.models import MODELS
from reembed.config.schema import Config
from reembed.config.tasks import QUERY_NAMES
from reembed.errors import UsageError
from reembed_emulator.app import fault_names
from reembed_emulator.settings import EmulatorSettings

DOCUMENTS = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
_ROW = re.compile(r"^\| `([a-z_.]+)` \| (.*?) \| (.*?) \| (.*?) \|", re.MULTILINE)


def words() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)


def page(name: str) -> str:
    path = ROOT / "docs" / name
    assert path.is_file(), f"docs/{name} is missing"
    return path.read_text(encoding="utf-8")


def test_every_command_and_option_is_mentioned() -> None:
    root, text = typer.main.get_command(app), words()
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        assert f"reembed {name}" in text, f"no document shows `reembed {name}`"
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert option in text, f"no document mentions {option} of `reembed {name}`"


def test_every_command_has_help_that_names_its_options() -> None:
    root = typer.main.get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        assert command.help, f"reembed {name} has no help"
        for parameter in command.params:
            if parameter.opts[0].startswith("--"):
                assert getattr(parameter, "help", ""), f"{name} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_example_configuration_loads(path: Path) -> None:
    loaded = load_config(path)
    assert loaded.config.name
    assert loaded.config.model.spec().name == loaded.config.model.name


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the configuration with its default."""
    for name, field in model.model_fields.items():
        inner = [
            kind
            for kind in (field.annotation, *get_args(field.annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if inner:
            yield from keys_of(inner[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def documented() -> dict[str, tuple[str, str]]:
    return {
        key: (kind, default) for key, kind, default, _ in _ROW.findall(page("configuration.md"))
    }


def test_every_key_is_documented_and_no_other() -> None:
    real, told = {key for key, _ in keys_of(Config)}, set(documented())
    assert not real - told, f"docs/configuration.md lacks {sorted(real - told)}"
    assert not told - real, f"docs/configuration.md names {sorted(told - real)}, which are no keys"


def test_the_documented_defaults_are_the_real_ones() -> None:
    told = documented()
    for key, field in keys_of(Config):
        if key not in told:
            continue  # the test above says so
        default = told[key][1].strip("`")
        if field.is_required():
            assert default == "required", key
        elif field.default is None:
            assert default.startswith(("none", "as many")), key
        elif isinstance(field.default, bool):
            assert default == str(field.default).lower(), key
        elif isinstance(field.default, int | float):
            assert float(default) == field.default, key
        elif isinstance(field.default, tuple):
            assert tuple(yaml.safe_load(default)) == field.default, key
        elif field.default:
            assert isinstance(field.default, str) or field.default_factory, key
            assert field.default_factory or default == field.default, key


def test_every_model_and_task_is_named() -> None:
    text = page("configuration.md")
    for name in (*MODELS, *QUERY_NAMES, "retrieval_document"):
        assert f"`{name}`" in text, f"docs/configuration.md does not name {name}"


def codes() -> Iterator[tuple[str, str]]:
    """(code, where) of every reject that the package makes with a literal code."""
    makers = {"RejectError": 0, "Reject": 0, "rejected_item": 1}
    for path in sorted((ROOT / "src" / "reembed").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                place = makers.get(ast.unparse(node.func).rsplit(".", 1)[-1])
                if place is not None and len(node.args) > place:
                    code = node.args[place]
                    if isinstance(code, ast.Constant) and isinstance(code.value, str):
                        yield code.value, f"{path.name}:{node.lineno}"


def test_every_reason_of_a_reject_is_explained() -> None:
    text = page("rejects.md")
    found = dict(codes())
    assert len(found) > 20, "the search for codes finds too few: this test looks at little"
    missing = {code: where for code, where in found.items() if f"`{code}`" not in text}
    assert not missing, f"docs/rejects.md does not explain {missing}"


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        pattern = rf"^```{kind}\n(.*?)^```$"
        for block in re.findall(pattern, path.read_text(encoding="utf-8"), re.M | re.S):
            yield path.name, block


def test_shown_yaml_is_a_configuration_or_a_part_of_one(tmp_path: Path) -> None:
    seen = 0
    needed: dict[str, Any] = {"name": "shown", "source": {"files": ["**"]}}
    for name, block in blocks("yaml"):
        seen += 1
        data = yaml.safe_load(block)
        assert isinstance(data, dict | list), f"{name}: {block}"
        if isinstance(data, list):
            continue  # the emulator's faults, which its own tests read
        if set(data) & set(Config.model_fields):
            try:
                config_from_mapping({**needed, **data}, tmp_path)
            except UsageError as err:
                pytest.fail(f"{name} shows a configuration that is refused: {err}")
    assert seen, "no document shows any YAML"


def test_shown_python_compiles() -> None:
    for name, block in blocks("python"):
        compile(block, name, "exec")


def test_links_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_files_that_the_readme_names_are_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"`((?:src|scripts|configs|pipelines|docs|tests)/[\w./-]+)`", text):
        assert (ROOT / target).exists(), f"README.md names {target}"


def strings_in(path: str, call: str) -> set[str]:
    """First words that a call of this name is given in a module."""
    tree = ast.parse((ROOT / "src" / "reembed" / path).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    firsts = [node.args[0] for node in calls if ast.unparse(node.func).rsplit(".")[-1] == call]
    parts = [part for first in firsts for part in ast.walk(first)]
    return {str(part.value) for part in parts if isinstance(part, ast.Constant) and part.value}


def counted_in(path: str) -> set[str]:
    """Keys of the dicts that a module writes out, and names in capitals beside them."""
    tree = ast.parse((ROOT / "src" / "reembed" / path).read_text(encoding="utf-8"))
    dicts = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    keys = [part for one in dicts for key in one.keys if key for part in ast.walk(key)]
    return {str(key.value) for key in keys if isinstance(key, ast.Constant) and key.value}


def test_every_metric_and_event_is_documented_and_no_other() -> None:
    text = page("observing.md")
    fields = {*FIELDS, "counts"}
    metrics = {PENDING, PENDING_NOW}
    for path in ("driver/events.py", "beam/metrics.py", "beam/chunk_items.py"):
        metrics |= counted_in(path)
    metrics -= fields
    tables = text.split("## Log lines")[0]
    told = {name for row in re.findall(r"^\| (`.*?) \|", tables, re.M) for name in row.split(", ")}
    assert {name.strip("`") for name in told} == metrics
    events = strings_in("driver/events.py", "_event") | strings_in("driver/lane.py", "Event")
    events |= strings_in("cli/screen.py", "_tell")
    assert len(events) > 12
    missing = {name for name in events | fields if f"`{name}`" not in text}
    assert not missing, f"docs/observing.md lacks {missing}"


def test_the_emulator_page_names_every_module_setting_and_route() -> None:
    text = page("emulator.md")
    modules = {path.name for path in (ROOT / "src" / "reembed_emulator").glob("[!_]*.py")}
    settings = {field.name for field in dataclasses.fields(EmulatorSettings)}
    for name in modules | settings | fault_names():
        assert f"`{name}`" in text, f"docs/emulator.md does not name {name}"
