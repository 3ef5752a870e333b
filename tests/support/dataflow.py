"""Beam's Dataflow runner against stand-ins: credentials, options, and its graphs executed here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.gcs import GcsServer
from support.google import GoogleServer

IMAGE = "europe-west4-docker.pkg.dev/demo-project/reembed/reembed:0.1.0"


def write_account(path: Path, google: GoogleServer) -> Path:
    """A service account's file whose key is made here and whose tokens are the stand-in's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "demo-project",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "launcher@demo-project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{google.url}/token",
    }
    path.write_text(json.dumps(account))
    return path


def environment_of(folder: Path, google: GoogleServer, gcs: GcsServer) -> dict[str, str]:
    """What the command needs to take the stand-ins for the real services."""
    return {
        **gcs.environment,
        "GOOGLE_APPLICATION_CREDENTIALS": str(write_account(folder / "account.json", google)),
        "NO_GCE_CHECK": "true",
    }


def options_for(google: GoogleServer, bucket: str, *more: str) -> list[str]:
    """Beam's options as a user gives them, and beside them the stand-in's address."""
    return [
        "--runner=DataflowRunner",
        "--project=demo-project",
        "--region=europe-west4",
        f"--temp_location={bucket}/temp",
        f"--staging_location={bucket}/staging",
        f"--sdk_container_image={IMAGE}",
        "--num_workers=2",
        f"--dataflow_endpoint={google.url}",
        *more,
    ]


def staged_url(body: dict[str, Any]) -> str:
    """Where the graph of a job lies, by the job's own words."""
    options = body["environment"]["sdkPipelineOptions"]["options"]
    return str(options["pipelineUrl"])


def execute(graph: bytes) -> str:
    """Run a submitted graph on the in-process engine, its container swapped for this process."""
    proto = beam_runner_api_pb2.Pipeline.FromString(graph)
    for environment in proto.components.environments.values():
        assert environment.urn == common_urns.environments.DOCKER.urn
        environment.urn, environment.payload = python_urns.EMBEDDED_PYTHON, b""
        del environment.dependencies[:]
    result = FnApiRunner().run_via_runner_api(proto, PipelineOptions([]))
    result.wait_until_finish()
    return f"JOB_STATE_{result.state}"
