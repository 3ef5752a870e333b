"""Requirements of a run on Dataflow, and how a Flex Template's launcher differs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)

from reembed.config.schema import Config
from reembed.errors import UsageError
from reembed.storage.names import is_gs

_NAMES = ("dataflowrunner", "testdataflowrunner")


def is_dataflow(options: PipelineOptions) -> bool:
    """Tell whether Dataflow runs the workers, which are paid by the second while they wait."""
    runner = options.view_as(StandardOptions).runner or ""
    return runner.rsplit(".", 1)[-1].lower() in _NAMES


def is_staged(options: PipelineOptions) -> bool:
    """Tell whether the job is only written down, for a launcher that starts it afterwards.

    A Flex Template's launcher gives `template_location`: the runner writes the one job of this
    process there and says DONE though nothing ran.
    """
    return is_dataflow(options) and bool(options.view_as(GoogleCloudOptions).template_location)


def check_dataflow(config: Config, options: PipelineOptions) -> None:
    """Refuse what can only fail on a worker, a quarter of an hour later.

    Raises:
        UsageError: packages are missing, workers would not have this one, or places that only this
            machine has.
    """
    if not is_dataflow(options):
        return
    check_packages()
    setup = options.view_as(SetupOptions)
    image = options.view_as(WorkerOptions).sdk_container_image
    if not (image or setup.setup_file or setup.extra_packages):
        raise UsageError(
            "Dataflow's own image does not have this package: build one with "
            "scripts/dataflow-build and give --sdk_container_image=IMAGE after --"
        )
    for key, place in _places(config):
        if not is_gs(place):
            raise UsageError(
                f"{key}: {place} is on this machine, where Dataflow's workers cannot read it; "
                "give gs://bucket/…"
            )


def check_packages() -> None:
    """Refuse a job without the packages that only Dataflow needs, with the name of their extra.

    Raises:
        UsageError: they are not installed; Beam itself says so late, and names its own extra.
    """
    try:
        importlib.import_module("apache_beam.runners.dataflow.internal.apiclient")
    except ImportError as err:
        raise UsageError(
            f"--runner=DataflowRunner needs more packages ({err}); "
            "install them with pip install 'reembed[dataflow]'"
        ) from err


def _places(config: Config) -> Iterator[tuple[str, str]]:
    source = config.source
    yield "run_dir", config.run_dir
    yield from (("source.files", place) for place in source.files)
    yield from (("source.manifest", place) for place in source.manifest)
    if source.parquet is not None:
        yield from (("source.parquet.files", place) for place in source.parquet.files)
