"""What a provider may not claim of its service."""

from dataclasses import replace

import pytest

from reembed.providers.gemini.provider import CAPABILITIES


def test_results_may_not_stay_for_longer_than_reservations_remember() -> None:
    with pytest.raises(ValueError, match="result_seconds is 172801; give 0 to 172800"):
        replace(CAPABILITIES, result_seconds=172_801.0)
