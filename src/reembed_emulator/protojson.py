"""Read JSON as strictly as a protocol-buffer endpoint does: known fields, right types."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class PayloadError(Exception):
    """Say which field of a payload is unknown, of a wrong type or set twice."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Field:
    """Describe one field: a scalar kind, a message, or a list of either."""

    kind: str
    message: Message | None = None
    repeated: bool = False
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Message:
    """Describe a message: its fields by snake_case name and its one-of groups."""

    fields: Mapping[str, Field]
    oneofs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        names = {_camel(name): name for name in self.fields}
        names.update({name: name for name in self.fields})
        object.__setattr__(self, "names", names)


def parse(message: Message, value: Any, path: str = "") -> dict[str, Any]:
    """Check `value` against `message`; return it with snake_case names, nulls left out.

    Both spellings of a name are read, as proto JSON allows.

    Raises:
        PayloadError: An unknown field, a wrong type, a field or a one-of that is set twice.
    """
    if not isinstance(value, dict):
        raise PayloadError(f"{_at(path)} Starting an object on a scalar field, or not an object")
    out: dict[str, Any] = {}
    for given, item in value.items():
        name = message.names.get(given)
        if name is None:
            raise PayloadError(f"{_unknown(given, path)} Cannot find field.")
        if item is None:
            continue
        if name in out:
            raise PayloadError(f"{_unknown(given, path)} The field is already set.")
        out[name] = _field(message.fields[name], item, f"{path}.{name}" if path else name)
    for group, members in message.oneofs.items():
        given_members = [name for name in members if name in out]
        if len(given_members) > 1:
            raise PayloadError(
                f"{_at(path)} oneof field '{group}' is already set. "
                f"Cannot set '{_camel(given_members[1])}'"
            )
    return out


def _field(spec: Field, value: Any, path: str) -> Any:
    if not spec.repeated:
        return _single(spec, value, path)
    if not isinstance(value, list):
        raise PayloadError(f"{_at(path)} Proto field is repeating, a list is needed")
    return [_single(spec, item, f"{path}[{index}]") for index, item in enumerate(value)]


def _single(spec: Field, value: Any, path: str) -> Any:
    if spec.message is not None:
        return parse(spec.message, value, path)
    if spec.kind == "enum":
        if value not in spec.values:
            raise _wrong(path, "TYPE_ENUM", value)
        return value
    return _SCALARS[spec.kind](value, path)


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "TYPE_STRING", value)
    return value


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, "TYPE_BOOL", value)
    return value


def _struct(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(path, "google.protobuf.Struct", value)
    return value


def _integer(bits: int) -> Callable[[Any, str], int]:
    bound = 1 << (bits - 1)

    def read(value: Any, path: str) -> int:
        number = value
        whole_text = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value)
        if whole_text or (isinstance(value, float) and value.is_integer()):
            number = int(value)
        if isinstance(number, bool) or not isinstance(number, int):
            raise _wrong(path, f"TYPE_INT{bits}", value)
        if not -bound <= number < bound:
            raise _wrong(path, f"TYPE_INT{bits}", value)
        return number

    return read


def _bytes(value: Any, path: str) -> bytes:
    if not isinstance(value, str):
        raise _wrong(path, "TYPE_BYTES", value)
    text = value.replace("-", "+").replace("_", "/") if "-" in value or "_" in value else value
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as err:
        raise PayloadError(
            f'{_at(path)} (TYPE_BYTES), Base64 decoding failed for "{value[:20]}"'
        ) from err


_SCALARS: Mapping[str, Callable[[Any, str], Any]] = {
    "string": _string,
    "bool": _boolean,
    "struct": _struct,
    "int32": _integer(32),
    "int64": _integer(64),
    "bytes": _bytes,
}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _at(path: str) -> str:
    return f"Invalid value at '{path}'" if path else "Invalid JSON payload received."


def _unknown(name: str, path: str) -> str:
    where = f" at '{path}'" if path else ""
    return f'Invalid JSON payload received. Unknown name "{name}"{where}:'


def _wrong(path: str, kind: str, value: Any) -> PayloadError:
    shown = repr(value)
    return PayloadError(f"{_at(path)} ({kind}), {shown[:60]}")
