"""`reembed nearest`: the keys whose vectors are nearest to one's; a whole verb, from outside."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

import reembed
from reembed.registry import add


def nearest(
    config: Annotated[str, typer.Argument(help="The YAML file.")],
    key: Annotated[str, typer.Argument(help="Key of an input.")],
    count: Annotated[int, typer.Option(min=1, help="How many to print.")] = 3,
) -> int:
    """Print the keys whose vectors are nearest to that of one key."""
    rows = reembed.read(config, columns=["key", "embedding"])
    keys = rows["key"].to_pylist()
    if key not in keys:
        raise reembed.UsageError(f"{key!r} has no vector; `reembed trace` shows what became of it")
    vectors = np.stack(rows["embedding"].to_numpy(zero_copy_only=False))
    scores = vectors @ vectors[keys.index(key)]
    for row in np.argsort(-scores)[:count]:
        typer.echo(f"{scores[row]:.3f} {keys[row]}")
    return 0


add("reembed.commands", "nearest", nearest)
