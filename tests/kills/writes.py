"""Kill this process right before or right after a write: wraps the calls that make names appear.

For processes under test only. Everything of a run directory on a disk appears by a hard link or a
rename, so wrapping both sees each record once, whole, under its final name.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kills.points import TEMPORARY, Point, kind_of_write

VARIABLE = "REEMBED_TEST_WRITES"


@dataclass(frozen=True, slots=True)
class Watch:
    """What to watch: a run directory, the file to note each write in, where to kill if at all."""

    run_dir: str
    log: str
    point: Point | None = None

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Watch:
        fields = json.loads(text)
        point = fields.pop("point")
        return cls(**fields, point=Point(**point) if point else None)


def install(watch: Watch) -> None:
    """Wrap `os.link` and `os.replace` of this process."""
    lock, counts = threading.Lock(), Counter[str]()
    root = watch.run_dir.rstrip("/") + "/"
    log = os.open(watch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def counted(kind: str) -> bool:
        with lock:
            counts[kind] += 1
            os.write(log, f"{kind}\n".encode())
            return watch.point is not None and watch.point.is_met_by(kind, counts[kind])

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(source: Any, target: Any, **more: Any) -> Any:
            name = os.fspath(target)
            ours = name.startswith(root) and not os.path.basename(name).startswith(TEMPORARY)
            if not ours:
                return real(source, target, **more)
            data = Path(source).read_bytes() if "/spend/" in name else b""
            met = counted(kind_of_write(name.removeprefix(root), data))
            if met and watch.point is not None and watch.point.how == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            done = real(source, target, **more)
            if met:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return write

    os.link, os.replace = wrapped(os.link), wrapped(os.replace)
