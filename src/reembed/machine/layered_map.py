"""Immutable mapping in layers: adding a few entries to many costs little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class LayeredMap(Mapping[str, int]):
    """An immutable mapping in layers; adding k entries to n costs about k log n.

    A layer is at least twice as large as the next, so there are few, and an entry is copied each
    time its layer is merged with an older one. A newer layer's entry hides an older one's.
    """

    __slots__ = ("_layers",)

    def __init__(self, *layers: Mapping[str, int]) -> None:
        self._layers = layers

    @classmethod
    def of(cls, entries: Mapping[str, int]) -> LayeredMap:
        """Make one of any mapping; a layered one is returned as it is."""
        return entries if isinstance(entries, LayeredMap) else cls(*([entries] if entries else []))

    def plus(self, entries: Mapping[str, int]) -> LayeredMap:
        """Add entries, which hide older ones of the same keys."""
        if not entries:
            return self
        layers, top = list(self._layers), entries
        while layers and 2 * len(top) > len(layers[-1]):
            top = {**layers.pop(), **top}
        return LayeredMap(*layers, top)

    def whole(self) -> dict[str, int]:
        """Copy all entries into one dictionary."""
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
        return f"LayeredMap({self.whole()!r})"
