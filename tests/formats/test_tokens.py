"""The token estimate: its exact properties, its byte bound, and known orders of magnitude."""

import base64
import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.formats.tokens import estimate_tokens

# Mixed so that runs, spaces, changes of case and of script, and repeats all meet.
ALPHABETS = st.sampled_from(
    [
        "aeThQxz  ",
        "ab \n\t-=",
        "дЖё ab1",
        "中文 あア한국",
        "éßŁ ệ",
        "สวัส 🙂\u200d\ufe0f",
        "\ud800\x00 a",
    ]
)
PIECES = st.lists(ALPHABETS.flatmap(lambda a: st.text(alphabet=a, max_size=12)), max_size=5)
TEXTS = st.one_of(st.text(max_size=60), PIECES.map("".join))


@settings(max_examples=400)
@given(TEXTS, TEXTS)
def test_subadditive_and_monotone(a, b):
    whole = estimate_tokens(a + b)
    assert estimate_tokens(a) <= whole <= estimate_tokens(a) + estimate_tokens(b)


@given(TEXTS)
def test_between_nothing_and_the_bytes(text):
    tokens = estimate_tokens(text)
    assert (tokens == 0) == (text == "")
    # Byte fallback is the worst a tokenizer can do; a run of letters may round up once.
    assert tokens <= len(text.encode("utf-8", "surrogatepass"))


@given(st.text(alphabet=st.characters(min_codepoint=0x1F000), min_size=1, max_size=30))
def test_what_may_miss_in_a_vocabulary_counts_as_its_bytes(text):
    assert estimate_tokens(text) == len(text.encode("utf-8"))


@pytest.mark.parametrize("text", ["𓀀", "ꙮ", "龘", "ᚠᛇ", "\u0301", "🏽", "\u200d", "\x07", "ሀ"])
def test_rare_characters_fall_back_to_bytes(text):
    assert estimate_tokens(text) == len(text.encode("utf-8"))


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("", 0),
        ("a", 1),
        ("1234567890", 10),
        ("in 2024", 6),  # in, ▁, 2, 0, 2, 4
        ("中国", 2),
        ("…“”", 3),
        ("the a", 3),  # "the" counts 1.2
        ("\r\n", 2),
        ("👨‍👩‍👧", 18),  # three of four bytes, two joiners of three
    ],
)
def test_known_counts(text, exact):
    assert estimate_tokens(text) == exact


# (text, tokens that large multilingual tokenizers are known to need: lower and upper bounds for
# the estimate). The upper bounds guard against waste, the lower against silent truncation.
ORDERS = [
    ("The quick brown fox jumps over the lazy dog, and then it sleeps in the sun.", 17, 28),
    ("All human beings are born free and equal in dignity and rights.", 13, 24),
    ("Donaudampfschifffahrtsgesellschaftskapitän", 12, 24),
    ("Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch", 22, 40),
    ("Все люди рождаются свободными и равными в своём достоинстве и правах.", 20, 45),
    ("人人生而自由，在尊严和权利上一律平等。", 13, 25),
    ("すべての人間は、生まれながらにして自由であり", 12, 25),
    ("모든 인간은 태어날 때부터 자유로우며", 10, 22),
    ("يولد جميع الناس أحرارا متساوين في الكرامة والحقوق", 14, 32),
    ("सभी मनुष्यों को गौरव और अधिकारों के मामले में", 14, 34),
    ("มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน", 14, 32),
    ("https://example.com/a/b?c=d&e=f#g", 18, 32),
    ("    return self.items[index] + 1", 10, 18),
]


@pytest.mark.parametrize(("text", "low", "high"), ORDERS)
def test_orders_of_magnitude(text, low, high):
    assert low <= estimate_tokens(text) <= high


def test_random_codes_are_not_taken_for_prose():
    noise = random.Random(3)
    coded = base64.b64encode(noise.randbytes(3000)).decode()
    assert estimate_tokens(coded) >= 0.66 * len(coded)  # about 1.5 characters a token at best
    letters = "".join(noise.choices("abcdefghijklmnopqrstuvwxyz", k=4000))
    assert estimate_tokens(letters) >= 0.5 * len(letters)
    assert estimate_tokens(noise.randbytes(500).hex()) >= 0.75 * 1000


def test_decomposed_letters_count_no_less():
    text = "Zażółć gęślą jaźń, hôtel à Noël"
    assert estimate_tokens(unicodedata.normalize("NFD", text)) >= estimate_tokens(text)


def test_runs_are_cheap_but_not_free():
    assert 2 <= estimate_tokens(" " * 31) <= 5
    assert estimate_tokens("\n" * 310) >= 10
    assert estimate_tokens("=" * 80) <= 41


def test_long_texts_are_counted_in_blocks():
    text = "Some words of prose, and 12 numbers.\n" * 60_000
    assert len(text) > 2 << 20
    once = estimate_tokens("Some words of prose, and 12 numbers.\n")
    assert 0.9 * once * 60_000 <= estimate_tokens(text) <= once * 60_000


@pytest.mark.parametrize(
    ("part", "more"),
    [
        ("ab", "CD"),
        ("the ", "end"),
        (" ", " x"),
        ("--", "--"),
        ("пр", "ивет"),
        ("a", "е"),
        ("1", "2"),
    ],
)
def test_cutting_anywhere_never_lowers_the_sum(part, more):
    whole = estimate_tokens(part + more)
    assert max(estimate_tokens(part), estimate_tokens(more)) <= whole
    assert whole <= estimate_tokens(part) + estimate_tokens(more)


def test_english_prose_is_not_counted_wastefully():
    words = (
        "When in the course of human events it becomes necessary for one people to dissolve the "
        "political bands which have connected them with another, and to assume among the powers "
        "of the earth the separate and equal station to which the laws of nature entitle them, a "
        "decent respect to the opinions of mankind requires that they should declare the causes."
    )
    # Near one token a word and a mark: 66 words, four marks.
    usual = len(words.split()) + words.count(",") + 1
    assert usual <= estimate_tokens(words) <= 1.9 * usual
