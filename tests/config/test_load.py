"""Files, folders and mappings become configurations, or one line that says what to do."""

import os
from pathlib import Path

import pytest

from reembed.config.load import config_from_mapping, load_config, resolve_place
from reembed.errors import ConfigError, UsageError

HANDBOOK = """\
name: handbook-2026
run_dir: ./runs/handbook-2026        # ledger, vectors, rejects, logs: a folder or gs://bucket/prefix
source:
  files: ["./corpus/**"]
model:
  name: gemini-embedding-2
  dimensions: 768
  task: retrieval_document
chunking:
  text: {max_tokens: 1024, overlap_tokens: 128}
  audio: {max_seconds: 180, overlap_seconds: 5}
  video: {max_seconds: 120, overlap_seconds: 4, soundtrack: drop}
  pdf: {max_pages: 6, overlap_pages: 1}
batch:
  input: auto                        # inline | file | auto
  max_requests: 10000
  max_tokens: auto                   # of one job; auto = a fraction of enqueued_tokens
  max_input_mb: 512
  max_result_mb: 256
  concurrent_jobs: 100
  enqueued_tokens: 5000000
  file_storage_gb: 20
  priority: 0
  poll_seconds: [15, 300]
budget:
  max_usd: 25
service:
  base_url: http://127.0.0.1:8901    # leave out for the real service
  api_version: v1beta
destination:
  parquet: {compression: zstd}
"""

LEAST = 'name: a\nsource: {files: ["./corpus/**"]}\n'
EXAMPLES = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def write(folder: Path, text: str | bytes, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_config(path, overrides)
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def test_the_documented_configuration_loads_verbatim(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, HANDBOOK))
    config = loaded.config
    assert config.name == "handbook-2026"
    assert config.run_dir == str(tmp_path / "runs/handbook-2026")
    assert config.source.files == ("./corpus/**",)
    assert config.model.dimensions == 768
    assert config.chunking.video.soundtrack == "drop"
    assert config.chunking.pdf.overlap_pages == 1
    assert config.batch.max_tokens == "auto"
    assert config.batch.enqueued_tokens == 5_000_000
    assert config.batch.poll_seconds == (15.0, 300.0)
    assert config.budget.max_usd == 25
    assert config.service.base_url == "http://127.0.0.1:8901"
    assert config.destination.parquet.compression == "zstd"


def test_the_shipped_handbook_is_the_documented_one() -> None:
    handbook = next(path for path in EXAMPLES if path.name == "handbook.yaml")
    assert handbook.read_text(encoding="utf-8") == HANDBOOK


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    assert load_config(path).config.name


def test_the_demo_lies_in_the_repository() -> None:
    demo = next(path for path in EXAMPLES if path.name == "demo.yaml")
    loaded = load_config(demo)
    assert loaded.config.run_dir == str(demo.parents[1] / ".demo/run")
    assert loaded.base == demo.parent


def test_the_real_service_example_has_no_address_and_lies_in_a_bucket() -> None:
    loaded = load_config(next(path for path in EXAMPLES if path.name == "real-service.yaml"))
    assert loaded.config.service.base_url is None
    assert loaded.config.run_dir.startswith("gs://")


def test_only_name_and_source_are_required(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, LEAST))
    assert loaded.config.run_dir == str(tmp_path / "runs/a")
    assert loaded.config.batch.enqueued_tokens == 500_000
    assert loaded.config.budget.max_usd is None
    assert loaded.base == tmp_path
    assert loaded.path == tmp_path / "job.yaml"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, b"\xef\xbb\xbf" + LEAST.encode())).config.name == "a"


def test_a_relative_path_of_the_file_gives_an_absolute_base(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST)
    relative = Path(os.path.relpath(path))
    assert load_config(relative).base == tmp_path


def test_run_dir_as_an_option_starts_from_the_current_directory(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST + "run_dir: ./other\n")
    assert load_config(path).config.run_dir == str(tmp_path / "other")
    assert load_config(path, run_dir="here").config.run_dir == str(Path.cwd() / "here")
    assert load_config(path, run_dir="gs://b/p").config.run_dir == "gs://b/p"


@pytest.mark.parametrize(
    ("place", "resolved"),
    [
        ("gs://bucket/a b", "gs://bucket/a b"),
        ("gs://bucket/prefix/", "gs://bucket/prefix"),
        ("gs://bucket", "gs://bucket"),
        ("/data/run/", "/data/run"),
        ("../run", "/srv/run"),
        ("runs/[1] 100% ü#", "/srv/base/runs/[1] 100% ü#"),
    ],
)
def test_places_become_absolute(place: str, resolved: str) -> None:
    assert resolve_place(place, Path("/srv/base")) == resolved


def test_a_tilde_is_the_home_folder() -> None:
    assert resolve_place("~/runs", Path("/srv")) == str(Path.home() / "runs")


@pytest.mark.parametrize("place", ["gs://", "gs:///a", "s3://bucket/a", "file:///tmp/a"])
def test_places_of_other_kinds_are_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="gs://bucket/prefix") as caught:
        resolve_place(place, Path("/srv"))
    assert caught.value.key == "run_dir"


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no such file" in message(tmp_path / "none.yaml")


def test_a_folder(tmp_path: Path) -> None:
    assert "not a file; give the YAML file in it" in message(tmp_path)


def test_a_file_as_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST)
    assert "not a file" in message(path / "job.yaml")


@pytest.mark.parametrize("text", ["", "  \n", "# only words\n", "---\n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    assert "job.yaml: empty; start from configs/handbook.yaml" in message(write(tmp_path, text))


@pytest.mark.parametrize(("text", "what"), [("- a\n- b\n", "a list"), ("name\n", "a single value")])
def test_not_a_mapping(tmp_path: Path, text: str, what: str) -> None:
    assert f"{what}, not keys with values" in message(write(tmp_path, text))


def test_not_utf8(tmp_path: Path) -> None:
    assert "not UTF-8 at byte 6" in message(write(tmp_path, b"name: \xff\n"))


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    text = LEAST + "batch:\n  max_requests: 5\n  priority: 1\n  max_requests: 6\n"
    found = message(write(tmp_path, text))
    assert "job.yaml:6:3: max_requests stands twice, in lines 4 and 6; keep one of them" in found


def test_merge_keys_are_no_doubles(tmp_path: Path) -> None:
    text = LEAST + "batch:\n  <<: {max_requests: 5, priority: 2}\n  max_requests: 6\n"
    batch = load_config(write(tmp_path, text)).config.batch
    assert (batch.max_requests, batch.priority) == (6, 2)


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("name: a\nsource: {files: [\n", "job.yaml:3:1", "check indentation, colons and quotes"),
        ("name: a\nsource:\n\tfiles: []\n", "job.yaml:3:1", "spaces instead of tabs"),
        ("name: a\n---\nname: b\n", "job.yaml:2:1", "one document"),
        ("name: a\n  b: c\n", "job.yaml:2:4", "check indentation"),
        ("name: !!python/object:os.system a\n", "job.yaml:1:7", "not YAML"),
        ("name: 2026-13-45\n", "job.yaml", "put such a value in quotes"),
        ("name: a\x07\n", "job.yaml", "not YAML"),
    ],
)
def test_what_is_no_yaml_is_shown_with_its_place(
    tmp_path: Path, text: str, place: str, remedy: str
) -> None:
    found = message(write(tmp_path, text))
    assert f"{place}: " in found
    assert remedy in found


def test_a_date_as_a_name_is_its_text(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST.replace("name: a", "name: 2026-11-20"))
    assert load_config(path).config.name == "2026-11-20"


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST + "budget: {max_usd: 1e2}\n")
    assert load_config(path).config.budget.max_usd == 100


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ("budget: {max_usd: .inf}\n", "budget.max_usd", "not a finite number"),
        ("budget: {max_usd: .nan}\n", "budget.max_usd", "not a finite number"),
        ("batch: {priority: 9223372036854775808}\n", "batch.priority", "beyond 64 bits"),
        ("batch: {5: 6}\n", "batch.5", "a key must be text"),
        ("model: {task: !!binary aGk=}\n", "model.task", "give text"),
        ("model: {limits: &x {a: *x}}\n", "model.limits", "nested too deeply"),
    ],
)
def test_values_that_json_does_not_have(tmp_path: Path, text: str, key: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, LEAST + text))
    assert caught.value.key.startswith(key)
    assert remedy in caught.value.remedy
    assert len(str(caught.value)) < 400


def test_aliases_that_multiply_are_stopped(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert "write it out plainly" in message(write(tmp_path, "\n".join(lines) + "\n"))


def test_a_mapping_is_not_changed_by_loading() -> None:
    data = {"name": "a", "source": {"files": ["x"]}, "batch": {"max_requests": 5}}
    loaded = config_from_mapping(data, Path("/srv"), ["batch.max_requests=7"])
    assert loaded.config.batch.max_requests == 7
    assert loaded.path is None
    assert data["batch"] == {"max_requests": 5}


def test_text_that_is_not_unicode() -> None:
    with pytest.raises(UsageError, match="not Unicode"):
        config_from_mapping({"name": "a", "source": {"files": ["\ud800"]}}, Path("/srv"))


def test_a_configuration_survives_json(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, HANDBOOK)).config
    assert type(config).model_validate_json(config.model_dump_json()) == config
