"""Whether a piece of a PDF could carry what its pages never show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pikepdf

# To look through a page takes a twentieth of what it takes to prune one, and a piece has few.
_MOST_PAGES = 100
_DEEPEST = 8


def must_be_pruned(pdf: Any) -> bool:
    """Tell whether pages may name pictures, forms or fonts that they do not use.

    To find what a page uses its drawing commands are parsed, which takes longer than all else of a
    cut. Programs that write PDFs name for each page what it uses, unless they keep one dictionary
    for several pages: the rule by which qpdf decides in its mode ``auto``. A picture or a form
    that is named twice counts too, since each page may name those of all.
    """
    if len(pdf.pages) > _MOST_PAGES:
        return True
    seen: set[tuple[int, int]] = set()
    return any(_is_shared(thing, seen) for page in pdf.pages for thing in _named(page.obj))


def _named(node: Any, depth: int = 0) -> Iterator[Any]:
    """What a page or form names: its dictionary of resources, their large ones, those of forms.

    None stands for a dictionary that is not its own.
    """
    resources = node.get("/Resources")
    if not isinstance(resources, pikepdf.Dictionary):
        # A page inherits it; a form may do without.
        yield from () if depth else (None,)
        return
    yield resources
    large = resources.get("/XObject")
    if isinstance(large, pikepdf.Dictionary):
        yield large
        for thing in large.as_dict().values():
            yield thing
            if isinstance(thing, pikepdf.Stream) and thing.get("/Subtype") == pikepdf.Name.Form:
                yield from _named(thing, depth + 1) if depth < _DEEPEST else (None,)


def _is_shared(thing: Any, seen: set[tuple[int, int]]) -> bool:
    if thing is None:
        return True
    if not thing.is_indirect:
        return False
    known = thing.objgen in seen
    seen.add(thing.objgen)
    return known
