"""The image's description: pinned as the lock file says, from files that reach the builder.

What its install steps come to is looked at by scripts/check-image, which takes minutes.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
CHECK = (ROOT / "scripts" / "check-image").read_text(encoding="utf-8")
# Libraries under a licence that asks for more than a notice.
COPYLEFT = ("libx26", "libav", "libsw", "libmp3", "libgnutls", "libgmp", "libnettle", "libhog")


def steps(word: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{word} (.*)$", joined, re.MULTILINE)


def copied() -> list[str]:
    """What comes from the context, not from another stage."""
    lines = [line.split() for line in steps("COPY") if not line.startswith("--from")]
    return [path.removeprefix("./") for line in lines for path in line[:-1]]


def test_versions_are_those_of_the_lock_file() -> None:
    given = dict(line.split("=", 1) for line in steps("ARG"))
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert f"apache-beam=={given['BEAM']}" in lock
    for stage in steps("FROM"):
        image = stage.split(" AS ")[0]
        assert ":" in image or image in {"base"}, f"{image} is not pinned"
        assert "latest" not in image
    python = re.match(r"3\.\d+", given["PYTHON"])
    assert python
    assert f"beam_python{python[0]}_sdk" in DOCKERFILE
    assert f"python{python[0].replace('.', '')}-template-launcher-base" in DOCKERFILE


def test_one_image_has_what_workers_and_launchers_need() -> None:
    assert "/opt/apache/beam /opt/apache/beam" in DOCKERFILE
    launcher = "/opt/google/dataflow/python_template_launcher"
    assert f"{launcher} {launcher}" in DOCKERFILE
    main = "FLEX_TEMPLATE_PYTHON_PY_FILE=/template/template.py"
    assert main in steps("ENV")
    assert "pipelines /template" in steps("COPY")
    assert (ROOT / "pipelines" / "template.py").is_file()
    assert steps("ENTRYPOINT")[-1] == '["/opt/apache/beam/boot"]'
    assert "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in DOCKERFILE


def test_the_install_steps_are_one_script_that_is_checked_as_a_whole() -> None:
    commands = [line for line in steps("RUN") if "useradd" not in line]
    assert commands == ["./scripts/image-install /opt/reembed"]
    assert "context/scripts/image-install" in CHECK
    script = (ROOT / "scripts" / "image-install").read_text(encoding="utf-8")
    assert script.rstrip().endswith("pip check"), "its result is the step's"
    assert "--no-cache-dir" in script
    assert "[dataflow]" in script, "workers and launchers need the packages of Dataflow"
    for name in ("image-install", "check-image"):
        subprocess.run(["bash", "-n", str(ROOT / "scripts" / name)], check=True)


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    let_through = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert copied()
    for path in copied():
        assert (ROOT / path).exists(), path
        assert path in let_through, f".dockerignore keeps {path} out"
        assert path in CHECK, f"scripts/check-image does not have {path}"
    assert not {"tests", "benchmarks", ".git"} & let_through
    assert "pip install" not in DOCKERFILE


def test_licences_of_bundled_codecs_are_named() -> None:
    [label] = steps("LABEL")
    assert 'licenses="Apache-2.0 AND GPL-2.0-or-later' in label
    assert "LICENSE THIRD_PARTY.md /licenses/" in steps("COPY")
    named = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    package = Path(av.__file__).parent
    files = [*package.parent.glob("av.libs/*"), *package.glob(".dylibs/*")]
    bundled = {re.split(r"[-.]", path.name)[0] for path in files}
    copyleft = {name for name in bundled if name.startswith(COPYLEFT)}
    assert not {name for name in copyleft if name not in named}
    assert {"libx264", "libx265"} <= copyleft, "the wheel has changed; see what THIRD_PARTY.md says"


def test_no_key_is_in_the_image() -> None:
    assert not re.search(r"API_KEY|SECRET", DOCKERFILE)
