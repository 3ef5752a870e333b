from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reembed_emulator.words import BUCKETS, WordTable

BEES = "Honey bees build combs of wax and store honey for the winter."
UNBOUNDED = 1 << 40


def test_fixed_prefixes_mean_nothing_but_titles_do(vectors):
    plain, query, untitled, titled = vectors(
        BEES,
        f"task: question answering | query: {BEES}",
        f"title: none | text: {BEES}",
        f"title: Locomotives | text: {BEES}",
    )
    np.testing.assert_array_equal(plain, query)
    np.testing.assert_array_equal(plain, untitled)
    (trains,) = vectors("locomotives")
    assert plain @ titled < 0.999
    assert titled @ trains > plain @ trains + 0.05


def test_other_scripts(vectors):
    bees, honey, train = vectors("蜜蜂在蜂巢里储存蜂蜜", "蜂蜜和蜜蜂", "火车驶过铁桥")
    assert bees @ honey > bees @ train + 0.2
    one, two, far = vectors("Пчёлы собирают мёд", "мёд собирают", "поезд едет")
    assert one @ two > one @ far + 0.2


@given(st.text(max_size=300))
def test_tokens_follow_the_text(text):
    table = WordTable()
    ids, tokens = table.ids(text, UNBOUNDED)
    assert tokens >= len(ids) >= 0
    assert table.ids(text + " and one more", UNBOUNDED)[1] > tokens


def test_the_limit_keeps_whole_words():
    table = WordTable()
    ids, tokens = table.ids("one two locomotives four", 3)
    assert (len(ids), tokens) == (2, 2)
    assert table.ids("one two locomotives four", 4)[1] == 4


def test_features_do_not_depend_on_other_texts():
    table = WordTable()
    texts = [table.ids(text, UNBOUNDED)[0] for text in (BEES, "", "a steam locomotive")]
    together = table.features(texts)
    assert together.shape == (3, BUCKETS)
    assert not together[1].any()
    np.testing.assert_array_equal(together[2], table.features(texts[2:])[0])
