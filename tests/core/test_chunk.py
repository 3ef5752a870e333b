"""From items to chunks: dispatch, lineage, hashes, and rejects for all that is wrong."""

import hashlib
import io
import random
import subprocess
import sys

import pytest

from reembed.core.chunk import chunk_item, rejected_item
from reembed.errors import StorageError
from reembed.formats.recognise import recognise
from reembed.formats.signatures import HEAD_BYTES
from reembed.types import Reject

PROSE = b"One sentence of words. Another one follows.\n\n" * 200
MEDIA = {
    "PNG": "image",
    "JPEG": "image",
    "WebP": "image",
    "WAV": "audio",
    "MP3": "audio",
    "M4A": "audio",
    "FLAC": "audio",
    "OGG": "audio",
    "MP4": "video",
    "MOV": "video",
    "WebM": "video",
    "PDF": "pdf",
    "HTML": "text",
    "Markdown": "text",
    "text": "text",
}


@pytest.mark.parametrize(("label", "modality"), MEDIA.items())
def test_every_kind_becomes_chunks(files, chunks_of, label, modality):
    result = chunks_of(files[label], "noname")
    assert [chunk.reject for chunk in result.chunks] == [None]
    chunk = result.chunks[0]
    assert chunk.modality == modality
    assert (chunk.text is None) == (chunk.recipe is not None) == (modality != "text")
    known = recognise(files[label][:HEAD_BYTES], "noname").format
    assert chunk.chunker == known.version_for(modality)
    assert chunk.tokens > 0
    assert (result.extracted is not None) == (label == "HTML")


def test_lineage_and_parts(chunks_of, policy_of):
    policy = policy_of(text={"max_tokens": 100, "overlap_tokens": 20})
    chunks = chunks_of(PROSE, "some_notes.txt", policy).chunks
    assert [chunk.part for chunk in chunks] == list(range(len(chunks)))
    assert {chunk.parts for chunk in chunks} == {len(chunks)}
    assert len(chunks) > 10
    first = chunks[0]
    assert (first.key, first.uri) == ("some_notes.txt", "/data/some_notes.txt")
    assert (first.position.index, first.generation, first.title) == (7, "g1", "some notes")
    assert {chunk.source_hash for chunk in chunks} == {hashlib.sha256(PROSE).hexdigest()}
    assert len({chunk.content_hash for chunk in chunks}) == 1
    text = PROSE.decode()
    assert all(text[int(c.start) : int(c.end)] == c.text for c in chunks)


def test_the_content_hash_covers_what_changes_the_vector(chunks_of, policy_of):
    def hash_of(data=PROSE, name="a.txt", model=None, **chunking):
        return chunks_of(data, name, policy_of(model, **chunking)).chunks[0].content_hash

    others = {
        hash_of(),
        hash_of(PROSE + b"."),
        hash_of(name="b.txt"),  # another title is sent
        hash_of(text={"max_tokens": 500}),
        hash_of(text={"title": False}),
        hash_of(model={"dimensions": 1536}),
        hash_of(model={"task": "clustering"}),
        hash_of(model={"name": "gemini-embedding-001"}),
    }
    assert len(others) == 8
    assert hash_of() == hash_of(audio={"max_seconds": 60}, pdf={"max_pages": 2})
    clustering = {"task": "clustering"}
    assert hash_of(model=clustering) == hash_of(name="b.txt", model=clustering)


def test_names_and_tasks_are_not_sent_with_media(chunks_of, policy_of, files):
    data = files["PNG"]
    one, two = chunks_of(data, "a_b.png").chunks[0], chunks_of(data, "c.png").chunks[0]
    assert (one.title, two.title) == ("a b", "c")
    assert one.content_hash == two.content_hash
    task = policy_of(model={"task": "clustering"})
    assert chunks_of(data, "c.png", task).chunks[0].content_hash == two.content_hash


def test_a_given_title_goes_before_the_found_one(item_of, policy_of):
    item = item_of("a.md", title="Given")
    chunk = chunk_item(item, io.BytesIO(b"# Head\n\ntext"), policy_of()).chunks[0]
    assert chunk.title == "Given"


def test_a_disagreeing_name_is_a_warning_on_each_row(chunks_of, files):
    chunk = chunks_of(files["PNG"], "photo.jpg").chunks[0]
    assert chunk.reject is None
    assert chunk.warnings == ("named .jpg, holds PNG",)


def bad_files(files):
    return {
        "empty.txt": (b"", "empty_file", "no bytes"),
        "empty.png": (b"", "empty_file", "no bytes"),
        "blank.txt": (b" \n\t\n", "blank_text", "nothing to embed"),
        "random.txt": (random.Random(1).randbytes(5000), "not_text", "UTF-8"),
        "random.bin": (random.Random(1).randbytes(5000), "unsupported_type", "no known format"),
        "archive.zip": (files["a ZIP archive"], "unsupported_type", "unpack it"),
        "letter.docx": (files["a Word document"], "unsupported_type", "export it as PDF"),
        "half.png": (files["PNG"][: len(files["PNG"]) // 2], None, None),
        "header.wav": (files["WAV"][:44], None, None),
        "half.mp4": (files["MP4"][: len(files["MP4"]) // 2], None, None),
        "half.pdf": (files["PDF"][: len(files["PDF"]) // 3], None, None),
    }


@pytest.mark.parametrize(
    "name",
    bad_files(dict.fromkeys(("a ZIP archive", "a Word document", "PNG", "WAV", "MP4", "PDF"), b"")),
)
def test_bad_input_is_one_reject_that_says_why(files, chunks_of, name):
    data, code, words = bad_files(files)[name]
    chunks = chunks_of(data, name).chunks
    assert len(chunks) == 1
    chunk = chunks[0]
    assert chunk.reject is not None
    assert (chunk.part, chunk.parts, chunk.tokens, chunk.reject.stage) == (0, 1, 0, "chunk")
    assert chunk.reject.code not in ("unreadable_media", "unsupported_type") or code
    assert chunk.source_hash == hashlib.sha256(data).hexdigest()
    if code is not None:
        assert chunk.reject.code == code
        assert words in chunk.reject.message


@pytest.mark.parametrize("label", ["PNG", "WAV", "MP4", "PDF"])
def test_what_the_model_does_not_take_is_a_reject_with_a_remedy(files, chunks_of, policy_of, label):
    policy = policy_of(model={"name": "gemini-embedding-001"})
    reject = chunks_of(files[label], "x", policy).chunks[0].reject
    assert reject is not None
    assert reject.code == "modality_unsupported"
    assert "gemini-embedding-001 takes no" in reject.message
    assert "choose gemini-embedding-2" in reject.message


def test_a_rejected_item_of_a_caller(item_of):
    chunks = rejected_item(item_of("a.txt"), "vanished", "it is gone; list anew", "open").chunks
    assert len(chunks) == 1
    assert chunks[0].reject == Reject("vanished", "it is gone; list anew", "open")
    assert (chunks[0].modality, chunks[0].key, chunks[0].part) == ("unknown", "a.txt", 0)


class Failing(io.BytesIO):
    """A source whose reading fails with a given error after some bytes."""

    def __init__(self, data, error, after=0):
        super().__init__(data)
        self.error, self.left = error, after

    def read(self, size=-1):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().read(size)


@pytest.mark.parametrize("error", [OSError("disk"), StorageError("bucket")])
def test_a_failing_source_is_the_callers_matter(item_of, policy_of, error):
    with pytest.raises(type(error)):
        chunk_item(item_of("a.txt"), Failing(PROSE, error), policy_of())


def test_a_storage_error_while_cutting_is_the_callers_matter_too(item_of, policy_of):
    source = Failing(PROSE, StorageError("bucket"), after=3)
    with pytest.raises(StorageError, match="bucket"):
        chunk_item(item_of("a.txt"), source, policy_of())


def test_anything_unexpected_becomes_a_reject_that_names_it(item_of, policy_of):
    source = Failing(PROSE, ArithmeticError("odd"), after=3)
    reject = chunk_item(item_of("a.txt"), source, policy_of()).chunks[0].reject
    assert reject is not None
    assert reject.code == "unreadable_media"
    assert "text could not be read (ArithmeticError: odd)" in reject.message


def test_text_loads_no_media_library():
    program = (
        "import io, sys\n"
        "from reembed.config.schema import Config\n"
        "from reembed.core.chunk import chunk_item\n"
        "from reembed.formats.policy import ChunkPolicy\n"
        "from reembed.types import Item, Position\n"
        "raw = {'name': 'x', 'source': {'files': ['a']}}\n"
        "policy = ChunkPolicy.of(Config.model_validate(raw))\n"
        "item = Item('a', 'a.txt', Position(0), 4, 'g')\n"
        "assert chunk_item(item, io.BytesIO(b'text'), policy).chunks[0].reject is None\n"
        "loaded = {'av', 'PIL', 'pikepdf', 'trafilatura', 'apache_beam'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def mutated(data, noise):
    """Damage a file as disks, networks and attackers do."""
    raw = bytearray(data)
    for _ in range(noise.choice((1, 3, 30))):
        raw[noise.randrange(min(len(raw), noise.choice((64, 1024, 1 << 20))))] = noise.randrange(
            256
        )
    how = noise.randrange(4)
    if how == 0:
        del raw[noise.randrange(1, len(raw)) :]
    elif how == 1:
        at = noise.randrange(len(raw))
        raw[at:at] = noise.randbytes(noise.randrange(1, 300))
    return bytes(raw)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_end_as_chunks_or_rejects(files, chunks_of, policy_of, seed):
    noise = random.Random(seed)
    policy = policy_of(text={"max_tokens": 32, "overlap_tokens": 8})
    for label, data in files.items():
        name = noise.choice(("x", "x.txt", "x.html", f"x.{label.lower()}"))
        result = chunks_of(mutated(data, noise), name, policy)
        assert len(result.chunks) >= 1
        for part, chunk in enumerate(result.chunks):
            assert (chunk.part, chunk.parts) == (part, len(result.chunks))
            # A message that names an exception's type is a case that its chunker should know.
            assert chunk.reject is None or chunk.reject.code != "unreadable_media", label
            assert chunk.reject is None or len(chunk.reject.message) > 20


def test_heads_longer_than_one_read_are_recognised(item_of, policy_of):
    class Trickling(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 100) if size > 0 else size)

    data = b"x" * 50 + b" words" * HEAD_BYTES
    chunks = chunk_item(item_of("a"), Trickling(data), policy_of()).chunks
    assert chunks[0].modality == "text"
    assert chunks[0].source_hash == hashlib.sha256(data).hexdigest()
