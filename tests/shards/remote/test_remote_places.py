"""Which addresses shards may be read from, and that none shows its password."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valenza.config import load
from valenza.errors import UsageError
from valenza.place import Remote, place, redacted
from valenza.recipe import Recipe
from valenza.shards.index import local
from valenza.shards.stored import read_index

REFUSED = [
    "pipe:cat /etc/passwd", "pipe:curl -s https://host/x", "file:///etc", "file:shards", "ftp://host/x", "ftps://host/x",
    "sftp://host/x", "scp://host/x", "ssh://host/x", "hf://datasets/x", "hdfs://host/x", "memory://x", "data:,x",
    "dask://x", "git://repo", "github://a:b@c/x", "smb://host/x", "abfs://c/x", "az://c/x", "s3a://bucket/x",
    "simplecache::s3://bucket/x", "filecache::https://host/x", "zip://x::s3://bucket/x", "s3://bucket/x::file://y",
    "https://host/x::https://host/y", "https://host/x?a=b::c", "s3://bucket/x|cat", "https://host/x | sh",
    "s3://bucket/$(id)", "s3://bucket/a;b", "s3://bucket/a b", "s3://bucket/\0x", "\0", "/shards\0", "shards\0|x",
    "S3://bucket/x", "HTTPS://host/x", "s3:/bucket/x", "s3:bucket", "https:/host/x", "s3://", "s3:///x", "gs://B/x",
    "https://", "https:///x", "s3://key:secret@bucket/x", "s3://bucket/x?versionId=1", "gs://bucket/x#1",
    "s3://bucket/*", "s3://bucket/[a]", "s3://bucket/a/../b", "s3://bucket/./b", "s3://bucket//b", "s3://bucket/%41",
    "https://host/a/../b", "https://host/%2e%2e/b", "https://host/a%2fb", "https://host/a%00b", "https://host/a%0ab",
    "https://host/a\\b", "https://host/a\nb", "https://host/ä", "https://host/a%252e", "https://host:0/x",
    "https://host:65536/x", "https://host:x/x", "https://ho st/x", "https://-host/x", "https://***@host/x",
    "https://host/x?***", "http://host/x", "http://10.0.0.1/x", "http://169.254.169.254/latest", "http://0.0.0.0/x",
    "http://127.0.0.1.evil.org/x", "http://127.0.0.1@evil.org/x", "http://localhost@evil.org/x", "http://2130706433/x",
    "http://0x7f000001/x", "http://localhost.evil.org/x", "http://evil.org#@127.0.0.1/x", "http://evil.org\\@127.0.0.1/x",
]  # fmt: skip
KEPT = [
    "s3://bucket/a/b", "s3://bucket", "s3://my.bucket-1/v1.0/shards_of=x", "gs://bucket/a", "https://host.org/shards",
    "https://host.org:8443/a/b%20c", "https://[2001:db8::1]/a", "http://127.0.0.1:8000/a", "http://localhost:9/a",
    "http://[::1]:8000/a", "http://127.4.5.6/a",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_address_of_shards_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as told:
        place(text)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("text", KEPT)
def test_an_address_stays_what_it_is(text: str) -> None:
    found = place(text)
    assert isinstance(found, Remote)
    assert str(found) == found.address == text == str(place(text + "/"))
    assert str(found / "german") == f"{text}/german"
    assert (found / "german").name == "german"
    assert (found / "german").parent == found == found.resolve() == pickle.loads(pickle.dumps(found))


def test_a_host_that_the_environment_names_is_read_without_encryption(monkeypatch: Any) -> None:
    monkeypatch.setenv("VALENZA_HTTP_HOSTS", "store.lab, Other")
    assert str(place("http://store.lab:9000/x")) == "http://store.lab:9000/x"
    assert str(place("http://OTHER/x")) == "http://OTHER/x"
    for text in ("http://lab/x", "http://a.store.lab/x", "http:///x"):
        with pytest.raises(UsageError):
            place(text)


@pytest.mark.parametrize("text", ["shards", "/data/shards", "./a:b/c", "~/x", "-", "C:x", ""])
def test_a_folder_is_a_path_as_before(text: str) -> None:
    assert place(text) == Path(text)
    assert place(Path(text)) == Path(text)


def test_passwords_and_signatures_are_for_the_server_alone() -> None:
    found = place("https://reader:p4ss@host.org/shards?sig=s3cret&se=1")
    assert isinstance(found, Remote)
    assert found.address == "https://reader:p4ss@host.org/shards?sig=s3cret&se=1"
    assert (found / "german").address == "https://reader:p4ss@host.org/shards/german?sig=s3cret&se=1"
    for shown in (str(found), repr(found), f"{found / 'x'!r}", str(found.parent), redacted(f"at {found.address}: 403")):
        assert "p4ss" not in shown
        assert "s3cret" not in shown
        assert "reader" not in shown
    with pytest.raises(UsageError, match="left out when it was written down"):
        place(str(found))


@given(
    st.text(st.sampled_from("abz:/@?#|\\%.*-[]{}~ \0\n0129üS")),
    st.sampled_from(["s3:", "https:", "http:", "gs:", "pipe:", ""]),
)
def test_any_text_is_a_folder_an_allowed_address_or_refused(text: str, scheme: str) -> None:
    try:
        found = place(scheme + text)
    except UsageError:
        return
    if isinstance(found, Remote):
        assert found.scheme in {"s3", "gs", "https", "http"}
        assert not set(str(found.address)) & set("|\\\0\n #{}")
        assert found.host
        assert ".." not in found.path.split("/")
    else:
        assert "\0" not in str(found)


RECIPE = """stage: utterance
seed: 7
data:
  shards: {shards}
  train: {{english: 1}}
encoder: {{new: {{family: whisper, width: 16, layers: 1, attention_heads: 2, mels: 16}}}}
training: {{steps: 12, windows_per_step: 4, peak_lr: 1e-3}}
"""


def test_a_recipe_tells_file_and_line_of_an_address_that_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.format(shards="pipe:cat"))
    with pytest.raises(UsageError, match=r"r\.yaml:4: data\.shards: 'pipe:cat': shards are read from"):
        load(Recipe, file)
    with pytest.raises(UsageError, match=r"command line: data\.shards: .*\*\*\*@host") as told:
        load(Recipe, file, ["data.shards=http://u:p4ss@host/x"])
    assert "p4ss" not in str(told.value)
    with pytest.raises(UsageError, match=r"data\.shards: expected a folder or an address"):
        load(Recipe, file, ["data.shards=3"])


def test_a_recipe_keeps_an_address_whole_and_writes_it_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.format(shards="s3://bucket/shards"))
    recipe = load(Recipe, file)
    assert recipe.data.shards == place("s3://bucket/shards")
    assert recipe.model_dump(mode="json")["data"]["shards"] == "s3://bucket/shards"
    assert load(Recipe, file, ["data.shards=a/b"]).data.shards == Path("a/b")
    signed = load(Recipe, file, ["data.shards=https://u:p4ss@host/x?sig=1"])
    assert "p4ss" not in signed.model_dump_json() + repr(signed) + str(signed)
    assert "p4ss" not in str(signed.model_dump())
    assert Recipe.model_validate(recipe.model_dump()).data.shards == recipe.data.shards


def test_writers_and_old_paths_stay_local() -> None:
    for folder in (place("s3://bucket/x"), Path("s3:/bucket/x"), Path("pipe:x"), Path("https:/u/x")):
        with pytest.raises(UsageError, match="is not a local folder"):
            local(folder)
    with pytest.raises(UsageError, match="is not a local folder"):
        read_index(Path("s3://bucket/x"), ["german"])
