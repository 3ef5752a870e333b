"""Totals of parts add up, in any order."""

from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reembed.core.plans import PlanTotals, sum_totals

COUNTS = st.integers(0, 10**12)
BY_NAME = st.dictionaries(st.sampled_from(["text", "audio", "pdf"]), COUNTS)
TOTALS = st.builds(
    PlanTotals,
    **{f.name: COUNTS if f.type == "int" else BY_NAME for f in fields(PlanTotals)},
)


def test_no_parts_are_zeros() -> None:
    assert sum_totals([]) == PlanTotals()


def test_every_field_is_added() -> None:
    values: dict[str, Any] = {
        f.name: 2 if f.type == "int" else {"text": 2} for f in fields(PlanTotals)
    }
    one = PlanTotals(**values)
    both = one + one
    for f in fields(PlanTotals):
        assert getattr(both, f.name) in (4, {"text": 4})
    assert both.all_tokens == 4


@given(st.lists(TOTALS, max_size=6))
def test_the_order_of_parts_does_not_matter(parts: list[PlanTotals]) -> None:
    assert sum_totals(parts) == sum_totals(reversed(parts))


@given(TOTALS, TOTALS)
def test_modalities_are_kept_apart(a: PlanTotals, b: PlanTotals) -> None:
    for name, count in (a + b).tokens.items():
        assert count == a.tokens.get(name, 0) + b.tokens.get(name, 0)
    assert (a + b).all_tokens == a.all_tokens + b.all_tokens
