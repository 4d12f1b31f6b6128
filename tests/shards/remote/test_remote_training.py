"""Training and commands read the shards of servers as local ones, bit for bit, whatever happens on the way."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader, Dataset

from valenza.config import load
from valenza.errors import ShardError, UsageError
from valenza.mixture.admission import problems
from valenza.place import place
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.shards.stored import read_index

FAULTS = ["cut", None, 503, "longer", None, None, 429, "shorter", None, None, "pause", None, 500, "stall", None]


@pytest.fixture(scope="module")
def wanted(corner: Any, by_itself: Any) -> list[float]:
    """The losses of training on the local folder."""
    with by_itself(corner.folder / "cache"):
        return train(corner, corner.folder / "local", str(corner.shards))


def train(corner: Any, run: Path, shards: str, workers: int = 0) -> list[float]:
    from valenza.stages.run import train_run

    recipe = load(Recipe, corner.recipe, [f"data.shards={shards}", "training.steps=6"], also=problems)
    train_run(recipe, run, resume="never", workers=workers, precision="no")
    return list(corner.losses(run))


@pytest.fixture
def served(request: Any, corner: Any, web: Any, bucket: Any) -> tuple[Any, str]:
    """A server that gives out the corner's shards, and their address."""
    if request.param == "s3":
        return bucket(corner.shards), "s3://test/shards"
    server = web(corner.folder)
    return server, f"http://127.0.0.1:{server.port}/shards"


@pytest.mark.parametrize(("served", "workers"), [("http", 0), ("s3", 2)], indirect=["served"])
def test_losses_are_those_of_a_local_run(
    corner: Any, wanted: list[float], served: Any, workers: int, tmp_path: Path, by_itself: Any, monkeypatch: Any
) -> None:
    server, address = served
    server.misbehave(itertools.chain(["flip", *FAULTS, *FAULTS, "flip"], itertools.cycle(FAULTS)))
    monkeypatch.setattr("valenza.shards.remote.BLOCK", 1 << 17)
    with by_itself(tmp_path / "heard"):
        assert train(corner, tmp_path / "run", address, workers) == wanted
    assert len(server.done) >= 10
    recipe = (tmp_path / "run" / "recipe.yaml").read_text()
    assert f"shards: {address}" in recipe
    assert (
        load(Recipe, tmp_path / "run" / "recipe.yaml").data.shards
        == load(Recipe, corner.recipe, [f"data.shards={address}"]).data.shards
    )


@pytest.mark.parametrize("served", ["http"], indirect=True)
def test_a_shard_that_is_another_stops_the_run(corner: Any, served: Any, tmp_path: Path, by_itself: Any) -> None:
    server, address = served
    server.misbehave(itertools.repeat("flip"), only=".tar")
    with by_itself(tmp_path / "heard"), pytest.raises(ShardError, match=rf"{address}/.*\.tar: what the server gives"):
        train(corner, tmp_path / "run", address)


@pytest.mark.parametrize("served", ["http", "s3"], indirect=True)
def test_a_recipe_is_checked_against_the_manifests_of_the_server(corner: Any, served: Any) -> None:
    server, address = served
    load(Recipe, corner.recipe, [f"data.shards={address}"], also=problems)
    assert not server.gets(".tar")
    assert not server.gets("index.parquet")
    told = r"command line: data\.train\.dutch: there are no shards of 'dutch' in " + address
    with pytest.raises(UsageError, match=told):
        load(Recipe, corner.recipe, [f"data.shards={address}", "data.train.dutch=1"], also=problems)
    with pytest.raises(UsageError, match="there are no shards of 'german'"):
        load(Recipe, corner.recipe, [f"data.shards={address}/elsewhere"], also=problems)


@pytest.mark.parametrize("served", ["http", "s3"], indirect=True)
def test_commands_read_servers_where_they_only_read(corner: Any, served: Any, capsys: Any) -> None:
    from valenza.cli.shards import shards_export, shards_info, shards_verify

    _, address = served
    shards_info(shards=str(corner.shards), as_json=True)
    local = capsys.readouterr().out
    if address.startswith("http"):
        with pytest.raises(UsageError, match="name them"):
            shards_info(shards=address)
        shards_info(["english", "german", "italian"], address, as_json=True)
    else:
        shards_info(shards=address, as_json=True)
    assert capsys.readouterr().out == local
    for refused in (
        lambda: shards_verify(["german"], address),
        lambda: shards_export(["german"], "nemo", Path("x"), Path(address)),
    ):
        with pytest.raises(UsageError, match="is not a local folder"):
            refused()


def test_a_refused_address_ends_a_command_with_64(corner: Any) -> None:
    ended = corner.run("shards", "info", "german", "--shards", "pipe:cat")
    assert ended.code == 64
    assert "shards are read from local folders" in ended.err


def test_check_derives_the_same_from_a_server(corner: Any, web: Callable[[Path], Any]) -> None:
    from valenza.stages.summary import summary

    server = web(corner.folder)
    there = load(Recipe, corner.recipe, [f"data.shards=http://127.0.0.1:{server.port}/shards"], also=problems)
    assert there.data.shards.is_dir()
    assert summary(there) == summary(load(Recipe, corner.recipe))
    assert not server.gets(".tar")


class Clips(Dataset[bytes]):
    """The FLAC files of a reader."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, row: int) -> bytes:
        return self.reader.flac(row)


@pytest.mark.parametrize("served", ["http", "s3"], indirect=True)
def test_forked_workers_fetch_by_themselves(corner: Any, served: Any) -> None:
    server, address = served
    names = ["english", "german", "italian"]
    index = read_index(place(address), names)  # connections and their thread are there before the fork
    server.misbehave(itertools.cycle(FAULTS), only=".tar")
    clips = Clips(Reader(place(address), index))
    local = Reader(corner.shards, index)
    for row, flac in enumerate(DataLoader(clips, batch_size=None, num_workers=2, multiprocessing_context="fork")):
        assert flac == local.flac(row)
    assert server.done
    asked = len(server.asked)
    assert [clips[row] for row in range(3)] == [local.flac(row) for row in range(3)]
    assert len(server.asked) == asked  # the workers' copies serve their parent too
