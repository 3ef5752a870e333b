"""Backend of one emulated project: all its parts, connected over a state folder."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from weakref import WeakValueDictionary

from reembed_emulator.embedder import Embedder, FastVectors
from reembed_emulator.engine import Engine, ExecutionContext
from reembed_emulator.faults import Faults, load_faults
from reembed_emulator.files import Files, Uploads
from reembed_emulator.jobs import Jobs
from reembed_emulator.messages import EmbedRequest
from reembed_emulator.models import MODELS
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import Clock, Journal, StateFolder


class Backend:
    """Files, uploads, jobs, faults, journal and clock of one emulated project."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings
        self.faults = Faults(load_faults(settings.faults) if settings.faults else ())
        self._temporary = None if settings.state_dir else tempfile.TemporaryDirectory()
        root = Path(self._temporary.name) if self._temporary else Path(settings.state_dir or "")
        self.state = StateFolder(root)
        self.clock = Clock(self.state.offset())
        self.files = Files(self.state, self.clock, settings)
        self.uploads = Uploads(self.state, self.files, settings)
        # One lock for each upload that is being written to; it goes when its last request ends.
        self.writers: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.jobs = Jobs(self.state, self.clock, settings, self.files)
        self.journal = Journal(self.state.journal)
        self.embedder = Embedder()
        self.fast = FastVectors() if settings.fast_vectors else None
        self.engine = Engine(self.jobs, self.files, self.state, self.clock, settings)

    def start(self) -> None:
        """Begin to work on jobs."""
        context = ExecutionContext(
            embedder=self.embedder,
            fast=self.fast,
            resolve=self.files.resolve,
            shuffle=self.settings.shuffle_results,
            echo_metadata=self.settings.echo_metadata,
        )
        self.engine.start(context)

    def close(self) -> None:
        """Stop working, close open files, and remove a temporary state folder."""
        self.engine.stop()
        self.journal.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def advance(self, seconds: float) -> None:
        """Move the clock forward; raise ValueError for a step backward."""
        self.clock.advance(seconds)
        self.state.save_offset(self.clock.offset)
        self.files.sweep()
        self.engine.wake()

    def count_tokens(self, request: EmbedRequest, model: str) -> int:
        """Return the tokens of a request, without decoding media."""
        if self.fast is not None:
            # Splitting 20,000 texts into words would be a good part of a run that measures their
            # reader.
            return self.fast.count_tokens(request)
        return self.embedder.count_tokens(request, MODELS[model], self.files.resolve)
