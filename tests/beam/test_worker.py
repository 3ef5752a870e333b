"""What `reembed-worker` asks of an engine, and that it ends with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc

from reembed.beam.worker import _parse, ask_engine, end_with_parent
from support.waiting import DEADLINE


class Engine(beam_provision_api_pb2_grpc.ProvisionServiceServicer):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def GetProvisionInfo(self, request: Any, context: Any) -> Any:
        metadata = dict(context.invocation_metadata())
        self.asked.append(metadata["worker_id"])
        answer = beam_provision_api_pb2.GetProvisionInfoResponse()
        answer.info.control_endpoint.url = "localhost:1"
        answer.info.pipeline_options["beam:option:job_name:v1"] = "mine"
        answer.info.runner_capabilities.extend(["one", "two"])
        return answer


@pytest.fixture
def engine() -> Iterator[tuple[Engine, str]]:
    server, service = grpc.server(futures.ThreadPoolExecutor(2)), Engine()
    beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_the_environment_is_what_the_engine_answers(engine: tuple[Engine, str]) -> None:
    service, address = engine
    words = ["--id='job-1[job]_x'", f"--provision_endpoint={address}"]
    found = ask_engine(_parse([*words, "--logging_endpoint=localhost:2", "--unknown=3"]))
    assert service.asked == ["job-1[job]_x"], "without Prism's quotes"
    assert found["WORKER_ID"] == "job-1[job]_x"
    assert found["CONTROL_API_SERVICE_DESCRIPTOR"].strip() == 'url: "localhost:1"'
    assert found["LOGGING_API_SERVICE_DESCRIPTOR"].strip() == 'url: "localhost:2"'
    assert "STATUS_API_SERVICE_DESCRIPTOR" not in found
    assert '"mine"' in found["PIPELINE_OPTIONS"]
    assert found["RUNNER_CAPABILITIES"] == "one two"


def test_a_worker_ends_when_its_engine_has() -> None:
    parents, left = [7, 7, 7, 1], threading.Event()
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    thread = end_with_parent(lambda: parents.pop(0), leave, every=0.01)
    assert left.wait(DEADLINE)
    thread.join(DEADLINE)
    assert codes == [1]
    assert parents == []
