"""Whether lanes still say anything: an engine whose worker died may wait for it for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from reembed.errors import RunFailedError, StorageError
from reembed.storage.base import Storage

# A lane writes its note every two seconds, whatever it waits for; what may keep it from that for
# minutes is a call to the service with all its repeats.
SILENCE_SECONDS = 900.0
_LOOK_SECONDS = 30.0


class Silence:
    """Raises when lanes that have spoken have not changed their notes for too long.

    Before the first note nothing is judged: engines take from seconds to hours to begin.

    Args:
        storage: of the run directory.
        notes: the prefix of the lanes' notes.
        seconds: how long is too long.
        every: seconds between looks.
        now: a clock that never goes back.
    """

    def __init__(
        self,
        storage: Storage,
        notes: str,
        seconds: float = SILENCE_SECONDS,
        every: float = _LOOK_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage, self._notes, self._seconds = storage, notes, seconds
        self._every, self._now = every, now
        self._looked, self._since = float("-inf"), 0.0
        self._seen: Mapping[str, str] = {}

    def __call__(self) -> None:
        """Look, if the last look is old enough.

        Raises:
            RunFailedError: nothing has moved for too long.
        """
        now = self._now()
        if now - self._looked < self._every:
            return
        self._looked = now
        try:
            seen = {stat.uri: stat.generation for stat in self._storage.list(self._notes)}
        except StorageError:
            return
        if not seen or seen != self._seen:
            self._seen, self._since = seen, now
        elif now - self._since >= self._seconds:
            raise RunFailedError(
                f"no lane has said anything for {(now - self._since) / 60:,.0f} minutes: a worker "
                "has died, and the engine waits for it; the same command goes on"
            )
