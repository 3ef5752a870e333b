"""The figures of scripts/metrics on a small tree whose figures are known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "metrics"
FILES = {
    "app/__init__.py": '"""The application."""\n',
    # 7 lines of code, one import line and one comment; functions of 8 and 2 lines.
    "app/top.py": '''"""Start everything."""

import app.core.middle


def start(
    name: str,  # the user's
) -> str:
    """A greeting of `name`."""

    def greet() -> str:
        return app.core.middle.prefix() + name

    return greet()
''',
    "app/core/__init__.py": "",
    # 6 lines of code, 3 of imports; a function of 4 lines.
    "app/core/middle.py": """from app.core import (
    bottom,
)


def prefix() -> str:
    # Delayed: `top` imports this module.
    import app.top
    return bottom.TEXT
""",
    # 1 line of code.
    "app/core/bottom.py": 'TEXT = """\none\ntext"""\n',
}


def figures(folder: Path) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], capture_output=True, text=True, check=True
    )
    heading, *rows = (line.replace(" · ", "·").split() for line in done.stdout.splitlines())
    assert heading == ["modules", "code", "function", "comments", "vague", "imports", "depth"]
    return {name: cells for name, *cells in rows}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "toy"


def test_a_tree_and_its_packages_are_counted(tree: Path) -> None:
    assert figures(tree) == {
        "toy": ["5", "16", "4·8", "0.125", "67%", "25.0%", "2"],
        "app": ["5", "16", "4·8", "0.125", "67%", "25.0%", "2"],
        "app.core": ["3", "9", "4·4", "0.111", "0%", "33.3%", "1"],
    }


def test_relative_imports_are_resolved(tree: Path) -> None:
    (tree / "app/__init__.py").write_text("from . import top\nfrom .core.middle import prefix\n")
    assert figures(tree)["app"][-1] == "3"


def test_imports_in_a_circle_end(tree: Path) -> None:
    (tree / "app/core/bottom.py").write_text("from .. import top\nTEXT = str(top)\n")
    assert figures(tree)["toy"][-1] == "2"


def test_a_folder_without_code_is_named(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{tmp_path} holds no Python files" in done.stderr
