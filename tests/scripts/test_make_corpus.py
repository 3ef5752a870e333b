"""The demo corpus: the same on every run, within its bounds, its texts what they claim to be."""

import math
import re
from collections import Counter
from itertools import pairwise

import lxml.html
import numpy as np
import pytest

FOLDERS = {"texts", "pictures", "sounds", "films", "documents", "broken"}
FAMILIES = 12
"""Subjects with three or more English texts."""


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def subject(path):
    return re.split(r"[-_ ,.]", path.name)[0]


def family_texts(corpus):
    """Return the English texts of subjects that have several, with markup taken off."""
    paths = [path for path in sorted(corpus.glob("texts/*")) if path.name.isascii()]
    sizes = Counter(map(subject, paths))
    return {
        path: re.sub(r"(?s)<(head|nav|footer).*?</\1>|<[^>]+>", "", path.read_text("utf-8"))
        for path in paths
        if sizes[subject(path)] > 2
    }


@pytest.mark.slow
def test_two_runs_give_the_same_bytes_and_texts_only_adds(corpus, run_make_corpus, tmp_path):
    done = run_make_corpus("again", "--texts", "1050", cwd=tmp_path, hash_seed="77")
    assert done.returncode == 0, done.stderr
    again = contents(tmp_path / "again")
    notes = {path: again.pop(path) for path in list(again) if path.startswith("texts/notes/")}
    assert again == contents(corpus)
    assert len(notes) == 1050
    assert len(set(notes.values())) == 1050
    assert {path.split("/")[2] for path in notes} == {"0000", "0001"}
    assert all(150 < len(note) < 1500 for note in notes.values())


@pytest.mark.slow
def test_another_seed_draws_other_media_and_keeps_what_was_written(
    corpus, run_make_corpus, tmp_path
):
    assert run_make_corpus(tmp_path, "--seed", "1").returncode == 0
    ours, other = contents(corpus), contents(tmp_path)
    assert ours.keys() == other.keys()
    changed = {path for path in ours if ours[path] != other[path]}
    assert {"pictures/sunset 1.png", "sounds/rain-1.mp3", "films/bouncing ball.mp4"} <= changed
    assert [path for path in changed if path.startswith("texts/")] == [
        "texts/The lamp at Skarvøy.md"
    ]


def test_the_summary_is_one_line_and_true(first_run):
    folder, printed = first_run
    files = contents(folder)
    assert printed.count("\n") == 1
    assert f"{len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB" in printed
    for name in FOLDERS:
        count = sum(path.startswith(f"{name}/") for path in files)
        assert f"{count} {name}" in printed


def test_the_corpus_is_small_and_has_every_folder(corpus):
    files = contents(corpus)
    counts = Counter(path.split("/")[0] for path in files)
    assert counts.keys() == FOLDERS
    assert 48 <= counts["texts"] <= 64
    assert counts["pictures"] >= 15
    assert counts["sounds"] >= 12
    assert sum(map(len, files.values())) < 15_000_000


@pytest.mark.parametrize("character", [" ", "#", "[1]", "%", ",", "ö", "お", "ن", "🧺"])
def test_names_hold_awkward_characters(corpus, character):
    assert any(character in path for path in contents(corpus))


def test_no_two_good_files_are_the_same(corpus):
    good = [data for path, data in contents(corpus).items() if not path.startswith("broken/")]
    assert len(set(good)) == len(good)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a file"], "a file is a file: give the name of a folder"),
        (["folder", "--texts", "-1"], "-1 is negative: give 0 or more"),
        (["folder", "--seed", "many"], "many"),
    ],
)
def test_a_wrong_command_line_ends_with_a_remedy(run_make_corpus, tmp_path, arguments, said):
    (tmp_path / "a file").write_text("in the way")
    done = run_make_corpus(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "folder").exists()


def test_every_plain_text_is_utf_8_but_the_two_that_are_not(corpus):
    others = []
    for path in sorted(corpus.glob("texts/*")):
        try:
            assert path.read_bytes().decode("utf-8").strip()
        except UnicodeDecodeError:
            others.append(path.name)
    assert others == ["brötchen-am-sonntag.txt", "сад-яблони.txt"]


def test_the_other_encodings_are_what_they_should_be(corpus):
    cyrillic = (corpus / "texts" / "сад-яблони.txt").read_bytes()
    assert cyrillic.startswith(b"\xff\xfe")
    assert cyrillic.decode("utf-16").startswith("Яблоню сажают осенью")
    german = (corpus / "texts" / "brötchen-am-sonntag.txt").read_bytes().decode("cp1252")
    assert "„wie vom Bäcker“" in german
    assert "0,60 €" in german
    picnic = (corpus / "texts" / "picnic 🧺 plan.txt").read_bytes()
    assert picnic.startswith(b"\xef\xbb\xbf")
    assert "👩🏽‍🍳" in picnic.decode("utf-8-sig")


def test_web_pages_have_a_title_and_what_must_not_count(corpus):
    pages = sorted(corpus.glob("texts/*.html"))
    assert len(pages) >= 4
    for page in pages:
        tree = lxml.html.fromstring(page.read_bytes())
        assert tree.findtext(".//title") == tree.findtext(".//h1")
        for name in ("script", "style", "nav", "footer"):
            assert tree.find(f".//{name}").text_content().strip()
        paragraphs = tree.findall(".//article/p")
        assert len(paragraphs) == 2
        assert all(len(paragraph.text) > 200 for paragraph in paragraphs)


def test_markdown_begins_with_a_heading(corpus):
    notes = sorted(corpus.glob("texts/*.md"))
    assert len(notes) >= 12
    assert all(path.read_text("utf-8").startswith("# ") for path in notes)


def test_the_source_code_compiles_and_runs(corpus):
    path = corpus / "texts" / "compiler_tokens.py"
    names = {}
    exec(compile(path.read_text("utf-8"), path.name, "exec"), names)
    assert names["parse_sum"](list(names["tokens"]("12 + 30 - 2"))) == 40


def test_the_long_text_is_longer_than_three_chunks_and_does_not_repeat_itself_soon(corpus):
    story = (corpus / "texts" / "The lamp at Skarvøy.md").read_text("utf-8")
    assert len(story.split()) > 4000
    assert re.findall(r"^## (.*)", story, re.MULTILINE) == [
        "October", "November", "December", "January", "February", "March", "April",
    ]  # fmt: skip
    entries = re.findall(r"^\*\*(\d+ \w+)\.\*\* (.*)", story, re.MULTILINE)
    assert len({date for date, _ in entries}) == len(entries) > 40
    sentences = [set(re.split(r"(?<=[.;]) ", entry)) for _, entry in entries]
    assert not any(a & b for a, b in pairwise(sentences))


def test_there_are_a_dozen_subjects_with_several_texts_each(corpus):
    texts = family_texts(corpus)
    assert len(set(map(subject, texts))) == FAMILIES
    assert all(60 < len(text.split()) < 200 for text in texts.values())


def test_the_nearest_text_by_shared_letters_is_of_the_same_subject(corpus):
    paths, texts = zip(*family_texts(corpus).items(), strict=True)
    similar = cosines([four_letter_parts(text) for text in texts])
    np.fill_diagonal(similar, -1)
    nearest = [paths[index] for index in similar.argmax(axis=1)]
    kept = sum(subject(a) == subject(b) for a, b in zip(paths, nearest, strict=True))
    assert kept >= 0.9 * len(paths)


def four_letter_parts(text):
    letters = " ".join(re.findall(r"\w+", text.lower()))
    return Counter(letters[start : start + 4] for start in range(len(letters) - 3))


def cosines(counts):
    """Return how alike the counts are, -1 to 1; a repeated part weighs by its logarithm."""
    columns = {part: number for number, part in enumerate(sorted(set().union(*counts)))}
    table = np.zeros((len(counts), len(columns)))
    for row, count in enumerate(counts):
        for part, times in count.items():
            table[row, columns[part]] = 1 + math.log(times)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return table @ table.T
