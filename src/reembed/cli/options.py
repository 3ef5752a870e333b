"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from reembed.cli.console import LogFormat

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="The YAML file, here or at gs://bucket/name.")
]
BeamArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- BEAM OPTIONS]", help="Beam's own options, after --."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the configuration."),
]
RunDirOption = Annotated[
    str | None, typer.Option("--run-dir", help="Folder or gs://bucket/prefix of the run.")
]
SampleOption = Annotated[
    int | None,
    typer.Option("--sample", min=1, help="Only N items, chosen by the hash of their keys."),
]
WhereOption = Annotated[
    str | None,
    typer.Option("--where", help="A condition on the rows of source.bigquery.table, in GoogleSQL."),
]
MaxUsdOption = Annotated[
    float | None,
    typer.Option("--max-usd", min=0, help="The cap in dollars over all calls of this run."),
]
KeyRotatedOption = Annotated[
    bool, typer.Option("--key-rotated", help="The API key is a new one of the same project.")
]
AcceptRepayOption = Annotated[
    bool,
    typer.Option("--accept-repay", help="Buy answers again that cannot be used; shows the price."),
]
AssumeLostOption = Annotated[
    bool,
    typer.Option(
        "--assume-lost",
        help="Send again what may have been sent too long ago to be found at the service.",
    ),
]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        envvar="REEMBED_LOG_FORMAT",
        help="json: stderr and the run's log take one JSON object a line.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ExpectPlanOption = Annotated[
    str,
    typer.Option(
        "--expect-plan",
        metavar="ID",
        help="Commit this plan and no other: the one whose price was approved.",
    ),
]
