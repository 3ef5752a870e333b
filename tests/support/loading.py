"""A configuration over ten short texts, for plans that are really made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reembed.config.load import ResolvedConfig, config_from_mapping


def over_ten_texts(folder: Path) -> Callable[..., ResolvedConfig]:
    """Write ten texts; what is returned loads a configuration over them with changed sections."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for number in range(10):
        (corpus / f"{number}.txt").write_text(f"Text number {number}, about {number * 31}.")

    def make(**sections: Any) -> ResolvedConfig:
        base = {"name": "pipes", "run_dir": "./run", "source": {"files": ["corpus/**"]}}
        return config_from_mapping({**base, **sections}, folder)

    return make
