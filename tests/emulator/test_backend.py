from __future__ import annotations

import pytest

from reembed_emulator.backend import Backend
from reembed_emulator.messages import Content, EmbedRequest, Part
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import StateFolder

REQUEST = EmbedRequest(content=Content(parts=[Part(text="four words of text")]))


def test_a_temporary_folder_goes_with_its_project():
    backend = Backend(EmulatorSettings())
    backend.start()
    root = backend.state.root
    assert (root / "state.json").is_file()
    backend.close()
    assert not root.exists()


def test_a_given_folder_stays_and_keeps_the_clock(tmp_path):
    backend = Backend(EmulatorSettings(state_dir=tmp_path))
    backend.advance(60)
    with pytest.raises(ValueError, match="moves forward only"):
        backend.advance(-1)
    backend.close()
    assert StateFolder(tmp_path).offset() == 60


@pytest.mark.parametrize(("fast", "tokens"), [(False, 4), (True, 18 // 5)])
def test_tokens_are_counted_by_words_or_roughly(fast, tokens):
    backend = Backend(EmulatorSettings(fast_vectors=fast))
    assert backend.count_tokens(REQUEST, "gemini-embedding-2") == tokens
    backend.close()
