"""Sections of kinds that other packages add, such as ``source: {toy: {...}}``."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, TypeVar

import orjson
from pydantic import ConfigDict, ValidationError, model_validator

from reembed.config.base import ProblemsError, Section, UnknownKeysError, show_value
from reembed.config.messages import problems_of
from reembed.errors import UsageError
from reembed.registry import find_added, names_added

S = TypeVar("S", bound=Section)


class OpenSection(Section):
    """Section that takes, beside its own keys, a section of a kind from another package.

    pydantic keeps unknown keys as they are (``extra="allow"``); each is then replaced by a
    `Section` of the kind's own model, so that dumps, comparisons and pickles include it. A key
    that no kind has is an error, as everywhere.
    """

    model_config = ConfigDict(extra="allow")
    # The table (`reembed.registry.Table`) whose kinds may have a section here.
    group: ClassVar[str]

    @model_validator(mode="after")
    def _read_added(self) -> OpenSection:
        extra = self.model_extra or {}
        models = {name: _model_of(self.group, name) for name in extra}
        if unknown := [name for name, model in models.items() if model is None]:
            raise UnknownKeysError({name: show_value(extra[name], name) for name in unknown})
        for name, model in models.items():
            assert model is not None
            extra[name] = _validated(model, name, extra[name])
        return self

    @classmethod
    def added_models(cls) -> dict[str, type[Section]]:
        """Models of the sections that kinds from other packages have here, by name.

        Used to explain mistakes: a package that cannot be imported must not hide the mistake.
        """
        models = {}
        for name in names_added(cls.group):
            with suppress(UsageError):
                if (model := _model_of(cls.group, name)) is not None:
                    models[name] = model
        return models

    @property
    def added_kind(self) -> str:
        """Name of the kind from another package that has a section here; empty: none has."""
        return next(iter(self.model_extra or {}), "")

    def added(self, model: type[S]) -> S:
        """Return the section of the kind from another package.

        Args:
            model: the kind's own model.
        """
        section = (self.model_extra or {})[self.added_kind]
        assert isinstance(section, model)
        return section

    def frozen_added(self) -> dict[str, Any]:
        """Dump the section of another package's kind, without the keys in `free` of its model."""
        return {
            name: section.model_dump(mode="json", exclude=set(section.free))
            for name, section in (self.model_extra or {}).items()
        }


def _model_of(group: str, name: str) -> type[Section] | None:
    model = getattr(find_added(group, name), "section", None)
    return model if isinstance(model, type) and issubclass(model, Section) else None


def _validated(model: type[Section], name: str, value: Any) -> Section:
    try:
        # As JSON: the strict rules of Python objects would refuse a list where a tuple is meant.
        return model.model_validate_json(orjson.dumps(value), strict=True)
    except ValidationError as err:
        found = problems_of(err, model)
        raise ProblemsError(*(problem.under(name) for problem in found)) from None
