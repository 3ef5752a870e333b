"""Each process's way to the simulated service: what the network makes of the calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from reembed.errors import RemoteNotFoundError, TransientError, UnknownOutcomeError
from reembed.providers.base import AnswerReceiver, Job, ModelInfo, RemoteFile
from simulation.answers import shown_lines
from simulation.corpus import text_of, vector_json
from simulation.kernel import Process
from simulation.remote import Remote, RemoteJob

T = TypeVar("T")
_PAGE = 3
# A create that the service commits within this share of the client's patience is in the bounds;
# the rest is for clocks that differ and for the age of the last look.
_LATE_SHARE = 0.85
_FEW = 3


class Watch(Protocol):
    """Who is told of what reaches the service."""

    def sending(self, process: Process, display_name: str, inline: bool) -> None: ...

    def polling(self, process: Process, job: RemoteJob) -> None: ...

    def excuse(self, display_name: str) -> None: ...

    def shown_badly(self, job: RemoteJob) -> None: ...


class SimClient:
    """`BatchService` for one process.

    Args:
        remote: the service.
        process: who calls.
        timeout: of a request, seconds.
        watch: is told of creates and polls.
    """

    def __init__(
        self,
        remote: Remote,
        process: Process,
        timeout: float,
        watch: Watch,
    ) -> None:
        self._remote, self._process, self._timeout = remote, process, timeout
        self._watch = watch
        self._kernel = remote.kernel

    def upload(self, path: Path, name: str, mime_type: str) -> RemoteFile:
        lines = tuple(path.read_bytes().splitlines(keepends=True))
        if self._kernel.faults.draw("upload", ("slow_upload",)):
            for _ in range(9):
                self._kernel.pause(38.0)
                if self._process.renew is not None:
                    self._process.renew()
        size = self._call("upload", lambda: self._remote.upload(name, lines))
        return RemoteFile(name, size, mime_type)

    def create_from_file(self, model: str, display_name: str, file_name: str, priority: int) -> Job:
        return self._create(display_name, file_name, ())

    def create_inline(
        self, model: str, display_name: str, requests: Sequence[bytes], priority: int
    ) -> Job:
        return self._create(display_name, "", tuple(requests))

    def _create(self, display_name: str, file: str, lines: tuple[bytes, ...]) -> Job:
        kernel, remote, made = self._kernel, self._remote, list[RemoteJob]()
        way = kernel.faults.draw(
            "create", ("create_transient", "create_never", "create_late", "create_beyond")
        )

        def effect() -> None:
            if way == "create_transient":
                raise TransientError("the connection was refused: nothing was sent")
            self._watch.sending(self._process, display_name, not file)
            if way == "create_never":
                return
            taken = remote.check_create(file, lines)
            delay = kernel.random.uniform(0, _LATE_SHARE * self._timeout)
            if way == "create_beyond":
                delay = self._timeout * kernel.random.uniform(3, 100)
                self._watch.excuse(display_name)
            if way:
                later = kernel.now + delay
                kernel.at(later, lambda: remote.commit(display_name, file, taken))
            else:
                made.append(remote.commit(display_name, file, taken))

        if kernel.faults.draw("create", ("freeze_in_send",)):
            kernel.freeze(self._process, "create", least=300.0)
        after = {"create_lost_reply": lambda: UnknownOutcomeError("cut while waiting")}
        kernel.call(self._process, "create", effect, {}, after)
        if not made:
            kernel.pause(self._timeout)
            raise UnknownOutcomeError("no answer in time")
        return remote.view(made[0])

    def get(self, name: str) -> Job:
        def effect() -> Job:
            job = self._remote.find(name)
            self._watch.polling(self._process, job)
            return self._remote.view(job)

        return self._call("get", effect)

    def list_jobs(self) -> Iterator[Job]:
        shown: list[RemoteJob] = []
        while True:
            last = shown[-1].created if shown else float("inf")
            names = {job.name for job in shown}

            def effect(last: float = last, names: set[str] = names) -> list[RemoteJob]:
                older = [job for job in self._remote.listed() if job.created <= last]
                return [job for job in older if job.name not in names][:_PAGE]

            page = self._call("list jobs", effect)
            for job in page:
                yield self._remote.view(job)
            shown.extend(page)
            if len(page) < _PAGE:
                return

    def cancel(self, name: str) -> None:
        def effect() -> None:
            job = self._remote.find(name)
            if not job.done:
                job.fate, job.ends = "job_cancelled", self._kernel.now

        self._call("cancel", effect)

    def delete(self, name: str) -> None:
        self._call("delete", lambda: self._remote.jobs.pop(name, None))

    def fetch(self, job: Job, path: Path) -> int:
        data = self._answer(job)
        path.write_bytes(data)
        return len(data)

    def stream(self, job: Job, receiver: AnswerReceiver) -> int:
        data = self._answer(job)
        half = len(data) // 2
        receiver.write(data[:half])
        receiver.write(data[half:])
        return len(data)

    def _answer(self, job: Job) -> bytes:
        def effect() -> str:
            found, draw = self._remote.find(job.name), self._kernel.faults.draw
            if draw("fetch", ("result_gone",)):
                found.damage = "gone"
            if self._remote.is_gone(found):
                self._watch.shown_badly(found)
                raise RemoteNotFoundError("the result is gone", 404)
            lines, damage = dict(found.lines), found.damage
            if found.unsteady and self._kernel.random.random() < 0.5:
                del lines[found.unsteady]
            if damage and draw("fetch", ("answer_damaged_once",)):
                found.damage = ""  # the next fetch shows it whole
            # More than three lines that are not there are in question by themselves.
            if damage or len(found.requests) - len(lines) > _FEW:
                self._watch.shown_badly(found)
            return "\n".join(shown_lines(lines, damage, self._kernel.random)) + "\n"

        return self._call("fetch", effect).encode()

    def delete_file(self, name: str) -> None:
        self._call("delete file", lambda: self._remote.delete_file(name))

    def list_files(self) -> Iterator[RemoteFile]:
        files = self._remote.files.items()
        return iter(
            self._call("list files", lambda: [RemoteFile(name, f.size) for name, f in files])
        )

    def model(self, name: str) -> ModelInfo:
        return ModelInfo(name, 8192)

    def count_tokens(self, model: str, text: str) -> int:
        return len(text.split())

    def embed(self, model: str, request: bytes) -> list[float]:
        return list(json.loads(vector_json(text_of(b'{"key":"","request":%b}' % request)[1])))

    def _call(self, op: str, effect: Callable[[], T]) -> T:
        before = {"transient": lambda: TransientError("unavailable", 503)}
        after = {"lost_reply": lambda: TransientError("connection cut", 0)}
        return self._kernel.call(self._process, op, effect, before, after)
