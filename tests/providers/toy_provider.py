"""A service of another package, in this process's memory: ``service: {provider: toy}``."""

import orjson

from reembed.providers.base import Job, MinimalProvider, MinimalService, RemoteFile
from reembed.providers.gemini.provider import CAPABILITIES
from reembed.providers.gemini.wire import GeminiWire
from reembed.registry import add

FILES: dict[str, bytes] = {}
JOBS: dict[str, Job] = {}


class ToyService(MinimalService):
    def upload(self, path, name, mime_type):
        FILES[name] = path.read_bytes()
        return RemoteFile(name, len(FILES[name]), mime_type)

    def create_from_file(self, model, display_name, file_name, priority):
        name = f"jobs/{len(JOBS)}"
        JOBS[name] = Job(name, display_name, "SUCCEEDED", "", input_file=file_name)
        return JOBS[name]

    get, list_jobs = JOBS.__getitem__, lambda self: iter(JOBS.values())

    def stream(self, job, receiver):
        for request in map(orjson.loads, FILES[job.input_file].splitlines()):
            letters = request["request"]["content"]["parts"][0]["text"].encode()
            vector = {"embedding": {"values": [float(letters.count(n)) for n in range(128)]}}
            receiver.write(orjson.dumps({"key": request["key"], "response": vector}) + b"\n")


class ToyProvider(MinimalProvider):
    capabilities, wire = CAPABILITIES, staticmethod(GeminiWire.of)

    def open(self, key):
        return ToyService()


add("reembed.providers", "toy", ToyProvider)
