"""A file as it was recognised, in the words of the tests."""

from __future__ import annotations

from dataclasses import dataclass

from reembed.formats import recognise as module


@dataclass(frozen=True)
class Found:
    """What was recognised, with the family that a reader of these tests thinks in."""

    family: str
    label: str
    mime_type: str
    warning: str | None
    remedy: str


def recognise(head: bytes, name: str) -> Found:
    found = module.recognise(head, name)
    known = found.format
    family: str = "av" if set(known.modalities) == {"audio", "video"} else known.modalities[0]
    family = "html" if known.name == "html" else family
    return Found(family, known.label, known.mime_type, found.warning, known.remedy)
