"""Name the drawn pictures and write each in its format."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from .charts import bar_chart, island_map, line_chart, shapes
from .scenes import mountains, night, sunset
from .seeds import generator

ORIENTATION_TAG = 0x0112
TURN_RIGHT_TO_VIEW = 6


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture file: its name, what it shows, which of the variants, how it is stored."""

    name: str
    draw: Callable[[np.random.Generator, int], Image.Image]
    variant: int
    format: str
    options: dict[str, Any] = field(default_factory=dict)


GALLERY = (
    Picture("sunset 1.png", sunset, 0, "PNG"),
    Picture("sunset 2.jpg", sunset, 1, "JPEG", {"quality": 88}),
    Picture("sunset 3.webp", sunset, 2, "WEBP", {"quality": 85}),
    Picture("sunset, a JPEG called.png", sunset, 0, "JPEG", {"quality": 80}),
    Picture("mountains-1.jpg", mountains, 0, "JPEG", {"quality": 88}),
    Picture("mountains-2.png", mountains, 1, "PNG"),
    Picture("mountains-turned.jpg", mountains, 2, "JPEG", {"quality": 88}),
    Picture("night-1.png", night, 0, "PNG"),
    Picture("night-2.webp", night, 1, "WEBP", {"lossless": True}),
    Picture("bar chart #1.png", bar_chart, 0, "PNG"),
    Picture("bar chart #2.gif", bar_chart, 1, "GIF"),
    Picture("bar chart 100%.png", bar_chart, 2, "PNG"),
    Picture("line-chart-1.png", line_chart, 0, "PNG"),
    Picture("line-chart-2.bmp", line_chart, 1, "BMP"),
    Picture("map-1.png", island_map, 0, "PNG"),
    Picture("map-2.tiff", island_map, 1, "TIFF", {"compression": "tiff_lzw"}),
    Picture("Karte der Insel Ö.jpg", island_map, 2, "JPEG", {"quality": 88}),
    Picture("shapes [1].gif", shapes, 0, "GIF"),
    Picture("shapes [2].png", shapes, 1, "PNG"),
    Picture("shapes [3].webp", shapes, 2, "WEBP", {"quality": 85}),
)


def pictures(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of each picture."""
    for entry in GALLERY:
        drawn = entry.draw(generator(seed, entry.name), entry.variant)
        if entry.name == "mountains-turned.jpg":
            yield f"pictures/{entry.name}", _turned(drawn, entry)
        else:
            yield f"pictures/{entry.name}", _saved(drawn, entry.format, entry.options)


def _saved(picture: Image.Image, form: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _turned(picture: Image.Image, entry: Picture) -> bytes:
    """Store a picture lying on its side, as cameras do, with the EXIF tag that sets it upright."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = TURN_RIGHT_TO_VIEW
    lying = picture.transpose(Image.Transpose.ROTATE_90)
    return _saved(lying, entry.format, {**entry.options, "exif": exif})
