"""What a script would call of the media libraries for a file and its pieces, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pikepdf
from PIL import Image, ImageOps

from reembed.types import Recipe


def image(path: Path, recipes: Iterable[Recipe]) -> int:
    """Decode a picture; send it as it is, or encode it."""
    with Image.open(path) as picture:
        if picture.format == "PNG":
            picture.verify()
    with Image.open(path) as picture:
        picture.load()
        size = 0
        for recipe in recipes:
            if recipe.operation == "as_is":
                size += len(path.read_bytes())
                continue
            form = dict(recipe.options)["form"]
            for _ in range(2):  # once for its weight in the plan, once for the request
                upright = ImageOps.exif_transpose(picture).convert("RGB")
                out = io.BytesIO()
                upright.save(out, form.upper())
            size += out.tell()
    return size


def sound(path: Path, recipes: Iterable[Recipe]) -> int:
    """Decode a sound; send it as it is, or decode each piece anew into WAV."""
    with av.open(str(path)) as opened:
        for _ in opened.decode(audio=0):
            pass
    return sum(_piece_of_sound(path, recipe) for recipe in recipes)


def _piece_of_sound(path: Path, recipe: Recipe) -> int:
    if recipe.operation == "as_is":
        return len(path.read_bytes())
    told = dict(recipe.options)
    layout = "mono" if told["channels"] == "1" else "stereo"
    resampler = av.AudioResampler(format="s16", layout=layout, rate=int(told["rate"]))
    parts: list[Any] = []
    position, end = 0, int(told["until"])
    with av.open(str(path)) as opened:
        for frame in opened.decode(audio=0):
            if position >= end:
                break
            position += frame.samples
            if position > int(told["from"]):
                frame.pts = None
                parts += [part.to_ndarray() for part in resampler.resample(frame)]
    return len(np.concatenate(parts, axis=1).astype("<i2").tobytes()) + 44


def film(path: Path, recipes: Iterable[Recipe]) -> int:
    """Read a film's packets, decode its first and last; cut it by copying, and its sound."""
    recipes = list(recipes)
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        held = [packet for packet in opened.demux(stream) if packet.size]
        keys = [at for at, packet in enumerate(held) if packet.is_keyframe]
        for packet in (held[0], *held[keys[-1] :]):
            packet.decode()
        stream.codec_context.decode(None)
    if any(recipe.operation == "audio" for recipe in recipes):
        with av.open(str(path)) as opened:
            for _ in opened.decode(audio=0):
                pass
    return sum(_piece_of_film(path, recipe) for recipe in recipes)


def _piece_of_film(path: Path, recipe: Recipe) -> int:
    if recipe.operation != "video":
        return _piece_of_sound(path, recipe)
    told = dict(recipe.options)
    if told["mode"] != "copy":
        raise RuntimeError(f"{path.name} is to be encoded anew, which this benchmark leaves out")
    until = int(told["until"]) if "until" in told else None
    out = io.BytesIO()
    with av.open(str(path)) as opened, av.open(out, "w", format="mp4") as written:
        stream = opened.streams.video[0]
        opened.seek(int(told["from"]), stream=stream, backward=True)
        copy = written.add_stream_from_template(stream, opaque=True)
        for packet in opened.demux(stream):
            if not packet.size or packet.pts is None:
                continue
            if until is not None and packet.is_keyframe and packet.pts >= until:
                break
            packet.stream = copy
            written.mux(packet)
    return len(out.getvalue())


def document(path: Path, recipes: Iterable[Recipe]) -> int:
    """Load every page; send the document as it is, or write pages as one of their own."""
    size = 0
    with pikepdf.open(path) as opened:
        for page in opened.pages:
            page.Contents.read_bytes() if "/Contents" in page else None
        for recipe in recipes:
            if recipe.operation == "as_is":
                size += len(path.read_bytes())
                continue
            for _ in range(2):  # once for its weight in the plan, once for the request
                out = io.BytesIO()
                with pikepdf.new() as part:
                    for page in range(int(recipe.start or 1) - 1, int(recipe.end or 1)):
                        part.pages.append(opened.pages[page])
                    part.remove_unreferenced_resources()
                    part.save(out, object_stream_mode=pikepdf.ObjectStreamMode.generate)
            size += out.tell()
    return size


KINDS = {"pictures": image, "sounds": sound, "films": film, "documents": document}
