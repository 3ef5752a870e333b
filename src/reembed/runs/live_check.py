"""Send two tiny jobs that show whether the service behaves as this program assumes."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from reembed.config.schema import Config
from reembed.core.join import Answer
from reembed.core.vectors import cosine
from reembed.core.wire import Form, TextPart, WireFormat
from reembed.driver.clock import Clock
from reembed.errors import RefusedError, RunFailedError
from reembed.providers.base import BatchService, Job
from reembed.providers.open import find_provider

_TEXTS = (
    "Rye bread rises slowly in a cold kitchen.",
    "The probe left its orbit around Saturn.",
    "A lease may be renewed before it ends.",
    "The bishop takes the rook on the seventh rank.",
)
_PARTS = tuple(TextPart(text, "check") for text in _TEXTS)


@dataclass(frozen=True, slots=True)
class LiveFindings:
    """Behaviour of the service; None where it could not be found out.

    `file_keys`, `inline_keys`: every answer came under the key of its request. `model_in_lines`:
    lines that name the model are taken like those that do not. `norm_min`, `norm_max`: lengths of
    the vectors as they came. `online_cosine`: a batch vector against the online call's.
    `listed_seconds`: from the create's answer until the job stood in the list.
    `result_deletable`: the service deleted the result file when asked.
    """

    base_url: str | None
    model: str
    file_keys: bool
    inline_keys: bool
    model_in_lines: bool
    dimensions: tuple[int, ...]
    norm_min: float
    norm_max: float
    online_cosine: float | None
    listed_seconds: float | None
    result_deletable: bool | None
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Content of ``doctor.json``, which later runs read."""
        return {"schema": 1, **asdict(self)}


def check_live(
    config: Config, service: BatchService, clock: Clock, patience: float, say: Callable[[str], None]
) -> LiveFindings:
    """Send one job as a file and one inline, four texts each, and compare with what is assumed.

    Args:
        config: model, dimension and task are taken from it.
        service: costs a few hundred tokens there.
        clock: for waiting.
        patience: seconds to wait for the two jobs.
        say: called with what is waited for.

    Raises:
        RunFailedError: a job failed, or did not end in time.
    """
    started = clock.now()
    wire, model = find_provider(config.service).wire(config), config.model.name
    label = f"reembed-doctor/{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="reembed-doctor-") as folder:
        place = Path(folder)
        file_job, name = _send_file(service, wire, model, label, place)
        listed = _until_listed(service, file_job, clock)
        inline_job = _send_inline(service, wire, model, label)
        say(f"two jobs of {len(_TEXTS)} texts are sent: {file_job.name} and {inline_job.name}")
        file_job = _until_done(service, file_job, clock, started + patience, say)
        inline_job = _until_done(service, inline_job, clock, started + patience, say)
        by_file = _answers(service, wire, file_job, place / "file.jsonl")
        by_inline = _answers(service, wire, inline_job, place / "inline.jsonl")
    service.delete_file(name)
    vectors = [a.values for a in (*by_file, *by_inline) if a.values is not None]
    norms = [float(np.linalg.norm(v)) for v in vectors] or [0.0]
    online = np.asarray(service.embed(model, wire.request("", _PARTS[0], "online")))
    first = {a.key: a.values for a in by_file}.get("file-0")
    return LiveFindings(
        base_url=config.service.base_url,
        model=config.model.name,
        file_keys={a.key for a in by_file} == {f"file-{n}" for n in range(len(_TEXTS))},
        inline_keys={a.key for a in by_inline} == {f"inline-{n}" for n in range(len(_TEXTS))},
        model_in_lines=all(a.values is not None for a in by_file),
        dimensions=tuple(sorted({len(v) for v in vectors})),
        norm_min=min(norms),
        norm_max=max(norms),
        online_cosine=None if first is None else cosine(first, online),
        listed_seconds=listed,
        result_deletable=_try_delete(service, file_job),
        seconds=clock.now() - started,
    )


def _send_file(
    service: BatchService, wire: WireFormat, model: str, label: str, place: Path
) -> tuple[Job, str]:
    """Send a file in which half of the lines name the model: it should make no difference."""
    path = place / "requests"
    forms: tuple[Form, Form] = ("file", "file_with_model")
    lines = (wire.request(f"file-{n}", part, forms[n % 2]) for n, part in enumerate(_PARTS))
    path.write_bytes(b"".join(lines))
    name = f"files/re-doctor-{secrets.token_hex(8)}"
    service.upload(path, name, wire.mime_type)
    return service.create_from_file(model, f"{label}/file", name, 0), name


def _send_inline(service: BatchService, wire: WireFormat, model: str, label: str) -> Job:
    requests = [wire.request(f"inline-{n}", part, "inline") for n, part in enumerate(_PARTS)]
    return service.create_inline(model, f"{label}/inline", requests, 0)


def _until_listed(service: BatchService, job: Job, clock: Clock) -> float | None:
    began = clock.now()
    for pause in (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0):
        clock.sleep(pause)
        if any(other.name == job.name for other in service.list_jobs()):
            return clock.now() - began
    return None


def _until_done(
    service: BatchService, job: Job, clock: Clock, deadline: float, say: Callable[[str], None]
) -> Job:
    pause = 0.5
    while not job.done:
        if clock.now() > deadline:
            raise RunFailedError(f"{job.name} is still {job.raw_state}; ask again later")
        clock.sleep(pause)
        pause = min(pause * 1.5, 30.0)
        job = service.get(job.name)
    say(f"{job.name} ended {job.state}")
    if job.state != "SUCCEEDED":
        words = job.error.message if job.error else "the service gave no reason"
        raise RunFailedError(f"{job.name} ended {job.state}: {words}")
    return job


def _answers(service: BatchService, wire: WireFormat, job: Job, path: Path) -> list[Answer]:
    service.fetch(job, path)
    reader = wire.answer_reader()
    return [
        # An answer's values live in the reader's buffer until the next one is asked for.
        answer._replace(values=None if answer.values is None else np.array(answer.values))
        for answer in chain(reader.feed(path.read_bytes()), reader.end())
    ]


def _try_delete(service: BatchService, job: Job) -> bool | None:
    if not job.responses_file:
        return None
    try:
        service.delete_file(job.responses_file)
    except RefusedError:
        return False
    return True
