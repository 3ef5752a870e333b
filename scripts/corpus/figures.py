"""Draw the figures of the typeset documents with PDF operators: honeycomb, bars, chess boards."""

from math import cos, pi, sin

import numpy as np

from .typeset import MARGIN, Page

SQUARE = 26
WHITE, BLACK = "1 1 1", "0.12 0.12 0.14"


def circle(x: float, y: float, radius: float) -> str:
    """Return the path of a circle of four Bézier curves."""
    k = radius * 0.5523
    return (
        f"{x + radius} {y} m "
        f"{x + radius} {y + k} {x + k} {y + radius} {x} {y + radius} c "
        f"{x - k} {y + radius} {x - radius} {y + k} {x - radius} {y} c "
        f"{x - radius} {y - k} {x - k} {y - radius} {x} {y - radius} c "
        f"{x + k} {y - radius} {x + radius} {y - k} {x + radius} {y} c h"
    )


def honeycomb(page: Page, full: int) -> None:
    """Draw two rows of cells at the foot of a page, the first `full` of them filled with honey."""
    radius = 13.0
    step = radius * 3**0.5
    cells = [
        (MARGIN + 16 + step * (number + 0.5 * row), MARGIN + 20 + row * radius * 1.5)
        for number in range(13)
        for row in range(2)
    ]
    for number, (x, y) in enumerate(cells):
        corners = [
            (x + (radius - 1) * sin(pi * i / 3), y + (radius - 1) * cos(pi * i / 3))
            for i in range(6)
        ]
        path = " ".join(f"{a:.2f} {b:.2f} {'l' if i else 'm'}" for i, (a, b) in enumerate(corners))
        colour = "0.95 0.74 0.25" if number < full else "0.98 0.94 0.84"
        page.draw(f"{colour} rg 0.75 0.55 0.2 RG {path} h b")
    page.draw("0 g 0 G")


def bars(page: Page, values: np.ndarray, caption: str) -> None:
    """Draw a bar for each value, at most 1, under the text, and a caption below them."""
    width = (page.size[0] - 2 * MARGIN) / len(values)
    foot = page.y - 150
    page.draw("0.7 0.25 0.2 rg")
    for number, value in enumerate(values):
        x = MARGIN + number * width
        page.draw(f"{x:.2f} {foot:.2f} {width * 0.7:.2f} {130 * value:.2f} re f")
    page.draw("0 g")
    page.draw(f"{MARGIN} {foot:.2f} m {page.size[0] - MARGIN} {foot:.2f} l S")
    page.text(MARGIN, foot - 16, caption, "Body", 10)
    page.y = foot - 40


def board(page: Page, pieces: dict[str, str]) -> None:
    """Draw a chess board with pieces, {"e4": "K"}: upper case is White, lower case Black."""
    left, foot = (page.size[0] - 8 * SQUARE) / 2, page.y - 8 * SQUARE
    for file in range(8):
        for rank in range(8):
            shade = "0.72 0.6 0.46" if (file + rank) % 2 == 0 else "0.95 0.9 0.8"
            page.draw(f"{shade} rg {left + file * SQUARE} {foot + rank * SQUARE} 26 26 re f")
        page.draw("0 g")
        page.text(left + file * SQUARE + 10, foot - 12, "abcdefgh"[file], "Body", 9)
        page.text(left - 12, foot + file * SQUARE + 10, str(file + 1), "Body", 9)
    for square, piece in pieces.items():
        x = left + ("abcdefgh".index(square[0]) + 0.5) * SQUARE
        y = foot + (int(square[1]) - 0.5) * SQUARE
        fill, ink = (WHITE, BLACK) if piece.isupper() else (BLACK, WHITE)
        page.draw(f"{fill} rg {BLACK} RG {circle(x, y, 11)} b {ink} rg")
        page.text(x - 5, y - 5, piece.upper(), "Head", 14)
    page.draw("0 g 0 G")
    page.y = foot - 34
