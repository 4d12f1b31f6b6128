"""The shipped manifests as a whole: each means something, and stands in the list and on the page beside it."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from valenza.corpora.card import Access, Card, Format, find_cards, read_card, weights
from valenza.corpora.catalogue import annotation, closing, languages, markdown, published
from valenza.corpora.readers import READERS
from valenza.labels.taxonomy import EMOTIONS

ROOT = Path(__file__).resolve().parents[3]
CARDS = {name: read_card(path) for name, path in find_cards(ROOT / "datasets_manifests").items()}
OF_THE_PAPERS = {
    "cmu_mosei", "crema_d", "emov_db", "iemocap", "jl_corpus", "msp_podcast", "msp_improv", "ravdess", "savee",
    "tess", "vesus", "esd", "asvp_esd", "ogvc_natural", "studies", "emodb", "aesdd", "urdu", "masc", "meld",
    "voxmovies", "hume_prosody", "emovo", "cafe", "shemo", "subesco", "nemo", "emouerj", "mesd", "casia", "thai_ser",
    "dusha", "resd", "turev",
}  # fmt: skip
SPOKEN = {"en", "zh", "ja", "de", "el", "ur", "it", "fr", "fa", "bn", "pl", "pt", "es", "th", "ru", "tr"}


def listed(*options: str) -> tuple[str, float]:
    """Return what `valenza corpus list` prints, and its processor seconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "platform")}
    command = [sys.executable, "-m", "valenza", "corpus", "list", *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(params=CARDS)
def card(request: pytest.FixtureRequest) -> Card:
    return CARDS[str(request.param)]


def test_a_manifest_says_what_its_owner_must_know(card: Card) -> None:
    assert card.access in get_args(Access)
    assert min(map(len, (card.title, card.licence, card.citation, card.obtain))) >= 2
    assert re.fullmatch(r"https?://\S+", card.homepage)
    text = (ROOT / "datasets_manifests" / f"{card.id}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# "), "its first line shows how a name reads"
    assert len(text.splitlines()) < 120


def test_a_manifest_expects_published_figures(card: Card) -> None:
    figures = published(card)
    assert figures.clips or figures.hours
    for release in (card.expect, *card.expect.releases.values()):
        if release.clips and release.hours:
            assert 0.3 < 3600 * release.hours / release.clips < 20


def test_every_label_resolves(card: Card) -> None:
    assert card.labels or card.id == "voxmovies"
    for meaning in card.labels.values():
        found = weights(meaning)
        assert found.keys() <= set(EMOTIONS)
        assert sum(found.values()) <= 1.0001
    assert set(card.classes) <= set(EMOTIONS)
    assert {native for table in card.tables for native in table.votes} <= card.labels.keys()


def test_a_strength_leaves_neutral_alone(card: Card) -> None:
    """Neutral speech has no strength (`intensities` would make it a weak nothing), so such names must not give one."""
    if card.intensities and card.id not in {"ogvc_acted", "crema_d"}:
        assert re.search(r"\(\?<=-(01|02|N)-\)", card.pattern), "the pattern must not read a strength after neutral"


def test_all_corpora_of_the_papers_are_there() -> None:
    assert CARDS.keys() >= OF_THE_PAPERS
    assert len(CARDS) >= 34
    assert languages(list(CARDS.values())) == SPOKEN
    assert len(SPOKEN) >= 16


def test_every_reader_is_a_format_that_a_manifest_uses() -> None:
    used = {table.format for card in CARDS.values() for table in card.tables}
    assert set(get_args(Format)) == {"auto", *READERS}
    assert used - {"auto"} <= READERS.keys()
    assert {"esd", "ogvc", "studies", "erkennung", "thai_ser", "dusha", "pavoque"} <= used


def test_the_page_beside_the_manifests_is_up_to_date() -> None:
    page = (ROOT / "datasets_manifests" / "README.md").read_text(encoding="utf-8")
    assert page == markdown(list(CARDS.values())), "run: valenza corpus list --markdown > datasets_manifests/README.md"
    printed, _ = listed("--markdown")
    assert printed == page
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    assert len(rows) == len(CARDS)
    assert {len(re.split(r"(?<!\\) \| ", row)) for row in rows} == {10}


def test_the_list_shows_every_corpus_within_a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it for its workers
    printed, seconds = listed()
    lines = printed.rstrip().splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines[1 : len(CARDS) + 1]] == list(CARDS)
    row = next(line.split() for line in lines if line.startswith("ravdess "))
    assert row == ["ravdess", "en", "1440", "24", "1.48", "7", "intensity", "non-commercial"]
    assert lines[-1] == closing(list(CARDS.values()))
    assert lines[-1].startswith(f"{len(CARDS)} corpora in {len(SPOKEN)} languages: ")
    assert seconds < 1


def test_the_list_as_json_is_whole() -> None:
    value = json.loads(listed("--json")[0])
    assert set(value["languages"]) == SPOKEN
    assert [corpus["id"] for corpus in value["corpora"]] == list(CARDS)
    emodb = next(corpus for corpus in value["corpora"] if corpus["id"] == "emodb")
    assert emodb["expect"]["releases"]["four_emotions"] == {"clips": 339, "speakers": 10, "hours": 0.27}
    assert emodb["classes"] == list(CARDS["emodb"].classes)


def test_a_list_in_a_narrow_terminal_keeps_the_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed, _ = listed()
    assert "terms" not in printed
    assert max(map(len, printed.rstrip().splitlines()[:-2])) <= 75


def test_annotation_tells_votes_marks_and_strength_apart() -> None:
    told = {name: annotation(CARDS[name]) for name in ("urdu", "cafe", "dusha", "emodb", "voxmovies")}
    assert told == {"urdu": "4", "cafe": "7 intensity", "dusha": "5 votes", "emodb": "7 marks", "voxmovies": "none"}


def test_figures_come_from_the_first_release_where_a_corpus_has_none_of_its_own() -> None:
    base = CARDS["urdu"].model_dump(mode="json")
    releases = {"new": {"clips": 7}, "old": {"clips": 5, "speakers": 2, "hours": 1.0}}
    figures = published(Card.model_validate({**base, "expect": {"speakers": 3, "releases": releases}}))
    assert (figures.clips, figures.speakers, figures.hours) == (7, 3, None)
    own = published(Card.model_validate({**base, "expect": {"clips": 9, "releases": releases}}))
    assert (own.clips, own.speakers, own.hours) == (9, None, None)


def test_one_corpus_is_counted_as_one() -> None:
    assert closing([CARDS["urdu"]]) == "1 corpus in 1 language: 400 clips, 0.28 hours"
    assert closing([CARDS["asvp_esd"]]).startswith("1 corpus in 4 languages: 13,964 clips, 18 hours")
