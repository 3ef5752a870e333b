"""What all drawings share: colours, gradients, smooth noise, a canvas of twice the size."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
SIZE = (480, 320)
OVERSAMPLING = 2


def blank(colour: Colour, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return an empty canvas of twice the size that `finish` will give back."""
    return Image.new("RGB", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), colour)


def finish(canvas: Image.Image) -> Image.Image:
    """Scale a canvas down, which smooths the edges that ImageDraw leaves jagged."""
    return canvas.reduce(OVERSAMPLING)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that lies `share` (0 to 1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def gradient(stops: list[Colour], size: tuple[int, int]) -> Image.Image:
    """Return a picture whose colour runs from the first stop at the top to the last at the foot."""
    width, height = size
    places = np.linspace(0, len(stops) - 1, height)
    columns = np.array(stops, float).T
    rows = np.stack([np.interp(places, range(len(stops)), column) for column in columns], axis=1)
    return Image.fromarray(np.repeat(rows[:, None, :], width, axis=1).round().astype(np.uint8))


def smooth_noise(
    random: np.random.Generator, size: tuple[int, int], cells: int, octaves: int = 3
) -> np.ndarray:
    """Return hills: float64 of shape (height, width), roughly 0 to 1, `cells` hills across."""
    width, height = size
    total: np.ndarray = np.zeros((height, width))
    for octave in range(octaves):
        grid = random.random((cells * 2**octave + 1, cells * 2**octave + 1)).astype(np.float32)
        hills = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(hills, float) / 2**octave
    total /= 2 - 2 ** (1 - octaves)
    return total


def disk(
    draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, fill: Colour
) -> None:
    """Draw a filled circle."""
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the typeface that comes with Pillow, so that no font need be installed."""
    return ImageFont.load_default(size)
