"""The next state of a shard, and results that cannot be."""

from __future__ import annotations

import pytest

from reembed.machine import actions as act
from reembed.machine.reduce import reduce
from reembed.machine.states import ObservedJob


def created(play, **plan):
    game = play(plan=plan)
    game.until(act.Poll)
    return game


@pytest.mark.parametrize(
    ("action", "result"),
    [
        (act.Poll("0", "b"), "files/x"),
        (act.Create("0", 1, False), ObservedJob("b", "RUNNING", False)),
        (act.WritePart(), None),
    ],
)
def test_a_result_that_cannot_belong_to_an_action_is_an_error(play, action, result):
    game = created(play)
    with pytest.raises(TypeError, match=f"{type(action).__name__} cannot give"):
        reduce(game.state, action, result, 0.0)
