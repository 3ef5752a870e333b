from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import Any

import av
import httpx
import numpy as np
import pikepdf
import pytest
from PIL import Image

from reembed_emulator.embedder import Embedded, Embedder
from reembed_emulator.errors import RowError
from reembed_emulator.messages import Content, EmbedRequest, Part, parse
from reembed_emulator.models import MODELS
from reembed_emulator.server import EmulatorServer
from reembed_emulator.settings import EmulatorSettings
from support.waiting import DEADLINE, wait_until

QUICK: dict[str, Any] = {"port": 0, "pending_seconds": 0.05, "running_seconds": 0.05}
MODEL = "gemini-embedding-2"


def text_request(text, **fields):
    return {"content": {"parts": [{"text": text}]}, "outputDimensionality": 128, **fields}


def to_lines(requests):
    rows = ({"key": f"k{i}", "request": request} for i, request in enumerate(requests))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class Api:
    """Client of the emulator with plain HTTP."""

    def __init__(self, server, **options):
        self.server = server
        options.setdefault("headers", {"x-goog-api-key": "secret-key"})
        self.http = httpx.Client(
            base_url=server.base_url, timeout=DEADLINE, verify=False, **options
        )
        # Chunks go without the key.
        self.bare = httpx.Client(base_url=server.base_url, timeout=DEADLINE, verify=False)

    def start_upload(self, size, name="", mime_type="application/jsonl", **headers):
        send = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(size),
            "X-Goog-Upload-Header-Content-Type": mime_type,
            **headers,
        }
        file = {"displayName": "input"} | ({"name": name} if name else {})
        return self.http.post("/upload/v1beta/files", json={"file": file}, headers=send)

    def send_chunk(self, url, data, offset, command="upload, finalize"):
        headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
        return self.bare.post(url, content=data, headers=headers)

    def upload(self, data, **options):
        started = self.start_upload(len(data), **options)
        assert started.status_code == 200, started.text
        done = self.send_chunk(started.headers["x-goog-upload-url"], data, 0)
        assert done.status_code == 200, done.text
        return done.json()["file"]

    def create(self, input_config, model=MODEL, name="job", **fields):
        batch = {"displayName": name, "inputConfig": input_config, **fields}
        path = f"/v1beta/models/{model}:asyncBatchEmbedContent"
        return self.http.post(path, json={"batch": batch})

    def create_file_job(self, requests, **options):
        data = requests if isinstance(requests, bytes) else to_lines(requests)
        return self.create({"fileName": self.upload(data)["name"]}, **options)

    def create_inline_job(self, requests, **options):
        rows = [
            {"request": request, "metadata": {"key": f"k{i}"}} for i, request in enumerate(requests)
        ]
        return self.create({"requests": {"requests": rows}}, **options)

    def get(self, name):
        return self.http.get(f"/v1beta/{name}").json()

    def wait(self, created, state=None):
        name = created.json()["name"] if hasattr(created, "json") else created

        def reached():
            operation = self.get(name)
            found = operation["metadata"]["state"]
            return operation if found == state or (not state and operation.get("done")) else None

        return wait_until(reached, f"{name} is {state or 'done'}")

    def wait_for_results(self, name):
        """Wait for a job whose Operation may be too large to get."""

        def succeeded():
            jobs = self.http.get("/emulator/jobs").json()["jobs"]
            (state,) = (job["state"] for job in jobs if job["name"] == name)
            return state == "BATCH_STATE_SUCCEEDED"

        wait_until(succeeded, f"{name} succeeds")

    def download(self, name):
        answer = self.http.get(f"/v1beta/{name}:download", params={"alt": "media"})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.content.splitlines()]

    def run(self, requests, **options):
        operation = self.wait(self.create_file_job(requests, **options))
        rows = self.download(operation["metadata"]["output"]["responsesFile"])
        return {row["key"]: row for row in rows}

    def row(self, request, **options):
        return self.run([request], **options)["k0"]

    def advance(self, seconds):
        answer = self.http.post("/emulator/advance", json={"seconds": seconds})
        assert answer.status_code == 200, answer.text

    def close(self):
        self.http.close()
        self.bare.close()

    def faults(self, *faults):
        answer = self.http.post("/emulator/faults", json=list(faults))
        assert answer.status_code == 200, answer.text


@pytest.fixture
def serve():
    """Start emulators that end with the test."""
    with ExitStack() as stack:

        def start(**settings):
            server = stack.enter_context(EmulatorServer(EmulatorSettings(**{**QUICK, **settings})))
            api = Api(server)
            stack.callback(api.close)
            return api

        yield start


@pytest.fixture
def open_folder(tmp_path):
    """Serve one state folder, over and over."""

    @contextmanager
    def start(**settings):
        chosen = EmulatorSettings(**{**QUICK, **settings}, state_dir=tmp_path)
        with EmulatorServer(chosen) as server:
            api = Api(server)
            yield api
            # Before the server stops: it waits for open connections.
            api.close()

    return start


class Process:
    """Emulator in a process of its own."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "reembed_emulator", "--port", "0", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        assert "no model" in line
        self.base_url = line.split(" ")[2]

    def end(self, how):
        self.process.send_signal(how)
        return self.process.wait(timeout=DEADLINE)

    def close(self):
        self.process.kill()
        self.process.wait(timeout=DEADLINE)
        self.process.stdout.close()


@pytest.fixture
def spawn():
    """Start emulator processes; gives each with a client."""
    with ExitStack() as stack:

        def start(*arguments):
            process = Process(*arguments)
            stack.callback(process.close)
            api = Api(process)
            stack.callback(api.close)
            return process, api

        yield start


@pytest.fixture(scope="module")
def api():
    """One emulator for the tests of a module that do not count."""
    with EmulatorServer(EmulatorSettings(**QUICK)) as server:
        shared = Api(server)
        yield shared
        shared.close()


@pytest.fixture(scope="session")
def request_of():
    return text_request


@pytest.fixture(scope="session")
def lines_of():
    return to_lines


class Maker:
    """Make small media in memory."""

    @staticmethod
    def image(color="red", kind="PNG", size=(40, 30)):
        out = io.BytesIO()
        Image.new("RGB", size, color).save(out, kind)
        return out.getvalue()

    @staticmethod
    def audio(hertz=440.0, seconds=1.0, kind="wav"):
        rate = 16000
        times = np.arange(int(rate * seconds)) / rate
        samples = (np.sin(2 * np.pi * hertz * times) * 12000).astype(np.int16)[None]
        out = io.BytesIO()
        with av.open(out, "w", format=kind) as container:
            stream = container.add_stream("pcm_s16le" if kind == "wav" else "libmp3lame", rate=rate)
            stream.layout = "mono"
            stream.format = "s16" if kind == "wav" else "s16p"
            frame = av.AudioFrame.from_ndarray(
                samples, format="s16" if kind == "wav" else "s16p", layout="mono"
            )
            frame.sample_rate = rate
            frame.pts = 0
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
        return out.getvalue()

    @staticmethod
    def video(color=(200, 30, 30), seconds=2, kind="mp4", codec="libx264"):
        out = io.BytesIO()
        with av.open(out, "w", format=kind) as container:
            stream = container.add_stream(codec, rate=2)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            image = np.full((48, 64, 3), color, np.uint8)
            for number in range(2 * seconds):
                image[:, number % 64] = 255
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                for packet in stream.encode(frame):
                    container.mux(packet)
            for packet in stream.encode(None):
                container.mux(packet)
        return out.getvalue()

    @staticmethod
    def pdf(*texts):
        document = pikepdf.new()
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        for text in texts:
            page = document.add_blank_page(page_size=(300, 300))
            page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
            body = f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode()
            page.Contents = document.make_stream(body)
        out = io.BytesIO()
        document.save(out)
        return out.getvalue()


@pytest.fixture(scope="session")
def make():
    return Maker


@pytest.fixture(scope="session")
def media_request():
    def build(*parts, text=None, dimensions=128):
        inline = [
            {"inlineData": {"mimeType": kind, "data": base64.b64encode(data).decode()}}
            for data, kind in parts
        ]
        texts = [{"text": text}] if text else []
        return {"content": {"parts": [*texts, *inline]}, "outputDimensionality": dimensions}

    return build


@pytest.fixture(scope="module")
def embed(media_request):
    """Embed media parts and a text without a server."""
    embedder = Embedder()

    def run(*parts, text=None) -> Embedded:
        request = parse(EmbedRequest, media_request(*parts, text=text, dimensions=3072))
        (done,) = embedder.embed([request], MODELS[MODEL], lambda uri: (b"", uri))
        if isinstance(done, RowError):
            raise done
        return done

    return run


def no_file(uri):
    raise AssertionError(uri)


@pytest.fixture(scope="session")
def vectors():
    """Embed texts without a server; gives one row a text."""
    embedder = Embedder()

    def run(*texts, model=MODEL, dimensions=3072):
        requests = [
            EmbedRequest(content=Content(parts=[Part(text=text)]), output_dimensionality=dimensions)
            for text in texts
        ]
        done = embedder.embed(requests, MODELS[model], no_file)
        assert all(isinstance(item, Embedded) for item in done)
        return np.stack([item.values for item in done])

    return run
