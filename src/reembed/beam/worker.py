"""`reembed-worker`: one Python worker, for engines that start their workers as processes.

``--environment_type=PROCESS --environment_config='{"command":"/…/reembed-worker"}'``. Beam's own
starter comes in a container image and installs what a job brings; here the package is installed,
so nothing has to be. The worker ends with the engine that started it: a job that died leaves none.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

_ENDPOINTS = {
    "CONTROL_API_SERVICE_DESCRIPTOR": "control_endpoint",
    "LOGGING_API_SERVICE_DESCRIPTOR": "logging_endpoint",
    "STATUS_API_SERVICE_DESCRIPTOR": "status_endpoint",
}
_ANSWER_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask the engine what to work on, then work until it ends."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    end_with_parent(os.getppid)
    os.environ.update(ask_engine(options))
    # Beam reads the worker's name from the environment when it is imported.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reembed-worker", description=__doc__)
    parser.add_argument("--id", required=True, help="the worker's name, given by the engine")
    parser.add_argument("--provision_endpoint", required=True, help="where the engine answers")
    for name in ("control", "logging", "artifact", "status"):
        parser.add_argument(f"--{name}_endpoint", default="", help="given by some engines")
    options, _ = parser.parse_known_args(arguments)
    # Prism puts quotes around it that no shell takes off.
    options.id = options.id.strip("'")
    return options


def ask_engine(options: argparse.Namespace) -> Mapping[str, str]:
    """Ask the engine for the settings that Beam's worker reads from its environment."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(options.provision_endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        info = stub.GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(),
            metadata=[("worker_id", options.id)],
            timeout=_ANSWER_SECONDS,
            wait_for_ready=True,
        ).info
    for endpoint in _ENDPOINTS.values():
        url = getattr(options, endpoint)
        if url and not getattr(info, endpoint).url:
            getattr(info, endpoint).url = url
    found = {
        name: text_format.MessageToString(getattr(info, endpoint))
        for name, endpoint in _ENDPOINTS.items()
        if getattr(info, endpoint).url
    }
    return {
        **found,
        "WORKER_ID": options.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


def end_with_parent(
    parent: Callable[[], int], leave: Callable[[int], None] = os._exit, every: float = 1.0
) -> threading.Thread:
    """End this process soon after the one that started it has ended."""
    first = parent()

    def watch() -> None:
        while parent() == first:
            time.sleep(every)
        leave(1)

    thread = threading.Thread(target=watch, daemon=True, name="reembed-parent")
    thread.start()
    return thread
