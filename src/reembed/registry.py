"""Tables of kinds that other packages can add to: sources, destinations, formats, providers.

A kind from outside is added in one of two ways:

* by an entry point of an installed package: group ``reembed.sources`` (``.destinations``, and so
  on), name of the kind, value ``module:object``;
* by a module that the configuration names under ``extensions``: it calls `add` when imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from reembed.errors import UsageError

T = TypeVar("T")

# Group → name → kind, of those that modules have added in this process.
_added: dict[str, dict[str, object]] = {}


def resolve(target: str) -> object:
    """Import the object that ``module:name`` names.

    Raises:
        UsageError: the module cannot be imported, or has no such object.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as err:
        raise UsageError(
            f"{target!r} cannot be imported ({err}); install the package that has it, or check "
            "the name"
        ) from err


def load_extensions(modules: Iterable[str]) -> None:
    """Import modules that add kinds; a module that was imported before adds nothing again.

    Every process that looks kinds up calls this: an engine's worker starts without them.

    Raises:
        UsageError: one cannot be imported.
    """
    for module in modules:
        try:
            import_module(module)
        except (ImportError, ValueError, TypeError) as err:
            raise UsageError(
                f"extension {module!r} cannot be imported ({err}); install its package, or put "
                "its folder on PYTHONPATH"
            ) from err


def add(group: str, name: str, kind: object) -> None:
    """Add a kind from outside of this package; the same one again changes nothing.

    Args:
        group: the table, for instance ``reembed.sources``.
        name: what the configuration calls it.
        kind: the object itself, or ``module:object``, which is imported when first needed.

    Raises:
        UsageError: another kind has the name. Silently taking the later one would make a run
            depend on the order of imports.
    """
    kinds = _added.setdefault(group, {})
    if kinds.setdefault(name, kind) != kind:
        raise UsageError(f"{group}: {name!r} was added twice, by different modules; rename one")


def find_added(group: str, name: str) -> object | None:
    """Look a kind up that was added from outside; None: there is none of this name.

    Raises:
        UsageError: its module cannot be imported.
    """
    kind = _added.get(group, {}).get(name)
    if kind is None and name in _entry_points(group):
        kind = _entry_points(group)[name].value
    return resolve(kind) if isinstance(kind, str) else kind


def names_added(group: str) -> tuple[str, ...]:
    """Names of all kinds that were added from outside, sorted."""
    return tuple(sorted({*_added.get(group, {}), *_entry_points(group)}))


@cache
def _entry_points(group: str) -> Mapping[str, EntryPoint]:
    # Reads the metadata of every installed package: tens of milliseconds, so once a process, and
    # only when a name is looked up that is not built in.
    return {point.name: point for point in entry_points(group=group)}


class Table(Generic[T]):
    """Kinds by name; a built-in name cannot be taken by one from outside.

    Args:
        group: name of the table for entry points and `add`, for instance ``reembed.sources``.
        built_in: name → the kind, or ``module:object``, which is imported when first needed:
            some kinds import libraries that take a second, which a run without them never needs.
    """

    def __init__(self, group: str, built_in: Mapping[str, T | str]) -> None:
        self.group, self._built_in = group, dict(built_in)

    def __iter__(self) -> Iterator[str]:
        """Names of all kinds: built-in ones in the order of the table, then those from outside."""
        yield from self._built_in
        yield from (name for name in names_added(self.group) if name not in self._built_in)

    def get(self, name: str) -> T:
        """Look a kind up.

        Raises:
            UsageError: there is none of this name; lists those that are there.
        """
        kind: object | None = self._built_in.get(name)
        if isinstance(kind, str):
            kind = resolve(kind)
        if kind is None:
            kind = find_added(self.group, name)
        if kind is None:
            raise UsageError(
                f"{name!r} is not in {self.group}; there are {', '.join(self)}. A kind of another "
                "package must be installed, or named under `extensions`"
            )
        return cast(T, kind)
