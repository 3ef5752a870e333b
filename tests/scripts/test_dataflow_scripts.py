"""The scripts for Dataflow print the commands that they run, and refuse what is incomplete."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

from reembed.version import __version__
from support.waiting import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
PLACE = "europe-west4-docker.pkg.dev/demo-project/images/reembed"
BUILD = ["--project", "demo-project", "--region", "europe-west4", "--repository", "images",
         "--bucket", "gs://some-bucket", "--dry-run"]  # fmt: skip
SECRET = "projects/demo-project/secrets/gemini/versions/7"
LAUNCH = {
    "--project": "demo-project",
    "--region": "europe-west4",
    "--bucket": "some-bucket",
    "--template": "gs://some-bucket/templates/reembed-1.json",
    "--image": f"{PLACE}:1",
    "--command": "run",
    "--config": "gs://some-bucket/job.yaml",
}


def call(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "scripts" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


def printed(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    assert done.returncode == 0, done.stderr
    return [words for line in done.stdout.splitlines() if (words := shlex.split(line, True))]


def launched(**more: str) -> list[str]:
    options = LAUNCH | {f"--{name.replace('_', '-')}": value for name, value in more.items()}
    given = [word for pair in options.items() for word in pair]
    [command] = printed(call("dataflow-launch", *given, "--dry-run"))
    return command


def test_build_makes_an_image_and_a_template_of_its_digest() -> None:
    image, digest, template = printed(call("dataflow-build", *BUILD))
    assert image[:3] == ["gcloud", "builds", "submit"]
    assert f"--tag={PLACE}:{__version__}" in image
    assert digest[:5] == ["gcloud", "artifacts", "docker", "images", "describe"]
    assert digest[5] == f"{PLACE}:{__version__}"
    assert template[:5] == [
        *("gcloud", "dataflow", "flex-template", "build"),
        f"gs://some-bucket/templates/reembed-{__version__}.json",
    ]
    assert f"--image={PLACE}@sha256:DIGEST" in template
    assert {"--sdk-language=PYTHON", "--metadata-file=metadata.json"} <= set(template)
    assert (ROOT / "metadata.json").is_file()
    other = printed(call("dataflow-build", *BUILD, "--tag", "next"))
    assert f"--tag={PLACE}:next" in other[0]


def test_launch_gives_each_option_its_parameter() -> None:
    command = launched(max_usd="25", secret=SECRET, lanes="4", max_wait_hours="48", sample="9",
                       run_dir="gs://some-bucket/run", workers="3", name="my-job",
                       service_account="w@demo-project.iam.gserviceaccount.com")  # fmt: skip
    assert command[:5] == ["gcloud", "dataflow", "flex-template", "run", "my-job"]
    parameters = dict(
        word.removeprefix("--parameters=").split("=", 1)
        for word in command
        if word.startswith("--parameters=")
    )
    assert parameters == {
        "command": "run",
        "config": "gs://some-bucket/job.yaml",
        "sdk_container_image": f"{PLACE}:1",
        "max_usd": "25",
        "api_key_secret": SECRET,
        "run_dir": "gs://some-bucket/run",
        "sample": "9",
        "lanes": "4",
        "max_wait_hours": "48",
    }
    described = json.loads((ROOT / "metadata.json").read_text())["parameters"]
    patterns = {each["name"]: each["regexes"][0] for each in described}
    assert set(patterns) == set(parameters), "a parameter has no option of the script"
    assert all(re.search(patterns[name], value) for name, value in parameters.items())
    assert {"--num-workers=3", "--max-workers=3"} <= set(command)
    assert "--service-account-email=w@demo-project.iam.gserviceaccount.com" in command
    assert "--disable-public-ips" not in command


def test_a_subnetwork_means_no_public_addresses() -> None:
    command = launched(subnetwork="regions/europe-west4/subnetworks/workers")
    assert "--subnetwork=regions/europe-west4/subnetworks/workers" in command
    assert "--disable-public-ips" in command
    assert command[4] == "reembed-run"


def test_what_is_missing_or_unknown_is_named() -> None:
    for script, missing in (("dataflow-build", BUILD[2:]), ("dataflow-launch", ["--dry-run"])):
        done = call(script, *missing)
        assert done.returncode == 2
        assert "--project" in done.stderr
        assert done.stdout == ""
    done = call("dataflow-launch", "--api-key", "secret")
    assert (done.returncode, "--api-key is no option" in done.stderr) == (2, True)
    done = call("dataflow-build", "--project")
    assert (done.returncode, "--project needs a value" in done.stderr) == (2, True)
