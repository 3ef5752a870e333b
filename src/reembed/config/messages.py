"""Messages for wrong keys: one line with the key, the value and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reembed.config.base import Problem, ProblemsError, Section, UnknownKeysError, show_value
from reembed.errors import ConfigError

_MAX_FURTHER = 10

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text (put it in quotes if it looks like something else)",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "list_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_SECRETS = ("api_key", "apikey", "key", "token", "secret", "password")
_EXAMPLES = {
    "name": "give for instance name: handbook-2026",
    "source": 'give for instance source: {files: ["./corpus/**"]}',
    "source.files": 'give for instance files: ["./corpus/**"]',
}
_PATTERNS = {
    "name": "give 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first",
}


def config_error(problems: Sequence[Problem]) -> ConfigError:
    """Make one error of all problems: the first in full, the others by their keys."""
    first, *others = problems
    remedy = first.remedy
    if others:
        keys = [p.key for p in others[:_MAX_FURTHER]]
        rest = len(others) - len(keys)
        more = f" and {rest} more" if rest else ""
        remedy += f" (also wrong: {', '.join(keys)}{more})"
    return ConfigError(first.key, first.value, remedy)


def problems_of(err: ValidationError, root: type[BaseModel]) -> list[Problem]:
    """Collect the problems that a validation found, in its order, one a key.

    Args:
        err: from validating a mapping against `root`.
        root: the model that was validated; its fields are what "did you mean" offers.
    """
    found: dict[str, Problem] = {}
    for detail in err.errors(include_url=False):
        for problem in _problems(detail, root):
            known = found.get(problem.key)
            found[problem.key] = problem if known is None else _either(known, problem)
    return list(found.values())


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """List every dotted key of a model, sections included, in the order of the fields."""
    keys = []
    for name in [*model.model_fields, *_added(model)]:
        keys.append(prefix + name)
        section = _section(model, name)
        if section is not None:
            keys += known_keys(section, f"{prefix}{name}.")
    return keys


def _problems(detail: ErrorDetails, root: type[BaseModel]) -> list[Problem]:
    kind, context = detail["type"], detail.get("ctx", {})
    raised = context.get("error")
    path = _path(detail["loc"], root)
    if isinstance(raised, UnknownKeysError):
        return [_unknown(p.under(path).key, p.value, root) for p in raised.problems]
    if isinstance(raised, ProblemsError):
        return [p.under(path) for p in raised.problems]
    if kind == "extra_forbidden":
        return [_unknown(path, detail["input"], root)]
    if kind == "missing":
        if isinstance(detail["loc"][-1], int):
            whole = path.rpartition("[")[0]
            return [Problem(whole, show_value(detail["input"]), "too short; give more values")]
        remedy = _EXAMPLES.get(path, "this key is required")
        return [Problem(path, "missing", remedy)]
    value = show_value(detail["input"], path)
    return [Problem(path, value, _remedy(kind, context, path, detail))]


def _remedy(kind: str, context: Mapping[str, Any], path: str, detail: ErrorDetails) -> str:
    if kind == "model_type":
        return "this is a section; give keys below it, or leave it out"
    if kind in _TYPES:
        leave = ", or leave the key out" if detail["input"] is None else ""
        example = _list_example(kind, detail["input"])
        return f"give {_TYPES[kind]}{example}{leave}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"give {words} {context[name]:g}"
    if kind == "literal_error":
        return f"give {str(context['expected']).replace(chr(39), '')}"
    if path in _PATTERNS:
        return _PATTERNS[path]
    if kind in ("too_short", "string_too_short"):
        return "empty; " + _EXAMPLES.get(path, f"give at least {context['min_length']}")
    if kind in ("too_long", "string_too_long"):
        return f"too long; give at most {context['max_length']}"
    return detail["msg"].replace("Input should be", "give")


def _list_example(kind: str, value: Any) -> str:
    one_text = kind in ("tuple_type", "list_type") and isinstance(value, str)
    return f', for instance ["{show_value(value)}"]' if one_text else ""


def _either(first: Problem, second: Problem) -> Problem:
    """Join two problems of one key: a value that fits neither of two types."""
    if not first.remedy.startswith("give ") or not second.remedy.startswith("give "):
        return first
    return Problem(first.key, first.value, f"{first.remedy} or {second.remedy[5:]}")


def _unknown(path: str, value: Any, root: type[BaseModel]) -> Problem:
    shown = show_value(value, path)
    head, _, name = path.rpartition(".")
    if name.lower().replace("-", "_") in _SECRETS:
        return Problem(
            path,
            "(not shown)",
            "not a known key; a secret never stands in a file, set GEMINI_API_KEY instead",
        )
    here = [key.rpartition(".")[2] for key in known_keys(root) if key.rpartition(".")[0] == head]
    close = difflib.get_close_matches(name, here, n=1)
    if close:
        return Problem(path, shown, f"not a known key; did you mean {close[0]}?")
    # A key of another section, such as max_usd at the root: closer matches only, since all keys of
    # the configuration are candidates.
    elsewhere = _elsewhere(name, root)
    if elsewhere:
        return Problem(path, shown, f"not a known key here; did you mean {elsewhere}?")
    return Problem(path, shown, f"not a known key; known here are {', '.join(here)}")


def _elsewhere(name: str, root: type[BaseModel]) -> str | None:
    by_name = {key.rpartition(".")[2]: key for key in reversed(known_keys(root))}
    close = difflib.get_close_matches(name, list(by_name), n=1, cutoff=0.8)
    return by_name[close[0]] if close else None


def _path(loc: Sequence[int | str], root: type[BaseModel]) -> str:
    """Return the dotted key of an error's location, without the names of a union's types."""
    model: type[BaseModel] | None = root
    path = ""
    for step in loc:
        if isinstance(step, int):
            path = f"{path}[{step}]"
        elif model is not None:
            path = f"{path}.{step}" if path else step
            model = _section(model, step)
    return path


def _section(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    if field is None:
        return _added(model).get(name)
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _added(model: type[BaseModel]) -> Mapping[str, type[Section]]:
    return model.added_models() if issubclass(model, Section) else {}
