"""Measure validating and cutting media against the bare calls of the media libraries."""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
from bare import KINDS

sys.path.insert(0, str(Path(__file__).parents[1]))

from reembed.config.load import config_from_mapping
from reembed.core.chunk import chunk_item
from reembed.formats.policy import ChunkPolicy
from reembed.formats.render import render
from reembed.types import Item, Position, Recipe
from sides import Stopwatch, compare, interleave, keep, run_side, table

_SCRIPT = Path(__file__).parents[2] / "scripts" / "make_corpus.py"
_SIDES = ("bare", "product")


def main() -> None:
    options = _options()
    if options.side:
        side = _bare if options.side == "bare" else _product
        side(options.folder, options.kind, options.passes)
        return
    marks = []
    with tempfile.TemporaryDirectory(prefix="media-", dir=options.folder) as name:
        folder = Path(name)
        for seed in range(1, options.corpora + 1):
            command = [sys.executable, str(_SCRIPT), f"{name}/corpus/{seed}", "--seed", str(seed)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for kind in KINDS:
            _write_recipes(folder, kind)

            def run(side: str, kind: str = kind) -> dict[str, float]:
                told = ["--kind", kind, "--folder", name, "--passes", str(options.passes)]
                return run_side([__file__, "--side", side, *told])

            measured = interleave(_SIDES, options.rounds, run)
            table(measured, "files")
            what = f"media: validating and cutting {kind} against the bare library calls"
            marks.append(compare(measured, "product", "bare", what, "≥ 0.8 ×"))
    keep(marks, options.marks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=int, default=4, help="seeds, of 45 media files each")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--passes", type=int, default=5, help="times over the files a round")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: temporary)")
    parser.add_argument("--marks", type=Path, help="a file for the ratios")
    parser.add_argument("--side", choices=_SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=list(KINDS), help=argparse.SUPPRESS)
    return parser.parse_args()


def _policy() -> ChunkPolicy:
    data = {"name": "media", "run_dir": "./run", "source": {"files": ["*"]}}
    return ChunkPolicy.of(config_from_mapping(orjson.loads(orjson.dumps(data)), Path("/")).config)


def _files(folder: Path, kind: str) -> list[Path]:
    return sorted((folder / "corpus").glob(f"*/{kind}/*"))


def _write_recipes(folder: Path, kind: str) -> None:
    """What the program would send of each file, so that the bare side need not decide it."""
    policy = _policy()
    found = {path: list(_recipes(path, policy)) for path in _files(folder, kind)}
    # Encoding takes a hundred times as long as all else, and is the encoder's alone.
    kept = {p: r for p, r in found.items() if r and not any(_encoded(one) for one in r)}
    (folder / f"{kind}.pickle").write_bytes(pickle.dumps(kept))


def _encoded(recipe: Recipe) -> bool:
    return dict(recipe.options).get("mode") == "encode"


def _recipes(path: Path, policy: ChunkPolicy) -> Iterator[Recipe]:
    with path.open("rb") as source:
        item = Item(path.name, str(path), Position(0))
        for chunk in chunk_item(item, source, policy).chunks:
            if chunk.recipe is not None:
                yield chunk.recipe


def _read_recipes(folder: Path, kind: str) -> dict[Path, list[Recipe]]:
    found: dict[Path, list[Recipe]] = pickle.loads((folder / f"{kind}.pickle").read_bytes())
    return found


def _bare(folder: Path, kind: str, passes: int) -> None:
    work, calls = _read_recipes(folder, kind), KINDS[kind]
    calls(*next(iter(work.items())))  # libraries load parts of themselves when first used
    watch = Stopwatch()
    size = sum(calls(path, recipes) for _ in range(passes) for path, recipes in work.items())
    watch.report(passes * len(work), sent=size)


def _product(folder: Path, kind: str, passes: int) -> None:
    work, policy = _read_recipes(folder, kind), _policy()
    _send(next(iter(work)), policy)
    watch = Stopwatch()
    size = sum(_send(path, policy) for _ in range(passes) for path in work)
    watch.report(passes * len(work), sent=size)


def _send(path: Path, policy: ChunkPolicy) -> int:
    """Both halves of a file's way: validated and cut by the plan, its pieces made by the driver."""
    with path.open("rb") as source:
        item = Item(path.name, str(path), Position(0))
        chunks = chunk_item(item, source, policy).chunks
        recipes = [chunk.recipe for chunk in chunks if chunk.recipe is not None]
        return sum(len(render(recipe, source, policy)) for recipe in recipes)


if __name__ == "__main__":
    main()
