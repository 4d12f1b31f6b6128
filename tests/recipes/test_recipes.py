"""Every shipped recipe: its corpora exist and are admitted, and it trains, two steps with a small encoder."""

import csv
import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valenza.config import Document, load
from valenza.corpora.card import find_cards
from valenza.corpora.synth.catalogue import TRAINING, ZERO_SHOT
from valenza.corpora.synth.demo import speak
from valenza.errors import UsageError
from valenza.evaluation.rotation.ablation import Ablation
from valenza.mixture.admission import problems
from valenza.recipe import Recipe
from valenza.stages.trained import read_recipe
from valenza.training.growth import windows_at

ROOT = Path(__file__).resolve().parents[2]
STUDIES = {"dynamic"}
"""What is no recipe of one run: `tests/recipes/test_studies.py` has them."""
RECIPES = {path.stem: path for path in sorted((ROOT / "recipes").glob("*.yaml")) if path.stem not in STUDIES}
ABLATIONS = {path.stem: path for path in sorted((ROOT / "recipes" / "ablations").glob("*.yaml"))}
MANIFESTS = find_cards(ROOT / "datasets_manifests")
LABELS = {corpus: Document(path).values["labels"] for corpus, path in MANIFESTS.items()}
DEMOS = [demo.id for demo in (*TRAINING, *ZERO_SHOT)]
TRAINED_DEMOS, HELD_DEMOS = ([demo.id for demo in demos] for demos in (TRAINING, ZERO_SHOT))
FAMILIES = ("whisper", "wav2vec2", "hubert", "wavlm")
PAPERS_16 = (
    "asvp_esd cmu_mosei crema_d emov_db esd iemocap jl_corpus msp_improv msp_podcast ogvc_acted ogvc_natural ravdess "
    "savee studies tess vesus"
)
ADAPTED = [name for name, path in RECIPES.items() if "adapt" in Document(path).values]
each = pytest.mark.parametrize("name", RECIPES)
Trained = Callable[[str], Path]


def corpora(recipe: Recipe) -> list[str]:
    return [*recipe.data.train, *recipe.data.zero_shot]


def rate(corpus: Path, speech: Path) -> None:
    """Lay a few demo clips out as Hume-Prosody is, with shares of its nine emotions."""
    names = list(LABELS["hume_prosody"])
    (corpus / "data/wav").mkdir(parents=True)
    (corpus / "data/lab").mkdir()
    clips = sorted(speech.rglob("*.wav"))[:12]
    for part, chosen in {"train": clips[:9], "devel": clips[9:]}.items():
        with (corpus / f"data/lab/{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["filename", *names])
            for number, clip in enumerate(chosen):
                shutil.copy(clip, corpus / f"data/wav/{part}_{number}.wav")
                shares = [round(0.1 * ((number + i) % 10), 1) for i in range(len(names))]
                writer.writerow([f"{part}_{number}.wav", *shares])


@pytest.fixture(scope="module")
def place(corner: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Shards of the demo corpora at their shortest, and of a few clips in the layout of Hume-Prosody."""
    own = type(corner)(tmp_path_factory.mktemp("recipes"))
    data = own.folder / "data"
    speak(data, scale=0.05)
    rate(data / "hume_prosody", data / "demo_tess")
    shutil.copy(MANIFESTS["hume_prosody"], data / "manifests")
    words = ("--data-root", data, "--manifests", data / "manifests", "--jobs", 1)
    ended = own.run("shards", "build", *DEMOS, "hume_prosody", *words)
    assert ended.code == 0, ended.err
    return own


def small(name: str, place: Any) -> list[str]:
    """Return the settings that make a shipped recipe cheap; all that are not named here stay as they are."""
    values = Document(RECIPES[name]).values
    recipe = load(Recipe, RECIPES[name])
    family = next(f for f in FAMILIES if f in str(values["encoder"]).lower())
    kept = {key: value for key, value in values["encoder"].items() if key not in {"name", "new"}}
    new = {"family": family, "width": 16, "layers": 2, "attention_heads": 2, "mels": 16}
    doubles = TRAINED_DEMOS if recipe.adapt is None else HELD_DEMOS
    train = recipe.data.train
    if "hume_prosody" not in train:
        train = dict(zip(doubles[: len(train)], train.values(), strict=True))
    settings = {
        "data.shards": str(place.shards),
        "data.train": train,
        "data.zero_shot": HELD_DEMOS[: len(recipe.data.zero_shot)],
        "data.window_seconds": 6,
        "encoder": {"new": new, **kept},
        "training.steps": 2,
        "training.windows_per_step": 2 if isinstance(recipe.training.windows_per_step, int) else [2, 4],
        "training.windows_per_pass": 2,
    }
    if recipe.adapt is not None:
        settings["adapt.from"] = str(place.folder / "runs" / recipe.adapt.source.name)
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


@pytest.fixture(scope="module")
def trained(place: Any) -> Trained:
    """Train a recipe by the command line, once, and first the run that it starts from; returns its run folder."""

    def train(name: str) -> Path:
        run: Path = place.folder / "runs" / name
        if not run.exists():
            adapt = load(Recipe, RECIPES[name]).adapt
            if adapt is not None:
                train(adapt.source.name)
            ended = place.run("train", RECIPES[name], *small(name, place), "--out", run)
            assert ended.code == 0, ended.err
        return run

    return train


@each
def test_two_steps_of_it_leave_a_whole_run(name: str, place: Any, trained: Trained) -> None:
    run = trained(name)
    shipped, recipe = load(Recipe, RECIPES[name]), load(Recipe, RECIPES[name], small(name, place))
    assert read_recipe(run) == recipe
    kept = ("stage", "seed", "heads", "augment", "evaluation")
    assert all(getattr(recipe, part) == getattr(shipped, part) for part in kept)
    assert recipe.objective == shipped.objective
    assert (run / "checkpoints/step-00000002/COMPLETE").is_file()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2]
    assert [line["windows"] for line in steps] == ([2, 4] if recipe.training.windows_per_step == 2 else [2, 6])
    domain = {"domain", "domain_accuracy"} if recipe.objective.domain.mode != "none" else set()
    expected = {"loss", "gradient_norm", recipe.adapt.loss if recipe.adapt else "soft_labels"} | domain
    named = steps[0].keys() - {"step", "lr", "windows", "epoch", "seconds", "waited"}
    assert named == expected
    assert all(math.isfinite(line[loss]) for line in steps for loss in named)
    validated = [line["validation"] for line in lines if "validation" in line]
    assert all(math.isfinite(value) for result in validated for value in result.values())


@each
def test_it_tells_what_it_is_and_fits_on_a_screen(name: str) -> None:
    lines = RECIPES[name].read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("# ") for line in lines[:2])
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 140


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "demo"])
def test_its_corpora_are_there_and_admitted(name: str, tmp_path: Path) -> None:
    recipe = load(Recipe, RECIPES[name])
    assert set(corpora(recipe)) <= MANIFESTS.keys()
    assert load(Recipe, RECIPES[name], [cards(recipe, tmp_path)], also=problems).data.train == recipe.data.train


def cards(recipe: Recipe, folder: Path) -> str:
    """Lay the manifests of a recipe's corpora where their shards would be."""
    for corpus in corpora(recipe):
        (folder / corpus).mkdir()
        shutil.copy(MANIFESTS[corpus], folder / corpus / "card.yaml")
    return f"data.shards={folder}"


def test_the_demo_has_each_demo_corpus_once() -> None:
    assert sorted(corpora(load(Recipe, RECIPES["demo"]))) == sorted(DEMOS)


@pytest.mark.parametrize("name", ADAPTED)
def test_an_adapted_recipe_starts_from_a_shipped_one_with_its_encoder(name: str) -> None:
    recipe = load(Recipe, RECIPES[name])
    assert recipe.adapt is not None
    source = load(Recipe, RECIPES[recipe.adapt.source.name])
    assert recipe.encoder == source.encoder
    assert recipe.data.train.keys().isdisjoint(source.data.train)
    labels = LABELS[next(iter(recipe.data.train))]
    assert recipe.adapt.outputs in {"emotions", tuple(labels)}


def test_the_papers_recipe_is_the_papers(tmp_path: Path) -> None:
    path = RECIPES["whisper_medium_16"]
    recipe = load(Recipe, path)
    assert sorted(recipe.data.train) == PAPERS_16.split()
    assert sorted(recipe.data.zero_shot) == ["aesdd", "emodb", "masc", "urdu"]
    named = {"polarity", "gain", "reversal", "noise", "speed", "equaliser", "echo"}
    assert {recipe.augment.waveform[change].p for change in named} == {0.2}
    assert recipe.augment.waveform.keys() - named == {"roll"}
    assert recipe.augment.spectrogram.keys() == {"frequency_mask", "time_mask", "mel_noise"}
    # Half of ESD is Mandarin, as MASC is, and some of ASVP-ESD is in no known language: the stronger claim is refused.
    with pytest.raises(UsageError, match=r"masc speaks zh, which is trained on") as refused:
        load(Recipe, path, [cards(recipe, tmp_path), "data.claim=cross_lingual"], also=problems)
    assert "data.train.asvp_esd: nobody says which language some of asvp_esd is in" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 2


def test_the_papers_batch_grows_by_doubling_at_equal_distances() -> None:
    settings = load(Recipe, RECIPES["whisper_medium_16"]).training
    windows = [windows_at(step, settings) for step in range(settings.steps)]
    assert [(w, len(list(run))) for w, run in itertools.groupby(windows)] == [
        (64, 1000), (128, 1000), (256, 1000), (512, 1000)
    ]  # fmt: skip
    short = load(Recipe, RECIPES["whisper_medium_16"], ["training.steps=8"]).training
    assert [windows_at(step, short) for step in range(8)] == [64, 64, 128, 128, 256, 256, 512, 512]


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_row_of_an_ablation_is_a_recipe_of_its_own(name: str) -> None:
    file = ABLATIONS[name]
    table = load(Ablation, file)
    resolved = {
        row: load(Recipe, file.parent / table.recipe, [*table.common, *variant.settings])
        for row, variant in table.rows.items()
    }
    assert {variant.against for variant in table.rows.values()} <= {None, *table.rows}
    for row, variant in table.rows.items():
        held = corpora(resolved[row])
        languages = {tag.split("-")[0] for corpus in held for tag in Document(MANIFESTS[corpus]).values["languages"]}
        assert {*variant.only} <= (languages if table.hold_out == "language" else {*held})
