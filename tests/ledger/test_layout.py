import pytest

from reembed.ledger.layout import Layout, RecordName, parse_record


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("0.e1.claim", RecordName("0", 1, "claim")),
        ("0.3.12.e10.void", RecordName("0.3.12", 10, "void")),
        ("0.e2.unsent", RecordName("0", 2, "unsent")),
        ("0.e2.r15", RecordName("0", 2, "r15")),
        ("0.1.created", RecordName("0.1", 0, "created")),
        ("2.outcome", RecordName("2", 0, "outcome")),
        ("settled.g4", RecordName("", 4, "settled")),
    ],
)
def test_record_names_are_taken_apart(name, parsed):
    assert parse_record(name) == parsed


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0.claim",
        "0.e1.claim\n",
        "0.e1.claimed",
        "0.e1.r",
        "x.created",
        "0..created",
        "settled.gx",
        "٣.created",
        "settled.g٣",
        "0.created.reembed-1-2.tmp",
    ],
)
def test_what_is_no_record_is_passed_over(name):
    assert parse_record(name) is None


def test_names_sort_as_what_they_name_and_stay_apart():
    layout = Layout("gs://bucket/run")
    lines = [layout.spend(1, seq) for seq in (1, 9, 10, 99, 100, 10**8)]
    assert lines == sorted(lines)
    parts = [layout.part(n, f"00000000-{s:06}") for n in (1, 2, 10) for s in (0, 9, 10)]
    assert parts == sorted(parts)
    assert layout.shard_records(1, "00000003-000007") == (
        "gs://bucket/run/ledger/runs/0001/partitions/00000003/000007/"
    )
    assert layout.shard_records(1, "00000003-000007").startswith(
        layout.partition_records(1, "00000003")
    )
    assert not layout.partition_records(1, "00000003").startswith(layout.run_settled(1, 0))


def test_a_name_that_is_no_shard_has_no_records():
    with pytest.raises(ValueError, match=r"'\.\./\.\./etc' is not the name of a shard"):
        Layout("/run").shard_records(1, "../../etc")
