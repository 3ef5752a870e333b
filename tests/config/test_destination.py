"""The section `destination`: its kind, and names that cannot be a table's or a view's."""

import pytest

CASES = [
    ("destination.bigquery={table: t}", "destination.bigquery.table", "t", "project.dataset.table"),
    ("destination.bigquery={table: p.d.t, view: v}", "destination.bigquery.view", "v", "project."),
    (
        "destination.bigquery={table: p.d.t, view: p.d.t}",
        "destination.bigquery.view",
        "p.d.t",
        "the table itself; give the name of a view",
    ),
    (
        "destination.bigquery={table: p.d.t, staging: /tmp}",
        "destination.bigquery.staging",
        "/tmp",
        "",
    ),
]


@pytest.mark.parametrize(("override", "key", "value", "remedy"), CASES, ids=[c[0] for c in CASES])
def test_one_wrong_key(one_wrong_key, override: str, key: str, value: str, remedy: str) -> None:
    one_wrong_key(override, key, value, remedy)


def test_parts_are_the_destination_where_nothing_else_is_named(load) -> None:
    assert load().config.destination.kind == "parquet"
    assert load("destination.parquet.compression=snappy").config.destination.kind == "parquet"
    assert load("destination.bigquery.table=p.d.t").config.destination.kind == "bigquery"
