"""A configuration for a verb, with what the environment says of its service written into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reembed.errors import UsageError
from reembed.runs.loading import load_from, load_service_config
from support.gcs import GcsServer
from support.servers import environment_set

TEXT = 'name: a\nsource: {files: ["./corpus/**"]}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(TEXT)
    return tmp_path / "job.yaml"


def test_a_file_is_loaded_with_overrides_and_a_run_directory(path: Path) -> None:
    loaded = load_from(str(path), ["batch.max_requests=7"], "/elsewhere")
    assert loaded.config.batch.max_requests == 7
    assert loaded.config.run_dir == "/elsewhere"
    assert loaded.base == path.parent


def test_the_vendors_variable_is_written_down(path: Path) -> None:
    with environment_set({"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:8780"}):
        service = load_service_config(str(path), (), None).config.service
        assert service.base_url == "http://127.0.0.1:8780"
        given = load_service_config(str(path), ["service.base_url=http://127.0.0.1:1"], None)
    assert given.config.service.base_url == "http://127.0.0.1:1"


@pytest.mark.gcs
def test_an_object_is_loaded_as_a_file_of_the_current_folder(gcs_server: GcsServer) -> None:
    from reembed.storage.open import open_storage

    open_storage().put("gs://tests/loading/job.yaml", TEXT.encode())
    open_storage().put("gs://tests/loading/odd.yaml", b"name: \xff\n")
    assert load_from("gs://tests/loading/job.yaml", (), None).base == Path.cwd()
    with pytest.raises(UsageError, match="there is no such object"):
        load_from("gs://tests/loading/none.yaml", (), None)
    with pytest.raises(UsageError, match="not UTF-8 at byte 6"):
        load_from("gs://tests/loading/odd.yaml", (), None)
