"""What a job on Dataflow needs on the machine that submits it."""

from __future__ import annotations

import subprocess
import sys

from reembed.beam.dataflow import check_packages


def test_the_packages_of_dataflow_are_in_the_lock_file() -> None:
    check_packages()


def test_missing_packages_are_named_with_the_extra_that_has_them() -> None:
    code = (
        "import sys; sys.modules['google.cloud.dataflow'] = None\n"
        "from reembed.beam.dataflow import check_packages\n"
        "from reembed.errors import UsageError\n"
        "try: check_packages()\n"
        "except UsageError as err: print(err)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("--runner=DataflowRunner needs more packages (")
    assert done.stdout.rstrip().endswith("install them with pip install 'reembed[dataflow]'")
