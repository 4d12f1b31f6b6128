"""The model card: what a run is, was taught, scores and may be used for, from its own files and nothing else."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from valenza.errors import UsageError
from valenza.evaluation.results import read_results
from valenza.evaluation.schema import Results
from valenza.export.hub.limits import INTENDED, LIMITS
from valenza.export.hub.scores import index, scores
from valenza.export.licences import FREE, NAMES, Kind, strictest
from valenza.export.lineage import Corpus, Lineage, lineage
from valenza.inference.hub import ValenzaForAudioClassification
from valenza.inference.recogniser import Decision
from valenza.labels.taxonomy import EMOTIONS
from valenza.recipe import Recipe
from valenza.version import __version__

MANIFESTS = Path("datasets_manifests")
RESULTS = "results.json"
_LOUD: dict[Kind, str] = {
    "non-commercial": "Not for commercial use: it was trained on data that is licensed for non-commercial use alone",
    "restricted": "Not free to use: it was trained on data that is for research alone or was had by an agreement",
    "unknown": "Of unknown licence: nobody has stated what some of its training data may be used for",
}


@dataclass(frozen=True)
class Facts:
    """What a card is made of."""

    run: Path
    recipe: Recipe
    decision: Decision
    checkpoint: str
    architecture: str
    """The class that Transformers loads."""
    reason: str = ""
    """Why it is not a stock one."""
    parity: dict[str, Any] = field(default_factory=dict)
    manifests: Path = MANIFESTS
    """Where licences are looked up if the shards are not there."""

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.resolve().name


def model_card(facts: Facts) -> str:
    """Return a README.md for a model's folder, with the front matter that the hub reads.

    What its files do not tell is said to be unknown. No path of this machine is in it.
    """
    learned = lineage(facts.run, facts.recipe, facts.manifests)
    results, remark = _results(facts)
    head = _front_matter(facts, learned, results)
    parts = [
        f"# {facts.name}",
        _warning(learned),
        _summary(facts),
        _usage(facts).strip(),
        INTENDED.strip(),
        LIMITS.strip(),
        "## Results\n\n" + (scores(results) + _otherwise(facts) if results else remark),
        _training(facts, learned),
        _licence(learned),
        _made(facts),
    ]
    return f"---\n{head.to_yaml()}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _results(facts: Facts) -> tuple[Results | None, str]:
    """Return the scores of this checkpoint, or why there are none."""
    try:
        results = read_results(facts.run / RESULTS)
    except UsageError:
        return None, "Unknown: the run was not evaluated before it was exported."
    if results.checkpoint != facts.checkpoint:
        return None, f"Unknown: what was evaluated is {results.checkpoint}, and this is {facts.checkpoint}."
    return results, ""


def _otherwise(facts: Facts) -> str:
    """Tell where recordings are heard in another way than when they were scored."""
    if facts.recipe.evaluation.padding == "none" or facts.architecture.startswith("Whisper"):
        return ""
    return " This model hears them without that silence, so that its scores may differ."


def _front_matter(facts: Facts, learned: Lineage, results: Results | None) -> ModelCardData:
    languages = {
        tag.split("-")[0].lower() for corpus in learned.corpora if corpus.card for tag in corpus.card.languages
    }
    return ModelCardData(
        language=sorted(code for code in languages if re.fullmatch(r"[a-z]{2,3}", code)) or None,
        license="other",
        license_name=NAMES[strictest(learned.kinds)],
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["speech-emotion-recognition", "emotion", "speech", "valenza", *_heads(facts)],
        base_model=facts.recipe.encoder.name if _on_hub(facts.recipe.encoder.name) else None,
        datasets=sorted({corpus.hub_id for corpus in learned.corpora if corpus.hub_id}) or None,
        metrics=["f1", "recall", "accuracy"] if results else None,
        model_name=facts.name if results else None,
        eval_results=list(index(results)) if results else None,
    )


def _heads(facts: Facts) -> list[str]:
    return ["dirichlet"] if facts.recipe.heads.emotion == "dirichlet" else []


def _on_hub(name: str | None) -> bool:
    return bool(name) and bool(re.fullmatch(r"[\w.-]+/[\w.-]+", str(name))) and not str(name).startswith((".", "~"))


def _warning(learned: Lineage) -> str:
    strict = strictest(learned.kinds)
    if strict in FREE:
        return ""
    blamed: dict[Kind, list[Corpus]] = {}
    for corpus, *_ in learned.sources:
        if corpus.kind not in FREE:
            blamed.setdefault(corpus.kind, []).append(corpus)
    lines = [f"> **{_LOUD[strict]}.**", ">"]
    named = {kind: ", ".join(f"`{c.name}` ({c.licence})" for c in blamed[kind]) for kind in _LOUD if kind in blamed}
    lines += [f"> * {kind}: {corpora}" for kind, corpora in named.items()]
    if learned.lost:
        lines.append(f"> * unknown: what {', '.join(learned.lost)}, which it started from, was trained on")
    return "\n".join(lines)


def _summary(facts: Facts) -> str:
    never = [emotion for emotion in EMOTIONS if emotion not in facts.decision.seen]
    told = ", ".join(facts.decision.seen)
    text = [f"Tells from 16 kHz speech which emotion it sounds like: {told}."]
    if never:
        names = " and no ".join(f"`{emotion}`" for emotion in never)
        text.append(f"Training had no {names}: the label is there, and its share is always 0.")
    if facts.recipe.stage in ("student", "preference"):
        text.append("It follows emotions over time: each 20 ms has a mixture of its own.")
    if facts.recipe.heads.emotion == "dirichlet":
        text.append("Its head is a Dirichlet distribution over mixtures: the mixture is the distribution's mean, and")
        text.append("its concentration says how sure the model is (Fedorov & Korobchenko, §4.2).")
    return " ".join(text)


def _usage(facts: Facts) -> str:
    ours = facts.architecture == ValenzaForAudioClassification.__name__
    why = f" (`pip install valenza`; no stock class, since {facts.reason})" if ours else ""
    register = "import valenza.inference.hub  # lets Transformers know the class; no remote code\n" if ours else ""
    sure = ", and `concentration`" if facts.recipe.heads.emotion == "dirichlet" else ""
    more = f"\nThe model's output also has `frames`, the mixture of every 20 ms{sure}.\n" if ours else ""
    limit = "" if facts.architecture.startswith("Whisper") else "Recordings are heard at their own length. "
    return f"""## Use

The class is `{facts.architecture}`{why}.

```python
import soundfile
{register}from transformers import pipeline

emotions = pipeline("audio-classification", model="PATH OR HUB ID", top_k=None)
audio, rate = soundfile.read("speech.wav", dtype="float32")  # mono, 16 kHz
print(emotions({{"raw": audio, "sampling_rate": rate}}))
```

{limit}Waveforms must be 16 kHz and mono; `valenza predict MODEL FILE…` takes any file of any length and rate.
{more}"""


def _training(facts: Facts, learned: Lineage) -> str:
    lines = [
        "## Training data",
        "",
        "| corpus | title | languages | clips | hours | licence |",
        "|---|---|---|--:|--:|---|",
    ]
    for corpus, *_ in learned.sources:
        card = corpus.card
        clips = "unknown" if corpus.clips is None else f"{corpus.clips:,}"
        hours = "unknown" if corpus.hours is None else f"{corpus.hours:.2f}"
        known = ["unknown", "unknown"] if card is None else [_link(corpus), ", ".join(card.languages)]
        lines.append(f"| `{corpus.name}` | {' | '.join(known)} | {clips} | {hours} | {corpus.licence} |")
    lines += ["", "Clips and hours are those of the shards; splits and speakers that were set aside are part of them."]
    made = [corpus for _, *others in learned.sources for corpus in others]
    if made:
        told = ", ".join(f"`{c.name}`" + ("" if c.hours is None else f" ({c.hours:.2f} h)") for c in made)
        lines.append(f"Of these were made, by joining clips or with labels that a model gave: {told}.")
    encoder = facts.recipe.encoder
    if encoder.name is None:
        lines.append("The encoder started from random weights.")
    else:
        name = encoder.name if _on_hub(encoder.name) else f"a local folder, `{Path(encoder.name).name}`"
        frozen = ", not trained further" if "all" in encoder.freeze else ""
        lines.append(f"The encoder is {name}{frozen}; its own licence and training data hold too.")
    cited = dict.fromkeys(c.card.citation for c in learned.corpora if c.card and c.card.citation)
    return "\n".join([*lines, *(["", "Corpora: " + "; ".join(cited) + "."] if cited else [])])


def _link(corpus: Corpus) -> str:
    assert corpus.card is not None  # noqa: S101 - the caller has looked
    title = corpus.card.title.replace("|", "/")
    return f"[{title}]({corpus.card.homepage})" if corpus.card.homepage.startswith("http") else title


def _licence(learned: Lineage) -> str:
    strict = strictest(learned.kinds)
    text = "No licence was chosen for these weights when they were exported; whoever publishes them must choose one."
    if strict == "share-alike":
        text += " Some training data is under a share-alike licence, which may bind what is made of it."
    elif strict not in FREE:
        text += " Whether a model is bound by the licences of what it learned from is unsettled: take the strictest"
        text += " of those above to hold."
    return f"## Licence\n\n{text}"


def _made(facts: Facts) -> str:
    text = [f"Made by valenza {__version__} from the checkpoint {facts.checkpoint} of the run {facts.name}."]
    if found := facts.parity.get("differences"):
        worst = ", ".join(f"{what} {value:.0e}" for what, value in found.items())
        text.append(f"Compared with that run on {facts.parity['of']}: greatest "
                    f"differences {worst} (`parity.json`).")  # fmt: skip
    return "## This folder\n\n" + " ".join(text)
