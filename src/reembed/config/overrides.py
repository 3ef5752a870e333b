"""``--set a.b=c``: single keys given beside the file, with values in YAML."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from reembed.config.problems import show_value
from reembed.config.yaml_text import parse_yaml
from reembed.errors import UsageError

_EXAMPLE = "for instance --set batch.max_requests=500"


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of `data` with every ``a.b=value`` in place, later ones over earlier ones.

    Raises:
        UsageError: an override that cannot be read, or a path through something that is no section.
    """
    result = copy.deepcopy(dict(data))
    for text in overrides:
        path, value = parse_override(text)
        _place(result, path, value, text)
    return result


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """The path and the value of one override; the value is a YAML scalar or flow.

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
