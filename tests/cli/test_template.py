"""A Flex Template: its description fits the documented schema, its patterns and its main agree."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.cloud import dataflow_v1beta3
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.cli.main import app
from reembed.cli.template import COMMANDS, PARAMETERS, template_arguments
from reembed.config.secret_names import SECRET_VERSION, is_secret_version
from reembed.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "metadata.json").read_text(encoding="utf-8")
DESCRIBED: dict[str, dict[str, Any]] = {p["name"]: p for p in json.loads(TEXT)["parameters"]}
SECRET = "projects/demo-project/secrets/gemini/versions/7"
DIGEST = "a" * 64
GOOD = {
    "command": list(COMMANDS),
    "config": ["gs://bucket/job.yaml", "gs://a-bucket_1.x/deep/er/job.yml"],
    "sdk_container_image": [
        "europe-west4-docker.pkg.dev/p/r/reembed:0.1.0",
        f"europe-west4-docker.pkg.dev/p/r/reembed@sha256:{DIGEST}",
        "localhost:5000/reembed:x",
    ],
    "max_usd": ["0", "25", "0.5", "1234.56"],
    "api_key_secret": [SECRET, "projects/12/locations/europe-west4/secrets/s/versions/latest"],
    "run_dir": ["gs://bucket", "gs://bucket/", "gs://bucket/runs/one"],
    "sample": ["1", "500"],
    "lanes": ["1", "16", "1000"],
    "max_wait_hours": ["0.5", ".5", "4", "72", "100.25"],
}
BAD = {
    "command": ["", "cancel", "run now", "RUN"],
    "config": ["job.yaml", "gs://bucket", "gs://bucket/", "gs://bucket/.yaml", "gs://b/a,b.yaml",
               "gs://bucket/a b.yaml", "s3://bucket/job.yaml", "gs://bucket/job.json"],
    "sdk_container_image": ["reembed", "reembed:1", "eu.gcr.io/p/reembed", "a.b/c@sha256:12",
                            "a.b/c:1 --x"],
    "max_usd": ["-1", "$5", "1e3", "five", "1."],
    "api_key_secret": ["AIzaSy0123456789abcdefghijklmnop", "projects/p1/secrets/s", "",
                       f"{SECRET}/x", f" {SECRET}"],
    "run_dir": ["./run", "bucket/run", "gs://", "gs://Bucket/run", "gs://bucket/a b"],
    "sample": ["0", "-1", "1.5", "all"],
    "lanes": ["0", "1001", "x", "2.5"],
    "max_wait_hours": ["0", "0.0", "-4", "a day", "4h"],
}  # fmt: skip


def accepts(name: str, value: str) -> bool:
    return all(re.search(pattern, value) for pattern in DESCRIBED[name]["regexes"])


def test_the_description_is_what_the_service_documents() -> None:
    """By the service's own message, which refuses fields that it does not have."""
    metadata = dataflow_v1beta3.TemplateMetadata.from_json(TEXT, ignore_unknown_fields=False)
    assert metadata.name == "reembed"
    for parameter in metadata.parameters:
        assert parameter.label, parameter.name
        assert len(parameter.help_text) > 20, parameter.name
        assert parameter.param_type.name != "DEFAULT", parameter.name
        [pattern] = parameter.regexes
        assert pattern[0] + pattern[-1] == "^$", "the service does not anchor patterns"
        assert "(?" not in pattern, "not in every dialect of patterns"
    required = [p.name for p in metadata.parameters if not p.is_optional]
    assert required == ["command", "config", "sdk_container_image"]


def test_what_is_described_is_what_the_main_takes() -> None:
    # The image is Beam's own option; all else is ours.
    assert set(DESCRIBED) == {*PARAMETERS, "sdk_container_image"} == set(GOOD) == set(BAD)
    known = {name for each in app.registered_commands if (name := each.callback.__name__)}
    assert set(COMMANDS) <= known


def test_no_parameter_takes_the_key() -> None:
    assert not [name for name in DESCRIBED if "key" in name and name != "api_key_secret"]
    assert not accepts("api_key_secret", "AIzaSy0123456789abcdefghijklmnop")


@given(st.from_regex(SECRET_VERSION, fullmatch=True))
@settings(max_examples=30)
def test_a_secret_is_named_there_as_in_a_configuration(name: str) -> None:
    assert accepts("api_key_secret", name)


@given(st.from_regex(DESCRIBED["api_key_secret"]["regexes"][0].strip("^$"), fullmatch=True))
@settings(max_examples=30)
def test_a_configuration_takes_what_the_template_takes(name: str) -> None:
    assert is_secret_version(name)


@pytest.mark.parametrize("name", GOOD)
def test_patterns_take_what_is_good_and_nothing_else(name: str) -> None:
    assert [value for value in GOOD[name] if not accepts(name, value)] == []
    assert [value for value in BAD[name] if accepts(name, value)] == []


def test_parameters_become_a_command_with_beams_options_behind() -> None:
    parameters = [
        "--runner=DataflowRunner",
        "--command=run",
        "--max_usd=25",
        "--config=gs://b/job.yaml",
        "--sample=",
        f"--api_key_secret={SECRET}",
        "--lanes=4",
        "--template_location=gs://b/x=y",
        "--no_use_public_ips",
    ]
    assert template_arguments(parameters) == [
        *("run", "gs://b/job.yaml", "--max-usd", "25"),
        *("--set", f"service.api_key_secret={SECRET}", "--set", "batch.lanes=4", "--"),
        *("--runner=DataflowRunner", "--template_location=gs://b/x=y", "--no_use_public_ips"),
    ]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ([], "command: '': give one of plan"),
        (["--command=cancel", "--config=gs://b/j.yaml"], "'cancel'"),
        (["--command=plan"], "config: give the place"),
        (["--command=plan", "--config=gs://b/j.yaml", "--max_usd=1"], "max_usd: not for plan"),
        (["--command=advance", "--config=gs://b/j.yaml", "--sample=1"], "sample: not for advance"),
    ],
)
def test_what_is_missing_or_too_much_is_named(parameters: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        template_arguments(parameters)
