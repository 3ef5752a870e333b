"""Write the demo corpus, the same bytes on every run: `python scripts/make_corpus.py FOLDER`."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from corpus.broken import broken_files
from corpus.documents import documents
from corpus.films import films
from corpus.notes import notes
from corpus.pictures import pictures
from corpus.prose import text_files
from corpus.sounds import sounds
from corpus.story import lighthouse

DEFAULT_SEED = 20261120


def good_files(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of every file that a run should turn into vectors."""
    yield from text_files()
    yield lighthouse(seed)
    yield from pictures(seed)
    yield from sounds(seed)
    yield from films(seed)
    yield from documents(seed)


def corpus_files(seed: int, extra_texts: int) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of the whole corpus; paths are relative and use slashes."""
    good = dict(good_files(seed))
    yield from good.items()
    yield from broken_files(seed, good)
    yield from notes(seed, extra_texts)


def write(folder: Path, files: Iterator[tuple[str, bytes]]) -> tuple[Counter[str], int]:
    """Write the files under the folder; return how many went into each subfolder, and the bytes."""
    counts: Counter[str] = Counter()
    size = 0
    for path, data in files:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        counts[path.partition("/")[0]] += 1
        size += len(data)
    return counts, size


def arguments() -> argparse.Namespace:
    """Read the command line; leave with exit code 2 and one line when it cannot be followed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write; made when missing")
    parser.add_argument("--seed", type=_natural, default=DEFAULT_SEED, help="draw another corpus")
    parser.add_argument(
        "--texts", type=_natural, default=0, metavar="N", help="add N short texts, for load tests"
    )
    options = parser.parse_args()
    if options.folder.exists() and not options.folder.is_dir():
        parser.error(f"{options.folder} is a file: give the name of a folder")
    return options


def _natural(word: str) -> int:
    number = int(word)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative: give 0 or more")
    return number


def main() -> None:
    options = arguments()
    counts, size = write(options.folder, corpus_files(options.seed, options.texts))
    by_kind = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    print(f"{options.folder}: {counts.total()} files, {size / 1e6:.1f} MB ({by_kind})")


if __name__ == "__main__":
    main()
