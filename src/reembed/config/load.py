"""From a YAML file, or a mapping, to a checked configuration with its places resolved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import ValidationError

from reembed.config.messages import config_error, problems_of
from reembed.config.overrides import apply_overrides
from reembed.config.schema import Config
from reembed.config.yaml_text import parse_yaml, plain
from reembed.errors import ConfigError, UsageError

_START = "start from configs/handbook.yaml"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked configuration and where it came from.

    `config.run_dir` is absolute (or ``gs://…``) and has no slash at its end. `config.source.files`
    is as written, so that keys do not depend on where the folder lies; `base` is the absolute
    folder that its relative patterns start from. `path` is None when there was no file.
    """

    config: Config
    base: Path
    path: Path | None = None


def load_config(
    path: Path, overrides: Sequence[str] = (), run_dir: str | None = None
) -> LoadedConfig:
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
    loaded = config_from_text(text, str(path), absolute.parent, overrides, run_dir)
    return LoadedConfig(loaded.config, loaded.base, absolute)


def config_from_text(
    text: str, shown: str, base: Path, overrides: Sequence[str] = (), run_dir: str | None = None
) -> LoadedConfig:
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
) -> LoadedConfig:
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
    return LoadedConfig(config.model_copy(update={"run_dir": place}), base)


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
