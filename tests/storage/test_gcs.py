"""What is particular to Cloud Storage: lost answers, retries, errors, credentials."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.storage.gcs import GcsStorage, client_for, gcs_errors, is_transient
from support.gcs import GcsServer
from support.place import Place
from support.proxy import start_proxy
from support.waiting import DEADLINE

pytestmark = pytest.mark.gcs


class Nth:
    """A rule that gives its verdict on the n-th upload only."""

    def __init__(self, verdict: str | int, nth: int = 1) -> None:
        self.verdict, self.left = verdict, nth

    def __call__(self, method: str, path: str) -> str | int | None:
        if not path.startswith("/upload/"):
            return None
        self.left -= 1
        return self.verdict if self.left == 0 else None


def test_create_whose_answer_was_lost_finds_its_own_object(gcs_url: str, gcs_place: Place) -> None:
    with start_proxy(gcs_url, Nth("lose")) as proxy:
        made = GcsStorage(proxy.url).create(gcs_place.at("claim"), b"mine")
        uploads = [line for line in proxy.seen if line.startswith("POST /upload")]

    assert len(uploads) == 2
    assert made == gcs_place.storage.stat(gcs_place.at("claim"))


def test_publish_whose_answer_was_lost_finds_its_own_object(
    gcs_url: str, gcs_place: Place, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(b"mine" * 1000)
    with start_proxy(gcs_url, Nth("lose")) as proxy:
        made = GcsStorage(proxy.url).publish(tmp_path / "part", gcs_place.at("part"))

    assert made == gcs_place.storage.stat(gcs_place.at("part"))


def test_lost_answer_does_not_make_another_ones_object_ours(
    gcs_url: str, gcs_place: Place, tmp_path: Path
) -> None:
    gcs_place.storage.create(gcs_place.at("claim"), b"theirs")
    (tmp_path / "part").write_bytes(b"mine")
    with start_proxy(gcs_url, Nth("lose")) as proxy, pytest.raises(AlreadyExistsError):
        GcsStorage(proxy.url).create(gcs_place.at("claim"), b"mine")
    with start_proxy(gcs_url, Nth("lose")) as proxy, pytest.raises(AlreadyExistsError):
        GcsStorage(proxy.url).publish(tmp_path / "part", gcs_place.at("claim"))
    assert gcs_place.storage.read(gcs_place.at("claim")) == b"theirs"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again(gcs_url: str, gcs_place: Place, status: int) -> None:
    with start_proxy(gcs_url, Nth(status)) as proxy:
        GcsStorage(proxy.url).put(gcs_place.at("a"), b"1")

    assert gcs_place.storage.read(gcs_place.at("a")) == b"1"


def test_long_uploads_carry_their_condition(gcs_url: str, gcs_place: Place, tmp_path: Path) -> None:
    """The stand-in does not enforce it on resumable uploads; the service does."""
    (tmp_path / "part").write_bytes(b"x" * (9 << 20))
    uri = gcs_place.at("part")
    with start_proxy(gcs_url, lambda _, path: 403 if "/upload/" in path else None) as proxy:
        storage = GcsStorage(proxy.url)
        with pytest.raises(StorageError, match=r"no permission to write \(403\)"):
            storage.publish(tmp_path / "part", uri)
        assert proxy.seen[-1].endswith("uploadType=resumable&ifGenerationMatch=0")

        old = gcs_place.storage.create(uri, b"").generation
        with pytest.raises(StorageError, match=r"grant the account roles/storage\.objectUser"):
            storage.publish(tmp_path / "part", uri, replace=old)
        assert proxy.seen[-1].endswith(f"uploadType=resumable&ifGenerationMatch={old}")


def test_long_upload_that_would_be_refused_is_not_begun(
    gcs_url: str, gcs_place: Place, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(b"x" * (9 << 20))
    with start_proxy(gcs_url, lambda *_: None) as proxy:
        with pytest.raises(AlreadyExistsError, match="expected generation 1234, found no object"):
            GcsStorage(proxy.url).publish(tmp_path / "part", gcs_place.at("a"), replace="1234")
        gcs_place.storage.put(gcs_place.at("a"), b"")
        with pytest.raises(AlreadyExistsError, match="expected no object, found generation"):
            GcsStorage(proxy.url).publish(tmp_path / "part", gcs_place.at("a"))
        assert not [line for line in proxy.seen if "/upload/" in line]


def test_every_write_is_one_conditional_request(gcs_url: str, gcs_place: Place) -> None:
    with start_proxy(gcs_url, lambda *_: None) as proxy:
        GcsStorage(proxy.url).create(gcs_place.at("a"), b"1")

    assert len(proxy.seen) == 1
    assert "uploadType=multipart&ifGenerationMatch=0" in proxy.seen[0]


def test_ranged_reads_ask_for_little(gcs_url: str, gcs_place: Place, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(12 << 20))
    gcs_place.storage.publish(tmp_path / "big", gcs_place.at("big"))
    with start_proxy(gcs_url, lambda *_: None) as proxy:
        with GcsStorage(proxy.url).open(gcs_place.at("big")) as source:
            for _ in range(100):
                source.read(10_000)
            source.seek(-100, 2)
            source.read()
        gets = [line for line in proxy.seen if line.startswith("GET")]

    # What it is, four megabytes for the hundred small reads, and the end.
    assert len(gets) == 3


def test_object_replaced_while_it_is_read_is_told(gcs_place: Place, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(9 << 20))
    gcs_place.storage.publish(tmp_path / "big", gcs_place.at("big"))
    with gcs_place.storage.open(gcs_place.at("big")) as source:
        source.read(10)
        gcs_place.storage.put(gcs_place.at("big"), b"other")
        source.seek(8 << 20)
        with pytest.raises(ObjectNotFoundError, match="big: no such object"):
            source.read(10)


def test_object_stored_compressed_reads_as_its_content(gcs_place: Place) -> None:
    bucket, _, name = gcs_place.at("z").removeprefix("gs://").partition("/")
    blob = client_for().bucket(bucket).blob(name)
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"plain text"))

    with gcs_place.storage.open(gcs_place.at("z")) as source:
        source.seek(6)
        assert source.read() == b"text"
    assert gcs_place.storage.read(gcs_place.at("z")) == b"plain text"


def test_missing_bucket_says_so(gcs_place: Place) -> None:
    storage = gcs_place.storage
    with pytest.raises(ObjectNotFoundError, match="gs://no-bucket/a: no such bucket; make it"):
        storage.create("gs://no-bucket/a", b"")
    with pytest.raises(ObjectNotFoundError, match="no such bucket; make it"):
        list(storage.list("gs://no-bucket/"))


def test_bucket_is_no_object_and_a_word_no_generation(gcs_place: Place, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError, match="a bucket, not an object"):
        gcs_place.storage.read("gs://tests")
    with pytest.raises(StorageError, match="'7-8' is not a generation"):
        gcs_place.storage.publish(tmp_path / "a", gcs_place.at("a"), replace="7-8")


def test_listing_goes_over_pages(gcs_url: str, gcs_place: Place) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: gcs_place.storage.put(gcs_place.at(f"{n:05}"), b""), range(1005)))

    names = [each.uri for each in gcs_place.storage.list(gcs_place.at(""))]

    assert names == [gcs_place.at(f"{number:05}") for number in range(1005)]


def test_forked_process_makes_its_own_client(gcs_place: Place) -> None:
    gcs_place.storage.put(gcs_place.at("a"), b"1")
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def look() -> None:
        before = client_for()
        answers.put((id(before), gcs_place.storage.read(gcs_place.at("a"))))

    child = context.Process(target=look)
    child.start()
    other, content = answers.get()
    child.join()

    assert content == b"1"
    assert other != id(client_for())
    assert client_for() is client_for()


def test_address_may_lack_its_scheme(gcs_url: str, gcs_place: Place) -> None:
    gcs_place.storage.put(gcs_place.at("a"), b"1")

    assert GcsStorage(gcs_url.removeprefix("http://")).read(gcs_place.at("a")) == b"1"


def test_missing_credentials_are_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as shut:
        shut.bind(("127.0.0.1", 0))
        metadata = f"127.0.0.1:{shut.getsockname()[1]}"
        names = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        environment |= {"CLOUDSDK_CONFIG": str(tmp_path), "GCE_METADATA_IP": metadata}
        environment |= {"GCE_METADATA_HOST": metadata, "GCE_METADATA_DETECT_RETRIES": "1"}
        code = "from reembed.storage.gcs import GcsStorage; GcsStorage().read('gs://a/b')"
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, timeout=DEADLINE
        )

    assert b"StorageError: no Google credentials: set GOOGLE_APPLICATION_CRED" in run.stderr
    assert b"gcloud auth application-default login" in run.stderr


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (api.Forbidden("no"), r"no permission to read \(403\); grant"),
        (api.Unauthorized("no"), r"no permission to read \(401\); grant"),
        (auth.RefreshError("expired"), "credentials were refused; run `gcloud auth"),
        (api.ServiceUnavailable("busy"), "check the network, then the same command resumes"),
        (ConnectionResetError("cut"), "check the network, then the same command resumes"),
        (api.RetryError("late", api.TooManyRequests("slow")), "check the network"),
        (api.BadRequest("bad name"), "gs://b/o: cannot read: 400 bad name"),
    ],
)
def test_foreign_errors_name_object_and_remedy(foreign: Exception, message: str) -> None:
    with pytest.raises(StorageError, match=message) as caught, gcs_errors("gs://b/o", "read"):
        raise foreign
    assert caught.value.__cause__ is foreign


@pytest.mark.parametrize(
    ("err", "expected"),
    [
        (api.TooManyRequests("x"), True),
        (api.GatewayTimeout("x"), True),
        (ConnectionResetError(), True),
        (auth.TransportError(ConnectionResetError()), True),
        (auth.TransportError("unknown"), False),
        (api.PreconditionFailed("x"), False),
        (api.NotFound("x"), False),
        (ValueError(), False),
    ],
)
def test_only_what_may_pass_is_sent_again(err: Exception, expected: bool) -> None:
    assert is_transient(err) is expected


def test_server_makes_buckets(gcs_server: GcsServer) -> None:
    bucket = gcs_server.make_bucket("another")

    assert list(GcsStorage().list(bucket)) == []
