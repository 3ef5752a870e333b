"""A mapping to which entries are added, a few at a time, without copying what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class Grown(Mapping[str, int]):
    """An immutable mapping in layers; adding k entries to n costs about k log n.

    A layer is at least twice as large as the next, so there are few, and an entry is copied each
    time its layer is merged with an older one. A newer layer's entry hides an older one's.
    """

    __slots__ = ("_layers",)

    def __init__(self, *layers: Mapping[str, int]) -> None:
        self._layers = layers

    @classmethod
    def of(cls, entries: Mapping[str, int]) -> Grown:
        """The same entries; what has grown already stays as it is."""
        return entries if isinstance(entries, Grown) else cls(*([entries] if entries else []))

    def plus(self, entries: Mapping[str, int]) -> Grown:
        """These entries over what is there."""
        if not entries:
            return self
        layers, top = list(self._layers), entries
        while layers and 2 * len(top) > len(layers[-1]):
            top = {**layers.pop(), **top}
        return Grown(*layers, top)

    def whole(self) -> dict[str, int]:
        """All entries in one dictionary."""
        return {key: value for layer in self._layers for key, value in layer.items()}

    def __getitem__(self, key: str) -> int:
        for layer in reversed(self._layers):
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())

    def __repr__(self) -> str:
        return f"Grown({self.whole()!r})"
