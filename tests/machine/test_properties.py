"""Whatever actions give, nothing is created without its guards, and every shard ends."""

from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reembed.core.records import Claim, Created, Need, Outcome, ordinals_of
from reembed.machine import actions as act
from reembed.machine.endings import RemoteEnd, ending_after_failure, retry_history
from reembed.machine.epochs import MAX_RECORD_AGE
from reembed.machine.reduce import CallFailed, CreateUnanswered, SendRefused
from reembed.machine.rules import ListedJob
from reembed.machine.states import ObservedJob, PendingOutcome, Prepared

MOST_STEPS = 4000
# So many results are as luck has it; then all goes well, so that each shard must come to an end.
LUCKY = 120
WEEK = 7 * 86400.0
STATES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "EXPIRED", "UNKNOWN", "CANCELLED")


class Chance:
    """Plays one shard with results at random, and checks each create."""

    def __init__(self, game, seed):
        self.game, self.random = game, Random(seed)
        self.creates, self.remote = set(), {}
        self.claimed, self.looked, self.uploaded = set(), {}, {}
        self.steps = 0

    def run(self):
        """The last action of the shard."""
        while self.steps < MOST_STEPS:
            self.steps += 1
            self.game.after(self.random.choice((0.01, 0.1, 1.0)) if self.lucky() else 0.01)
            action = self.game.next()
            if isinstance(action, act.Finished | act.Defer | act.Halt):
                return action
            if isinstance(action, act.Wait):
                assert action.until > self.game.shared.now
                self.game.wait()
                continue
            self._check(action)
            self.game.step(type(action), partial(self._result, action))
        raise AssertionError(f"no end in {MOST_STEPS} steps: {self.game.log[-20:]}")

    def lucky(self, odds=1.0):
        return self.steps < LUCKY and self.random.random() < odds

    def _check(self, action):
        if isinstance(action, act.MakeClaim | act.ClassifyFailure):
            attempt = self.game.state.attempts[action.attempt]
            # No epoch follows a sealed claim, and nothing else says that nothing was sent.
            judging = isinstance(action, act.ClassifyFailure) and attempt.created is None
            assert bool(attempt.sealed) == judging or attempt.created is not None
            sends = [c for _, c in sorted(attempt.claims.items()) if not c.claim.sealed]
            if not all(c.void for c in sends) and not getattr(action, "sealed", ""):
                assert attempt.created is not None or sends[-1].age < WEEK
        if not isinstance(action, act.Create):
            return
        spot = (action.attempt, action.epoch)
        assert spot not in self.creates
        assert spot in self.claimed
        now, reservations = self.game.shared.now, self.game.shared.reservations
        assert (
            reservations.holding_epoch(f"{self.game.state.plan.shard}/{action.attempt}")
            == action.epoch
        )
        assert now - self.looked[action.attempt] <= MAX_RECORD_AGE + 1.0
        assert action.inline or self.looked[action.attempt] >= self.uploaded[spot]
        assert not self.game.shared.stopped
        assert not self.game.shared.halted
        attempt = self.game.state.attempts[action.attempt]
        assert attempt.created is None
        open_lower = {e for e, c in attempt.claims.items() if e < action.epoch and not c.void}
        assert open_lower <= attempt.local.fenced_epochs

    def _result(self, action):
        if self.lucky(0.15) and not isinstance(action, _NEVER_MISSED):
            return CallFailed(self.random.choice((1.0, 30.0)))
        way = getattr(self, f"_{type(action).__name__.lower()}", None)
        return way(action) if way else self.game.well(action)

    def _makeclaim(self, action):
        if self.lucky(0.2):
            return "lost"
        self.claimed.add((action.attempt, action.epoch))
        return self.game.well(action)

    def _reserve(self, action):
        shared, name = self.game.shared, f"{self.game.state.plan.shard}/{action.attempt}"
        room = shared.reservations.admission(name, action.need, shared.quotas, shared.storage_now)
        return "full" if room != "fits" or self.lucky(0.1) else self.game.well(action)

    def _prepare(self, action):
        sent = 0 if self.lucky(0.1) else 20
        return Prepared("/scratch/x", sent, 100)

    def _upload(self, action):
        self.uploaded[action.attempt, action.epoch] = self.game.shared.now
        return SendRefused("no room", 20.0) if self.lucky(0.1) else self.game.well(action)

    def _reloadrecords(self, action):
        self.looked[action.attempt] = self.game.shared.now
        claims = {p: dict(e) for p, e in self.game.records().claims.items()}
        for path in claims:
            self.looked[path] = self.game.shared.now
            top = max(claims[path], default=0)
            if self.lucky(0.1) and not (top and claims[path][top].sealed):
                sealed = "stopped" if self.lucky(0.2) else ""
                claims[path][top + 1] = Claim(holder="you", epoch=top + 1, sealed=sealed)
        aged = {(p, e): self._age(p, e) for p, epochs in claims.items() for e in epochs}
        if self.lucky(0.05):
            why = self.random.choice(({"stopped": True}, {"halted": "because"}))
            self.game.shared = replace(self.game.shared, **why)
        return self.game.records(claims=claims, ages=aged)

    def _age(self, path, epoch):
        if (path, epoch) in self.claimed and not self.lucky(0.1):
            return 1.0
        if self.lucky(0.03):
            return WEEK
        return self.random.choice((0.0, 100.0, 400.0)) if self.lucky() else 400.0

    def _create(self, action):
        # A missed one was held back, not sent.
        self.creates.add((action.attempt, action.epoch))
        luck = self.random.random() if self.lucky() else 1.0
        if luck < 0.15:
            # Nothing was made for certain: the same epoch may try again.
            self.creates.discard((action.attempt, action.epoch))
            return SendRefused("quota", 30.0, quota=True)
        job = f"batches/{len(self.remote) + 1}"
        if luck < 0.3:
            return CreateUnanswered()
        self.remote[action.attempt] = (*self.remote.get(action.attempt, ()), job)
        if luck < 0.5:
            return CreateUnanswered()
        return Created(job=job, display_name="n", epoch=action.epoch, input_file="files/x")

    def _listjobs(self, action):
        shard = self.game.state.plan.shard
        found = {
            (shard, path): tuple(ListedJob(shard, path, job, "n", job) for job in jobs)
            for path, jobs in self.remote.items()
        }
        now = self.game.shared.now
        self.game.shared = replace(self.game.shared, listed_jobs=found, listed_at=now)

    def _poll(self, action):
        state = self.random.choice(STATES) if self.lucky() else "SUCCEEDED"
        done = state not in ("PENDING", "RUNNING", "UNKNOWN")
        now = self.game.shared.now
        return ObservedJob(action.job, state, done, polled_at=now, interval=10.0)

    def _join(self, action):
        if self.lucky(0.1):
            return PendingOutcome(Outcome(state="QUARANTINED", job="b"), "scrambled")
        return PendingOutcome(Outcome(state="SUCCEEDED", job="b", rows=1, rows_uri="/w"))

    def _classifyfailure(self, action):
        state = self.game.state
        attempt = state.attempts[action.attempt]
        if attempt.job is None:
            return PendingOutcome(Outcome(state="NOT_SENT", job="", rejects=1))
        sent: Any = range(state.plan.requests)
        if attempt.ordinals is not None:
            sent = ordinals_of(attempt.ordinals)
        history = retry_history(action.attempt, {p: a.outcome for p, a in state.attempts.items()})
        end = RemoteEnd("b", attempt.job.state, self.random.choice((3, 13)))
        found = ending_after_failure(history, end, sent, 3, _need_of)
        return PendingOutcome(
            Outcome(
                state=attempt.job.state,
                job="b",
                rejects=len(found.rejects),
                children=dict(found.children),
                delay_seconds=found.delay_seconds,
            )
        )


_NEVER_MISSED = (act.WritePart, act.WriteRejects, act.RecordSettled, act.RecordOutcome)


def _need_of(ordinals):
    return Need(usd_nano=len(ordinals), tokens=len(ordinals), jobs=1)


@settings(
    deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32),
    form=st.sampled_from(["file", "inline"]),
    cap=st.integers(60, 200),
    hold_input=st.sampled_from([0.0, 45.0, 600.0]),
)
def test_creates_are_guarded_and_every_shard_ends(play, seed, form, cap, hold_input):
    game = play(inline=form, quotas={"max_usd_nano": cap}, hold_input=hold_input)
    chance = Chance(game, seed)
    last = chance.run()
    event(type(last).__name__)
    event("stopped" if game.shared.stopped else "not stopped")
    assert game.shared.reservations.usd_nano <= cap
    if isinstance(last, act.Finished):
        assert game.shared.reservations.live == {}
        created = [a for a in game.state.attempts.values() if a.created is not None]
        assert last.settled.jobs == len(created)


def test_chance_meets_every_action(play):
    met = set()
    for seed in range(150):
        game = play(inline=("file", "inline")[seed % 2])
        chance = Chance(game, seed)
        met |= {type(chance.run())}
        met |= {type(action) for action in game.log}
    needed = {
        act.Finished,
        act.Defer,
        act.Halt,
        act.ReloadRecords,
        act.Fence,
        act.ListJobs,
        act.ReleaseClaim,
    }
    needed |= {act.Create, act.RecordCreated, act.ClassifyFailure, act.WritePart, act.WriteRejects}
    assert needed <= met
