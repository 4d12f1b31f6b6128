"""One evaluation of one run: its model over every scored corpus, beside the baselines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int64

from valenza.corpora.card import Card
from valenza.errors import DataError, UsageError
from valenza.evaluation.baselines import fit_probe, majority, random_head, sample
from valenza.evaluation.leakage import leaks
from valenza.evaluation.listen import Heard, audio_of, listen, recall
from valenza.evaluation.protocol import predict, scored_classes, training_prior, truth
from valenza.evaluation.report import write_report
from valenza.evaluation.results import FORMAT, finite, write_results
from valenza.evaluation.score import compare, score
from valenza.labels.harmonise import scores
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.encoders import SpeechEncoder
from valenza.model.network import Network, build_network
from valenza.recipe import Augment, Recipe
from valenza.shards.index import read_cards, read_index
from valenza.shards.read import Reader
from valenza.stages.frozen import Listener, may_hear_once
from valenza.stages.prepare import Prepared, clip_weights, prepare
from valenza.stages.run import read_recipe
from valenza.terminal import say
from valenza.training import checkpoint
from valenza.training.runtime import reseed

_PROBE_CLIPS = 6_000
"""The most training clips that the frozen probe is fitted to."""


def evaluate_run(
    run: Path, *, corpora: Sequence[str] | None, shards: Path | None, out: Path | None, checkpoint_name: str | None
) -> dict[str, Any]:
    """Score corpora with a run's model, write results.json and the report, and return the results.

    A corpus that was trained on is scored on its validation and test speakers, and called what it is. Raises
    `DataError` where a corpus said to be zero-shot shares takes, speakers, samples or its language with training.
    """
    recipe = read_recipe(run)
    if shards is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"shards": shards})})
    names = list(recipe.data.zero_shot) if corpora is None else list(corpora)
    if not names:
        raise UsageError(f"{run}: the recipe has no zero_shot corpora; name some with --corpora")
    prepared = prepare(recipe)
    chosen = {name: _choose(recipe, name, prepared) for name in names}
    source = newest_checkpoint(run, checkpoint_name)
    network = load_network(recipe, source)
    prior = training_prior(prepared.scores.values, clip_weights(recipe, prepared))
    # The same numbers that training began with.
    reseed(recipe.seed)
    probe = _Probe(recipe, prepared, build_network(recipe).encoder.to(_device()))
    found = {name: _score_corpus(recipe, c, network, prior, probe) for name, c in chosen.items()}
    results = finite(
        {
            "format": FORMAT,
            "run": run.resolve().name,
            "seed": recipe.seed,
            "checkpoint": source.name,
            "prior": dict(zip(EMOTIONS, prior.tolist(), strict=True)),
            "evaluation": recipe.evaluation.model_dump(mode="json"),
            "training": {name: round(recipe.data.train[name], 4) for name in sorted(recipe.data.train)},
            "corpora": found,
        }
    )
    file = out or run / "results.json"
    page = file.parent / "report" / "index.html"
    write_results(results, file)
    write_report(results, run, label_histograms(prepared, names, recipe), page)
    say(f"wrote {file} and {page}")
    return dict(results)


def load_network(recipe: Recipe, source: Path) -> Network:
    """Return the trained network of a checkpoint, ready to predict."""
    network = build_network(recipe)
    network.load_state_dict(checkpoint.load_weights(source))
    return network.eval().to(_device())


def label_histograms(prepared: Prepared, names: Sequence[str], recipe: Recipe) -> dict[str, dict[str, float]]:
    """Return how much of each class every corpus has, in clips, training corpora first."""
    found = {}
    for corpus, rows in prepared.rows_of("train").items():
        found[corpus] = dict(zip(EMOTIONS, prepared.scores.targets[rows].sum(axis=0).tolist(), strict=True))
    for name in names:
        index, cards = read_index(recipe.data.shards, [name]), read_cards(recipe.data.shards, [name])
        found[name] = dict(zip(EMOTIONS, scores(index, cards).targets.sum(axis=0).tolist(), strict=True))
    return found


@dataclass
class _Scored:
    """The clips of one corpus that are scored."""

    index: pa.Table
    card: Card
    rows: Int64[np.ndarray, " clips"]
    values: Float[np.ndarray, "clips classes"]
    known: np.ndarray
    zero_shot: bool


def _choose(recipe: Recipe, name: str, prepared: Prepared) -> _Scored:
    index, cards = read_index(recipe.data.shards, [name]), read_cards(recipe.data.shards, [name])
    meaning = scores(index, cards)
    trained_on = name in recipe.data.train
    if trained_on:
        own = prepared.rows_of("validation")[name], prepared.rows_of("test")[name]
        held_back = set(prepared.index["id"].take(np.concatenate(own)).to_pylist())
        chosen = np.array([i for i, clip in enumerate(index["id"].to_pylist()) if clip in held_back], dtype=np.int64)
        if not len(chosen):
            raise DataError(f"{name}: all of it was trained on, so there is nothing to score it by")
    else:
        chosen = np.flatnonzero(meaning.used)
        if found := leaks(
            prepared.index.take(prepared.parts["train"]), index, cross_lingual=recipe.data.claim == "cross_lingual"
        ):
            raise DataError(f"{name}: a score on it would not be zero-shot: " + "; ".join(found))
    return _Scored(
        index, cards[name], chosen, meaning.values[chosen], np.asarray(meaning.known.any(axis=0)), not trained_on
    )


class _Probe:
    """The frozen probe, fitted when it is first asked."""

    def __init__(self, recipe: Recipe, prepared: Prepared, encoder: SpeechEncoder) -> None:
        self.listener = Listener(encoder, Augment())
        rows = prepared.parts["train"]
        corpora = np.array(prepared.index["corpus"].to_pylist())[rows]
        rows = rows[sample(corpora, min(_PROBE_CLIPS, len(rows)), seed=recipe.seed)]
        taken = prepared.index.take(rows)
        names = {k: np.array(taken[k].to_pylist()) for k in ("corpus", "language", "speaker")}
        self.fitted = fit_probe(
            self._heard(recipe, prepared, rows),
            prepared.scores.values[rows],
            prepared.scores.known[rows],
            corpora=names["corpus"],
            languages=names["language"],
            speakers=names["speaker"],
        )

    def _heard(
        self, recipe: Recipe, prepared: Prepared, rows: Int64[np.ndarray, " rows"]
    ) -> Float[np.ndarray, "rows layers width"]:
        """Hear these training clips corpus by corpus; a corpus that training heard whole is not heard again."""
        reader, ids = Reader(recipe.data.shards, prepared.index), prepared.index["id"].to_pylist()
        heard = np.zeros((len(rows), self.listener.encoder.depth, self.listener.encoder.width), dtype=np.float32)
        for corpus, every in prepared.corpora.items():
            mine = np.flatnonzero(np.isin(rows, every))
            if self.listener.file(reader, ids, every, 0).exists():
                heard[mine] = self.listener.means(reader, ids, every)[np.searchsorted(every, rows[mine])]
            elif len(mine):
                heard[mine] = self.listener.means(reader, ids, rows[mine].tolist(), label=f"frozen probe: {corpus}")
        return heard

    def logits(self, reader: Reader, ids: Sequence[str], rows: Sequence[int]) -> Float[np.ndarray, "clips classes"]:
        """Return the probe's logits for other clips."""
        return self.fitted.logits(self.listener.means(reader, ids, rows, label="frozen probe"))


def _score_corpus(
    recipe: Recipe, chosen: _Scored, network: Network, prior: Float[np.ndarray, " classes"], probe: _Probe
) -> dict[str, Any]:
    name = chosen.card.id
    told = truth(chosen.values)
    labelled = told.labels >= 0
    rows, labels = chosen.rows[labelled], told.labels[labelled]
    if not len(rows):
        raise DataError(f"{name}: no clip of it has a label to score by")
    classes = scored_classes(labels, chosen.known)
    reader = Reader(recipe.data.shards, chosen.index)
    settings = recipe.evaluation
    ids = chosen.index["id"].to_pylist()
    if settings.padding == "none" and may_hear_once(recipe, network.encoder, len(rows)):
        heard = recall(network, probe.listener.means(reader, ids, rows.tolist(), label=f"hearing {name}"))
    else:
        audio = audio_of(reader, rows.tolist())
        heard = listen(network, audio, len(rows), padding=settings.padding, label=f"hearing {name}")
    taken = chosen.index.take(rows)
    groups = {k: np.array([v or "unknown" for v in taken[k].to_pylist()]) for k in ("speaker", "language", "gender")}
    shares = {
        f"{frames}_{'adjusted' if adjust else 'raw'}": predict(heard.logits[frames], classes, prior, adjust=adjust)
        for frames in ("masked", "unmasked")
        for adjust in (True, False)
    }
    variants = {name: score(labels, p, classes, groups, seed=recipe.seed) for name, p in shares.items()}
    chosen_variant = f"{settings.frames}_{'adjusted' if settings.prior == 'train' else 'raw'}"
    headline, probabilities = variants[chosen_variant], shares[chosen_variant]
    return {
        "zero_shot": chosen.zero_shot,
        "title": chosen.card.title,
        "languages": sorted(set(groups["language"].tolist())),
        "clips": len(rows),
        "left_out": chosen.index.num_rows - len(rows),
        "speakers": len(set(groups["speaker"].tolist())),
        "classes": list(classes),
        **headline,
        "variants": {k: {"metrics": v["metrics"], "ci95": v["ci95"]} for k, v in variants.items()},
        "baselines": {
            kind: compare(labels, probabilities, predicted, classes, groups, seed=recipe.seed) | told
            for kind, predicted, told in _baselines(
                recipe, heard, labels, classes, prior, probe, reader, ids, rows.tolist()
            )
        },
    }


def _baselines(
    recipe: Recipe,
    heard: Heard,
    labels: Int64[np.ndarray, " clips"],
    classes: Sequence[str],
    prior: Float[np.ndarray, " classes"],
    probe: _Probe,
    reader: Reader,
    ids: Sequence[str],
    rows: Sequence[int],
) -> Iterator[tuple[str, Int64[np.ndarray, "draws clips"], dict[str, Any]]]:
    """Yield name, predictions and what else is to be told of each baseline."""
    adjust = recipe.evaluation.prior == "train"
    random = random_head(heard.read[recipe.evaluation.frames], classes, seed=recipe.seed)
    yield "random_head", random, {"draws": len(random)}
    yield "majority", majority(prior, classes, len(labels)), {}
    probed = predict(probe.logits(reader, ids, rows), classes, probe.fitted.prior, adjust=adjust).argmax(axis=1)
    yield "frozen_probe", probed[None], {"layer": probe.fitted.layer, "chosen_on_held_out": probe.fitted.unit}


def newest_checkpoint(run: Path, name: str | None) -> Path:
    """Return the named checkpoint of a run, or the newest that verifies."""
    folder = run / "checkpoints"
    chosen = checkpoint.newest(folder) if name is None else folder / name
    if chosen is None:
        raise UsageError(f"{run}: has no checkpoint yet")
    return chosen


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
