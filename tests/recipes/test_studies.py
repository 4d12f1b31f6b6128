"""The shipped study of emotion over time, and what a study cannot mean: told with file and line before it begins."""

from pathlib import Path

import pytest

from valenza.config import load
from valenza.corpora.card import find_cards, read_card
from valenza.errors import UsageError
from valenza.evaluation.study.plan import Plan
from valenza.mixture.admission import spoken
from valenza.recipe import Dynamic, Recipe
from valenza.recipe.dynamic import HEADS

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "recipes" / "dynamic.yaml"
MANIFESTS = find_cards(ROOT / "datasets_manifests")


@pytest.fixture(scope="module")
def study() -> Dynamic:
    return load(Dynamic, SHIPPED)


def lines_of(text: str, *keys: str) -> int:
    """The line on which the last of these keys stands, each sought after the one before it."""
    at = 0
    for key in keys:
        at = text.index(f"{key}:", at)
    return text[:at].count("\n") + 1


def test_it_tells_what_it_is_and_fits_on_a_screen() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("# ") for line in lines[:2])
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 160


def test_its_corpora_are_there_and_the_unheard_language_is_not_trained_on(study: Dynamic) -> None:
    assert {*study.train, *study.unheard} <= MANIFESTS.keys()
    trained = {language for corpus in study.train for language in spoken(read_card(MANIFESTS[corpus]))}
    assert len(trained) == 4
    for corpus in study.unheard:
        assert not spoken(read_card(MANIFESTS[corpus])) & trained


def test_it_is_what_the_paper_compares(study: Dynamic) -> None:
    assert len(study.seeds) >= 3
    assert (study.teacher.window, study.teacher.step) == (1.4, 1.0)
    assert (study.preference.beta, study.preference.betas) == (0.5, (0.01, 0.1, 0.5, 10))
    assert (study.pairs.k, study.pairs.tracks, study.pairs.pairs) == (5, 400, 1500)
    assert study.pairs.error_rate == 0.15
    assert all(speakers.test and speakers.preferences for speakers in study.speakers.values())
    assert study.race.seconds == 30


def test_every_stage_of_it_is_a_recipe(study: Dynamic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage's, and then those that go on from one of its runs, without any shards."""
    roles = {part: {corpus: ["s"] for corpus in study.train} for part in ("train", "preferences", "test")}
    monkeypatch.setattr(Plan, "roles", roles)
    plan = Plan(study, tmp_path)

    def stored(recipe: Recipe, run: Path) -> Recipe:
        run.mkdir(parents=True)
        (run / "recipe.yaml").write_text(recipe.model_dump_json(exclude_none=True))
        assert load(Recipe, run / "recipe.yaml") == recipe
        return recipe

    for head in HEADS:
        first = stored(plan.utterance(head, 7), plan.run("utterance", 7, head=head))
        teacher = stored(plan.teacher(head, 7), plan.run("teacher", 7, head=head))
        student = stored(plan.student(head, 7), plan.run("student", 7, head=head))
        assert set(first.data.aside) == {f"{corpus}/s" for corpus in study.train}
        assert not any("test" in corpus for corpus in (*teacher.data.train, *student.data.train))
        assert len(student.data.train) == 2 * len(study.train)
        assert first.heads.emotion == ("dirichlet" if head == "dirichlet" else "softmax")
    for beta in study.preference.betas:
        tuned = plan.preference(beta, 7)
        assert tuned.preference is not None
        assert tuned.preference.beta == beta
        assert (tuned.encoder, tuned.data, tuned.objective) == (student.encoder, student.data, student.objective)


WRONG: list[tuple[str, str, tuple[str, ...], str]] = [
    ("ravdess: {test: 5, preferences: 4}", "crema_d: {test: 5, preferences: 4}", ("speakers", "crema_d"),
     "speakers.crema_d: crema_d is not trained on"),
    ("unheard: [emodb]", "unheard: [emovo]", ("unheard",), "unheard.0: emovo is trained on"),
    ("unheard: [emodb]", "unheard: 5", ("unheard",), "unheard: "),
    ("unheard: [emodb]", "unheard: [[emodb]]", ("unheard",), "unheard.0: "),
    ("  beta: 0.5", "  beta: 0.3", ("preference", "\n  beta"), "preference.beta: 0.3 is not one of `betas`"),
    ("  betas: [0.01, 0.1, 0.5, 10]", "  betas: []", ("preference", "\n  beta"), "preference.beta: 0.5 is not one of"),
    ("  betas: ", "  heads: {dropuot: 0.2}\n  betas: ", ("preference", "heads"), "preference.heads.dropuot: "),
    ("  betas: ", "  heads: {dropout: much}\n  betas: ", ("preference", "heads"), "preference.heads.dropout: "),
    ("  betas: ", "  heads: {projection: 5}\n  betas: ", ("preference", "heads"), "preference.heads.projection: is"),
    ("  betas: ", "  heads: {smooth: 4}\n  betas: ", ("preference", "heads"), "preference.heads.smooth: 4 frames have"),
    ("seeds: [7, 8, 9]", "seeds: []", ("seeds",), "seeds: "),
    ("tracks: {train: 40,", "tracks: {train: 0,", ("tracks",), "tracks.train: "),
    ("race: {seconds: 30,", "race: {seconds: 60,", ("race",), "race.seconds: "),
]  # fmt: skip


@pytest.mark.parametrize(("now", "then", "keys", "told"), WRONG, ids=[wrong[3] + wrong[1][-14:] for wrong in WRONG])
def test_what_a_study_cannot_mean_is_told_with_its_line(
    tmp_path: Path, now: str, then: str, keys: tuple[str, ...], told: str
) -> None:
    text, file = SHIPPED.read_text(encoding="utf-8"), tmp_path / "study.yaml"
    assert text.count(now) == 1
    text = text.replace(now, then)
    file.write_text(text, encoding="utf-8")
    line = lines_of(text, *keys) + sum(key.startswith("\n") for key in keys)
    with pytest.raises(UsageError) as refused:
        load(Dynamic, file)
    assert f"{file}:{line}: {told}" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["speakers={ravdess: {test: 5}}"], "speakers: no speaker's tracks are judged"),
        (["speakers={ravdess: {preferences: 4}}", "unheard=[]"], "speakers: nothing is scored"),
        (["student.dirichlet.heads={}"], "student.dirichlet.heads.emotion: it is what is trained with `emotion: diri"),
        (["utterance.cross_entropy.heads.emotion=dirichlet"], "utterance.cross_entropy.heads.emotion: it is what is"),
        (["student.dirichlet.objective.label_smoothing=0"], "a Dirichlet density needs targets inside the simplex"),
        (["teacher.temperature=0"], "teacher.temperature: "),
    ],
)
def test_and_so_is_what_the_command_line_says(words: list[str], told: str) -> None:
    with pytest.raises(UsageError) as refused:
        load(Dynamic, SHIPPED, words)
    assert told in str(refused.value)
    assert "command line: " in str(refused.value)


def test_speakers_who_are_not_trained_on_are_not_needed_where_a_language_is_unheard() -> None:
    assert load(Dynamic, SHIPPED, ["speakers={ravdess: {preferences: 4}}"]).unheard
