"""Records of a shard that another holder has begun, as tests of the machine plant them."""

from __future__ import annotations

from dataclasses import replace

from reembed.core.names import input_file_name
from reembed.core.records import Claim
from reembed.machine import actions as act
from reembed.machine.reduce import SendRefused
from reembed.machine.rules import ListedJob
from reembed.machine.snapshot import ShardRecords

SHARD = "00000000-000003"
GONE = 120.0 + 60.0 + 30.0
WEEK = 7 * 86400.0
THEIRS = {"0": {1: Claim(holder="you", epoch=1)}}


def foreign(age, **more):
    return ShardRecords(claims=THEIRS, ages={("0", 1): age}, **more)


def found(job, created="2026-01-01T00:00:00Z", epoch=1):
    name = input_file_name("files/", "run1", SHARD, "0", epoch)
    return ListedJob(SHARD, "0", job, "run1/s/0/f", created, name)


def kinds(game):
    return [type(action).__name__ for action in game.log]


def closed(sealed, *lower, voids=(), age=5.0):
    """Claims of others: open ones to send, and one above them that closes the attempt."""
    top = max(lower, default=0) + 1
    claims = {epoch: Claim(holder="you", epoch=epoch) for epoch in lower}
    claims[top] = Claim(holder="them", epoch=top, sealed=sealed)
    ages = {("0", epoch): age for epoch in claims}
    return ShardRecords(
        claims={"0": claims}, ages=ages, voids=frozenset(("0", epoch) for epoch in voids)
    )


def held(play, seconds=40.0, **more):
    game = play(hold_input=300.0, **more)
    game.until(act.Create)
    game.step(act.Create, SendRefused("quota", seconds, quota=True))
    return game


def gap(game, seconds=0.0):
    """Another job leaves 400 of 1,000 tokens, too few for this shard of 500."""
    need = {"tokens": 600, "jobs": 1}
    game.write(kind="reserve", attempt="x/0", epoch=1, need=need)
    now = game.shared.now
    game.shared = replace(
        game.shared,
        refreshed_for=f"{SHARD}/0",
        reservations_changed_at=now - seconds,
        reservations_read_at=now,
    )
