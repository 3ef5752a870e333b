from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reembed_emulator.embedder import Embedder, FastVectors
from reembed_emulator.errors import RowError
from reembed_emulator.messages import Content, EmbedRequest, Part
from reembed_emulator.models import MODELS

ONE, TWO = MODELS["gemini-embedding-001"], MODELS["gemini-embedding-2"]
EMBEDDER = Embedder()
FAST = FastVectors()
BEES = "Honey bees build combs of wax and store honey for the winter."
TRAINS = "A steam locomotive pulls its carriages over the iron bridge."


def no_file(uri):
    raise AssertionError(uri)


def request(*texts, dimensions=3072, **fields):
    parts = [Part(text=text) for text in texts]
    return EmbedRequest(content=Content(parts=parts), output_dimensionality=dimensions, **fields)


@pytest.mark.parametrize("dimensions", [128, 768, 3072])
@pytest.mark.parametrize(
    "query",
    [
        "task: search result | query: how do bees make honey",
        "title: The hive | text: bees and honey in a comb",
        "BEES AND HONEY, winter stores",
        "combs",
        "honeybee wax",
    ],
)
def test_near_texts_are_nearer_than_far_ones(vectors, query, dimensions):
    asked, bees, trains = vectors(query, BEES, TRAINS, dimensions=dimensions)
    assert asked @ bees > asked @ trains + 0.05


texts = st.text(min_size=1, max_size=200).filter(lambda text: text.strip())


@settings(deadline=None, max_examples=60)
@given(texts, st.integers(128, 3072))
@example("...", 128)
@example("\ud800", 200)
@example("the", 128)
def test_norm_and_truncation(vectors, text, dimensions):
    (whole,) = vectors(text)
    (cut,) = vectors(text, dimensions=dimensions)
    assert cut.dtype == np.float32
    assert len(cut) == dimensions
    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(cut) == pytest.approx(1, abs=1e-5)
    head = whole[:dimensions]
    np.testing.assert_allclose(head / np.linalg.norm(head), cut, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.lists(texts, min_size=2, max_size=8))
def test_a_vector_does_not_depend_on_its_neighbours_or_on_history(vectors, batch):
    in_batch = vectors(*batch)
    fresh = Embedder().embed([request(batch[-1])], TWO, no_file)[0]
    np.testing.assert_array_equal(in_batch[-1], fresh.values)


def test_001_is_of_unit_length_only_whole_and_of_another_space(vectors):
    (whole,) = vectors(BEES, model=ONE.name)
    (cut,) = vectors(BEES, model=ONE.name, dimensions=768)
    assert np.linalg.norm(whole) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(cut, whole[:768])
    assert np.linalg.norm(cut) < 0.9
    (other,) = vectors(BEES, model=TWO.name)
    assert abs(whole @ other) < 0.2


def test_titles_of_001_count_as_text():
    plain, titled = (
        item.values
        for item in EMBEDDER.embed(
            [
                request(BEES),
                request(BEES, title="Locomotives", task_type="RETRIEVAL_DOCUMENT"),
            ],
            ONE,
            no_file,
        )
    )
    assert plain @ titled < 0.999


def test_parts_of_one_content_give_one_vector(vectors):
    (done,) = EMBEDDER.embed([request(BEES, TRAINS)], TWO, no_file)
    bees, trains = vectors(BEES, TRAINS)
    assert done.values.shape == (3072,)
    assert done.values @ bees > 0.5
    assert done.values @ trains > 0.5


@given(st.text(max_size=300))
def test_tokens_follow_the_text(text):
    count = EMBEDDER.count_tokens(request(text), TWO, no_file)
    longer = EMBEDDER.count_tokens(request(text + " and one more"), TWO, no_file)
    assert 0 <= count < longer <= 8192


@settings(deadline=None)
@given(texts, st.sampled_from([128, 768, 3072]))
def test_fast_vectors_are_unit_and_follow_the_content(text, dimensions):
    values, tokens = FAST.embed(request(text, dimensions=dimensions), TWO, no_file)
    again, _ = FAST.embed(request(text, dimensions=dimensions), TWO, no_file)
    assert values == again
    array = np.fromstring(values.decode().strip("[]"), sep=",")
    assert len(array) == dimensions
    assert np.linalg.norm(array) == pytest.approx(1, abs=1e-5)
    assert tokens >= 1


def test_fast_vectors_refuse_what_is_refused():
    with pytest.raises(RowError, match="out of the supported range"):
        FAST.embed(request("a", dimensions=5), TWO, no_file)


def test_fast_job(serve, request_of):
    api = serve(fast_vectors=True)
    rows = api.run([request_of(f"text {i}", outputDimensionality=768) for i in range(300)])
    assert {len(row["response"]["embedding"]["values"]) for row in rows.values()} == {768}
    assert (
        32 < len({str(row["response"]["embedding"]["values"][:3]) for row in rows.values()}) <= 64
    )
