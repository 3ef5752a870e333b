import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reembed.core import verify as verification
from reembed.core.canaries import Canary, plan_canaries, wire_order
from reembed.core.join import Anomalies, Joined
from reembed.core.verify import text_lengths, verify
from support.builders import manifest

_DIMENSIONS = 16


class Job:
    """A job whose texts have random vectors and lengths, and answers to it under moved keys."""

    def __init__(self, requests: int, seed: int, spread: float = 0.6, noise: float = 0.25) -> None:
        self.random = np.random.default_rng([seed, requests])
        self.canaries = plan_canaries(requests)
        self.order = np.array(wire_order(requests, self.canaries))
        content = np.concatenate(
            [np.arange(requests), np.array([c.original for c in self.canaries], np.int64)]
        )
        lengths = np.exp(self.random.normal(5.5, spread, requests))
        self.lengths = np.maximum(1, lengths).astype(np.int64)[content]
        share = np.exp(self.random.normal(-0.3, noise, requests))
        self.tokens = np.maximum(1, lengths * share).astype(np.int64)[content]
        vectors = self.random.standard_normal((requests, _DIMENSIONS)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.matrix = vectors[content]

    def answer(self, places: np.ndarray | None = None, **counted: Any) -> Joined:
        """The answer where the key at wire place i has the content of place ``places[i]``."""
        total = len(self.order)
        source = np.arange(total)
        if places is not None:
            source[self.order] = self.order[places]
        return Joined(
            ordinals=np.arange(total),
            matrix=self.matrix[source],
            ok=np.ones(total, bool),
            tokens=self.tokens[source],
            lengths=np.ones(total),
            errors={},
            anomalies=Anomalies(**counted),
            lines=total,
        )

    def harmless(self, places: np.ndarray) -> bool:
        """Whether every key keeps its content: nothing moved but between equal requests."""
        return bool((self.answer(places).matrix == self.matrix).all())

    def caught(self, places: np.ndarray | None = None, tokens: bool = True) -> bool:
        lengths = self.lengths if tokens else None
        return not verify(self.answer(places), self.canaries, lengths).ok


def shuffle(job: Job, total: int) -> np.ndarray:
    return job.random.permutation(total)


def rotate(job: Job, total: int) -> np.ndarray:
    return np.roll(np.arange(total), int(job.random.integers(1, total)))


def swap_two(job: Job, total: int) -> np.ndarray:
    places = np.arange(total)
    a, b = job.random.choice(total, 2, replace=False)
    places[[a, b]] = places[[b, a]]
    return places


def swap_blocks(share: float) -> Callable[[Job, int], np.ndarray]:
    def swapped(job: Job, total: int) -> np.ndarray:
        size = max(1, int(total * share))
        a = int(job.random.integers(0, total - 2 * size + 1))
        b = int(job.random.integers(a + size, total - size + 1))
        places = np.arange(total)
        places[a : a + size], places[b : b + size] = (
            places[b : b + size].copy(),
            places[a : a + size].copy(),
        )
        return places

    return swapped


KINDS: dict[str, Callable[[Job, int], np.ndarray]] = {
    "full shuffle": shuffle,
    "rotation by any distance": rotate,
    "swap of blocks of a quarter": swap_blocks(0.25),
    "swap of blocks of a tenth": swap_blocks(0.1),
    "swap of blocks of a fiftieth": swap_blocks(0.02),
    "swap of two lines": swap_two,
}
SIZES = (2, 40, 400, 6500)


def power(kind: str, requests: int, trials: int, tokens: bool = True) -> float:
    """The share of permutations of a kind that are caught, in per cent."""
    caught = 0
    for seed in range(trials):
        job = Job(requests, seed)
        places = KINDS[kind](job, len(job.order))
        while job.harmless(places):
            places = KINDS[kind](job, len(job.order))
        caught += job.caught(places, tokens)
    return 100 * caught / trials


def stated() -> dict[str, list[float]]:
    """The table of the module's docstring."""
    row = re.compile(r"^(\w[\w ]+?)\s{2,}(\d+)\s+(\d+)\s+(\d+)\s+(\d+)$", re.M)
    found = row.findall(verification.__doc__ or "")
    return {name: [float(value) for value in values] for name, *values in found}


def test_the_docstring_states_each_kind() -> None:
    assert list(stated()) == list(KINDS)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("size", SIZES)
def test_power_is_as_stated(kind: str, size: int) -> None:
    trials = 300 if size < 1000 else 40
    expected = stated()[kind][SIZES.index(size)]
    # Three standard errors of a share measured in so many trials, and the rounding of the table.
    margin = 300 * np.sqrt(max(expected * (100 - expected), 99) / 1e4 / trials) + 1
    assert power(kind, size, trials) == pytest.approx(expected, abs=margin)


@pytest.mark.parametrize("noise", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("spread", [0.0, 0.3, 0.6, 1.2])
@pytest.mark.parametrize("size", [1, 2, 49, 400, 3000])
def test_a_good_answer_raises_no_alarm(size: int, spread: float, noise: float) -> None:
    for seed in range(10):
        job = Job(size, seed, spread, noise)
        assert verify(job.answer(), job.canaries, job.lengths).reasons == ()


def test_no_alarm_in_thousands_of_good_windows() -> None:
    for seed in range(3):
        assert not Job(100_000, seed, spread=0.55, noise=0.45).caught()


def test_scripts_in_turns_raise_no_alarm() -> None:
    job = Job(5000, 6)
    script = np.arange(5000) // 37 % 4
    job.tokens[:5000] = job.tokens[:5000] * np.array([1.0, 0.8, 0.55, 1.4])[script]
    for canary in job.canaries:
        job.tokens[canary.ordinal] = job.tokens[canary.original]
    assert not job.caught()


def test_token_counts_alone_see_a_shuffle() -> None:
    for seed in range(50):
        job = Job(400, seed)
        answer = job.answer(shuffle(job, len(job.order)))
        found = verify(answer, (), job.lengths).reasons
        assert [reason.code for reason in found] == ["tokens_unrelated"]
        assert "rank correlation" in found[0].message


def test_equal_contents_may_move_and_raise_no_alarm() -> None:
    job = Job(400, 1)
    job.matrix[:], job.tokens[:], job.lengths[:] = job.matrix[0], 12, 14
    assert not job.caught(shuffle(job, len(job.order)))


def test_very_short_texts_raise_no_alarm() -> None:
    job = Job(3000, 2)
    job.lengths = job.random.integers(1, 16, len(job.lengths))
    job.tokens = job.random.integers(1, 5, len(job.tokens))
    for canary in job.canaries:
        job.tokens[canary.ordinal] = job.tokens[canary.original]
    assert not job.caught()


def test_media_bear_no_witness() -> None:
    kinds = ["text", "image", "audio", "video", "pdf"]
    job = Job(500, 3)
    modality = [kinds[n % 5] for n in range(500)]
    chunks = manifest(range(500), tokens=job.lengths[:500].tolist(), modality=modality)
    media = np.array([kind != "text" for kind in modality])
    # What the service counts for media has nothing to do with the plan's estimate.
    job.tokens[:500][media] = job.random.integers(1, 9999, media.sum())
    for canary in job.canaries:
        job.tokens[canary.ordinal] = job.tokens[canary.original]
    assert verify(job.answer(), job.canaries, text_lengths(chunks, job.canaries)).ok


@pytest.mark.parametrize("count", [-1, 0, 1, 300])
def test_a_service_that_counts_nothing_or_always_the_same_raises_no_alarm(count: int) -> None:
    job = Job(400, 4)
    job.tokens[:] = count
    assert not job.caught()


def test_lengths_come_from_texts_and_canaries_take_their_twins() -> None:
    modality = ["text", "image", "text", "text", "text"]
    chunks = manifest([0, 1, None, 2, 0], tokens=[5, 6, 7, 8, 5], modality=modality)
    canaries = (Canary(ordinal=3, original=2), Canary(ordinal=4, original=1))
    assert text_lengths(chunks, canaries).tolist() == [5, 0, 8, 8, 0]
    assert text_lengths(manifest([None])).tolist() == []


def test_a_canary_that_differs_is_named() -> None:
    job = Job(40, 1)
    answer = job.answer()
    answer.matrix[40] = -answer.matrix[20]
    (found,) = verify(answer, job.canaries, None).reasons
    assert found.code == "canary_differs"
    wanted = "requests 20 and 40 have the same content but vectors with cosine -1.0000"
    assert found.message == wanted


def test_a_canary_with_other_tokens_is_named() -> None:
    job = Job(40, 1)
    job.tokens[40], job.tokens[20] = 7, 9
    (found,) = verify(job.answer(), job.canaries, None).reasons
    assert found.message.endswith("but 9 and 7 tokens")


def test_canaries_without_a_vector_or_not_sent_say_nothing() -> None:
    job = Job(40, 1)
    answer = job.answer()
    answer.matrix[40] = -answer.matrix[20]
    answer.ok[40] = False
    assert verify(answer, job.canaries, None).ok
    assert verify(answer, (Canary(ordinal=99, original=20),), None).ok


@pytest.mark.parametrize(
    ("counted", "code"),
    [
        ({"keyless": 1}, "keyless"),
        ({"missing": 4}, "keys_lost"),
        ({"unknown": 4}, "keys_lost"),
        ({"missing": 2, "unknown": 2}, "keys_lost"),
        ({"doubled_different": 4}, "doubled_different"),
        ({"missing": 3}, None),
        ({"doubled_same": 40}, None),
        ({"not_json": 3, "missing": 3}, None),
    ],
)
def test_structure_of_a_small_job(counted: dict[str, Any], code: str | None) -> None:
    job = Job(40, 1)
    found = verify(job.answer(**counted), job.canaries, None).reasons
    assert [reason.code for reason in found] == ([code] if code else [])


def test_one_in_a_hundred_keys_may_be_missing_in_a_large_job() -> None:
    job = Job(992, 1)
    assert len(job.order) == 1000
    assert verify(job.answer(missing=10), job.canaries, None).ok
    (found,) = verify(job.answer(missing=11), job.canaries, None).reasons
    assert found.message == "11 of 1000 keys missing, 0 lines with unknown keys"


def _unusable(**counted: Any) -> tuple[str, ...]:
    answer = Job(40, 1).answer(**counted)
    answer.ok[:] = False
    return tuple(reason.code for reason in verify(answer, (), None).reasons)


def test_one_wrong_dimension_everywhere_is_structural() -> None:
    assert _unusable(wrong_dimension=41, dimensions={3072: 41}) == ("wrong_dimension",)
    assert _unusable(wrong_dimension=1, dimensions={3072: 1}) == ("wrong_dimension",)
    answer = Job(40, 1).answer(wrong_dimension=5, dimensions={3072: 5})
    assert verify(answer, (), None).ok


def test_nothing_usable_at_all_is_structural() -> None:
    assert _unusable(zero_norm=20, not_finite=21) == ("no_usable_vector",)
    assert _unusable(zero_norm=2) == ()
    assert _unusable() == ()
