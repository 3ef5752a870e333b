"""Load a configuration: YAML text, `--set` overrides, absolute paths."""

from __future__ import annotations

import copy
import datetime
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import ValidationError
from yaml.constructor import ConstructorError

from reembed.config.base import show_value
from reembed.config.messages import config_error, problems_of
from reembed.config.notifications import NotifyConfig
from reembed.config.schema import Config, ServiceConfig
from reembed.errors import ConfigError, UsageError

_MAX_DEPTH = 20
_MAX_VALUES = 100_000


class _Loader(yaml.SafeLoader):
    """Safe loader, where a key that stands twice is an error and ``1e6`` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ConstructorError(
                    None,
                    None,
                    f"{show_value(key.value)} stands twice, in lines {seen[key.value]} and {line}; "
                    "keep one of them",
                    key.start_mark,
                )
            seen[key.value] = line
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 1e6 for text; everybody else takes it for a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def parse_yaml(text: str) -> Any:
    """One YAML document as Python values.

    Raises:
        yaml.YAMLError: with its place in `problem_mark` where there is one.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a subclass of the safe loader
    except ValueError as err:
        # For instance 2026-13-01, which looks like a date and is none.
        raise yaml.YAMLError(f"{err}; put such a value in quotes") from err


def plain(value: Any) -> Any:
    """Return the same values as JSON has them: dates become text, the rest is refused.

    Raises:
        ConfigError: a key that is not text, a value that is not finite or of no JSON type, or
            more nesting or more values than a configuration has.
    """
    left = [_MAX_VALUES]
    return _plain(value, "", 0, left)


def _plain(value: Any, path: str, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if depth > _MAX_DEPTH or left[0] < 0:
        raise ConfigError(path, "(too much)", "nested too deeply or too long; write it out plainly")
    if isinstance(value, dict):
        return {
            _name(key, path): _plain(inner, f"{path}.{key}" if path else str(key), depth + 1, left)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_plain(v, f"{path}[{i}]", depth + 1, left) for i, v in enumerate(value)]
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(path, str(value), "not a finite number; leave the key out for no bound")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(path, show_value(str(value)), "beyond 64 bits; give a smaller number")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ConfigError(path, f"({type(value).__name__})", "give text, a number, a list or a mapping")


def _name(key: Any, path: str) -> str:
    if isinstance(key, str):
        return key
    where = f"{path}.{key}" if path else str(key)
    raise ConfigError(where, str(key), "a key must be text; put it in quotes if it is meant")


_EXAMPLE = "for instance --set batch.max_requests=500"


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `data` with every ``a.b=value`` in place, later ones over earlier ones.

    Raises:
        UsageError: an override that cannot be read, or a path through something that is no section.
    """
    result = copy.deepcopy(dict(data))
    for text in overrides:
        path, value = parse_override(text)
        _place(result, path, value, text)
    return result


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Return the path and the value of one override; the value is a YAML scalar or flow.

    Raises:
        UsageError: no ``=``, an empty key, or a value that is not YAML.
    """
    key, equals, raw = text.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        raise UsageError(f"--set {show_value(text)}: not of the form KEY=VALUE; {_EXAMPLE}")
    try:
        return path, parse_yaml(raw)
    except yaml.YAMLError as err:
        shown = show_value(raw, key.strip())
        raise UsageError(
            f"--set {key.strip()}: {shown}: the value is not YAML; put it in quotes, "
            """for instance --set 'source.files=["./a/**"]'"""
        ) from err


def _place(data: dict[str, Any], path: tuple[str, ...], value: Any, text: str) -> None:
    section = data
    for depth, name in enumerate(path[:-1], start=1):
        inner = section.get(name)
        if inner is None:
            inner = section[name] = {}
        if not isinstance(inner, dict):
            raise UsageError(
                f"--set {show_value(text)}: {'.'.join(path[:depth])} is a value and has no keys "
                f"below it; give --set {'.'.join(path[:depth])}=…"
            )
        section = inner
    section[path[-1]] = value


_START = "start from configs/handbook.yaml"


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """Checked configuration with absolute places, and where it came from; made once a call.

    Attributes:
        config: `config.run_dir` is absolute (or ``gs://…``) and has no slash at its end;
            `config.source.files` is as written, so that keys do not depend on where the folder
            lies.
        base: absolute folder that relative places start from.
        path: file that was read; None where there was none.
        overrides: ``a.b=value`` each, which stand above the file.
    """

    config: Config
    base: Path
    path: Path | None = None
    overrides: tuple[str, ...] = ()

    def with_service(self, service: ServiceConfig) -> ResolvedConfig:
        """Replace the service's section, by one with what the environment says of it."""
        return replace(self, config=self.config.model_copy(update={"service": service}))

    def with_cap(self, max_usd: float | None) -> ResolvedConfig:
        """Replace the cap, by one that was approved for this call."""
        return replace(self, config=with_cap(self.config, max_usd))


def with_cap(config: Config, max_usd: float | None) -> Config:
    """Replace `budget.max_usd`."""
    budget = config.budget.model_copy(update={"max_usd": max_usd})
    return config.model_copy(update={"budget": budget})


def config_for_workers(config: Config, approved_usd: float | None) -> Config:
    """Make the configuration that travels to workers: with the cap that holds, without addresses.

    Without a cap of its own it takes the one that was approved at the commit. Addresses to notify
    may be secrets, and workers notify nobody, so these do not travel.
    """
    config = config.model_copy(update={"notify": NotifyConfig()})
    return config if config.budget.max_usd is not None else with_cap(config, approved_usd)


def load_config(
    path: Path, overrides: Sequence[str] = (), run_dir: str | None = None
) -> ResolvedConfig:
    """Read a configuration file.

    Args:
        path: the YAML file; relative places in it start from its folder.
        overrides: ``a.b=value`` each, with values in YAML.
        run_dir: stands above the file's; a relative one starts from the current directory.

    Raises:
        UsageError: the file cannot be read or is not YAML; the message has file and line.
        ConfigError: a key is wrong.
    """
    absolute = Path(os.path.abspath(path))
    text = _text(absolute, path)
    resolved = config_from_text(text, str(path), absolute.parent, overrides, run_dir)
    return replace(resolved, path=absolute)


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Read the keys and values of a configuration file, unchecked.

    Raises:
        UsageError: the file cannot be read or is not YAML; the message has file and line.
    """
    shown = str(path)
    return _mapping(_parsed(_text(Path(os.path.abspath(path)), path), shown), shown)


def config_from_text(
    text: str, shown: str, base: Path, overrides: Sequence[str] = (), run_dir: str | None = None
) -> ResolvedConfig:
    """Check a configuration that was read as text; messages call its place `shown`.

    Raises:
        UsageError: it is not YAML, or an override cannot be read.
        ConfigError: a key is wrong.
    """
    return config_from_mapping(_mapping(_parsed(text, shown), shown), base, overrides, run_dir)


def config_from_mapping(
    data: Mapping[str, Any],
    base: Path,
    overrides: Sequence[str] = (),
    run_dir: str | None = None,
) -> ResolvedConfig:
    """Check a configuration that is in memory; relative places in it start from `base`.

    Raises:
        UsageError: an override cannot be read.
        ConfigError: a key is wrong.
    """
    base = Path(os.path.abspath(base))
    merged = plain(apply_overrides(data, overrides))
    try:
        config = Config.model_validate_json(orjson.dumps(merged), strict=True)
    except orjson.JSONEncodeError as err:
        raise UsageError(f"the configuration holds text that is not Unicode: {err}") from err
    except ValidationError as err:
        raise config_error(problems_of(err, Config)) from None
    if run_dir:
        place = resolve_place(run_dir, Path.cwd())
    else:
        place = resolve_place(config.run_dir or f"./runs/{config.name}", base)
    config = config.model_copy(update={"run_dir": place})
    return ResolvedConfig(config, base, overrides=tuple(overrides))


def resolve_place(place: str, base: Path) -> str:
    """An absolute local path, or ``gs://…`` as it is, without a slash at its end.

    ``~`` is expanded; a relative place starts from `base`.

    Raises:
        ConfigError: another scheme, or ``gs://`` without a bucket.
    """
    if place.startswith("gs://"):
        trimmed = place.rstrip("/")
        if trimmed == "gs:" or trimmed.startswith("gs:///"):
            raise ConfigError("run_dir", place, "no bucket; give gs://bucket/prefix")
        return trimmed
    if "://" in place:
        raise ConfigError("run_dir", place, "give a folder or gs://bucket/prefix")
    return os.path.abspath(base / Path(place).expanduser())


def _text(absolute: Path, shown: Path) -> str:
    try:
        return absolute.read_text(encoding="utf-8-sig")
    except FileNotFoundError as err:
        raise UsageError(f"{shown}: there is no such file; give the path of a YAML file") from err
    except (IsADirectoryError, NotADirectoryError) as err:
        raise UsageError(f"{shown}: not a file; give the YAML file in it") from err
    except UnicodeDecodeError as err:
        raise UsageError(f"{shown}: not UTF-8 at byte {err.start}; save it as UTF-8") from err
    except OSError as err:
        raise UsageError(f"{shown}: cannot be read: {err.strerror}") from err


def _parsed(text: str, shown: str) -> Any:
    try:
        return parse_yaml(text)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{shown}{place}: {_yaml_message(err)}") from err
    except yaml.YAMLError as err:
        problem = " ".join(str(err).split())
        raise UsageError(f"{shown}: not YAML: {problem}") from err


def _yaml_message(err: yaml.MarkedYAMLError) -> str:
    problem = err.problem or err.context or "cannot be read"
    if problem.endswith("keep one of them"):
        return problem
    if "\\t" in problem:
        return f"not YAML: {problem}; indent with spaces instead of tabs"
    if "document" in f"{err.context} {problem}":
        return f"not YAML: {problem}; keep one document, without a second ---"
    return f"not YAML: {problem}; check indentation, colons and quotes here"


def _mapping(data: Any, shown: str) -> Mapping[str, Any]:
    if data is None:
        raise UsageError(f"{shown}: empty; {_START}")
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        raise UsageError(f"{shown}: {kind}, not keys with values; {_START}")
    return data
