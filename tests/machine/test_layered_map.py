"""A mapping in layers says what one dictionary would, whatever was added in which portions."""

from hypothesis import given
from hypothesis import strategies as st

from reembed.machine.layered_map import LayeredMap

ENTRIES = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 9), max_size=4)


@given(st.lists(ENTRIES, max_size=12), st.integers(0, 12))
def test_it_says_what_one_dictionary_says(portions, kept):
    grown, plain, earlier = LayeredMap(), {}, []
    for portion in portions:
        grown, plain = grown.plus(portion), {**plain, **portion}
        earlier.append((grown, plain))
        assert grown == plain
        assert plain == grown
        assert (len(grown), sorted(grown)) == (len(plain), sorted(plain))
        assert [grown.get(key, 0) for key in "abcxyz"] == [plain.get(key, 0) for key in "abcxyz"]
    # What was said before stays as it was.
    assert all(then == said for then, said in earlier[:kept])
    assert LayeredMap.of(plain) == grown == LayeredMap.of(grown)


def test_few_layers_are_looked_through_and_few_entries_are_copied():
    grown, copied = LayeredMap(), 0
    for number in range(4096):
        before = {id(layer) for layer in grown._layers}
        grown = grown.plus({f"{number}": 1})
        copied += sum(len(layer) for layer in grown._layers if id(layer) not in before)
        assert len(grown._layers) <= 13
    assert copied <= 4096 * 13
