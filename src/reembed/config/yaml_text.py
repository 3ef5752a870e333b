"""Reading YAML: safely, without double keys, and only into what JSON could say."""

from __future__ import annotations

import datetime
import math
import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from reembed.config.problems import show_value
from reembed.errors import ConfigError

_MAX_DEPTH = 20
_MAX_VALUES = 100_000


class _Loader(yaml.SafeLoader):
    """The safe loader, where a key that stands twice is an error and ``1e6`` is a number."""

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
    """The same values as JSON has them: dates become text, the rest is refused.

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
