"""Wrong values of the section `source`."""

import pytest

CASES = [
    ("source.files=[]", "source.files", "[]", 'empty; give for instance files: ["./corpus/**"]'),
    ("source.files=['']", "source.files[0]", '""', "empty; give a path"),
    ("source.files=['s3://b/x']", "source.files[0]", "s3://b/x", "gs://bucket/prefix/**"),
]


@pytest.mark.parametrize(("override", "key", "value", "remedy"), CASES, ids=[c[0] for c in CASES])
def test_one_wrong_key(one_wrong_key, override: str, key: str, value: str, remedy: str) -> None:
    one_wrong_key(override, key, value, remedy)
