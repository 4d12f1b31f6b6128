"""The fresh probe for the domain, against scikit-learn's own regression and representations made for it."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.preprocessing import StandardScaler

from valenza.evaluation.domain import domain_probe, hold_out


def clips(shift: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Two corpora of two speakers each, moved apart by `shift`; the second corpus is the larger."""
    generator = np.random.default_rng(0)
    number = np.repeat([0, 1, 2, 3], [50, 50, 100, 100])
    x = generator.standard_normal((300, 6))
    x[np.arange(300), number] += shift
    corpus = np.array(["a", "b"])[number // 2]
    return x, {"corpus": corpus, "speaker": (number % 2).astype(str), "language": np.where(corpus == "a", "en", "it")}


@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])
def test_equals_scikit_learns(shift: float) -> None:
    x, names = clips(shift)
    held_out = np.arange(300) % 4 == 0
    found = domain_probe(x, **names, held_out=held_out)
    speaker = np.char.add(names["corpus"], names["speaker"])
    scaled = StandardScaler().fit(x[~held_out])
    for kind, wanted in (("corpus", names["corpus"]), ("speaker", speaker), ("language", names["language"])):
        model = LogisticRegression(C=1.0, max_iter=1000).fit(scaled.transform(x[~held_out]), wanted[~held_out])
        predicted = model.predict(scaled.transform(x[held_out]))
        assert found[kind]["accuracy"] == pytest.approx((predicted == wanted[held_out]).mean(), abs=0.03)
        assert found[kind]["ua"] == pytest.approx(recall_score(wanted[held_out], predicted, average="macro"), abs=0.05)
        assert found[kind]["clips"] == 75
    assert found["corpus"]["majority"] == pytest.approx(2 / 3, abs=0.01)
    assert (found["corpus"]["classes"], found["speaker"]["classes"]) == (2, 4)


def test_what_is_not_there_is_not_found() -> None:
    apart, names = clips(4.0)
    held_out = np.arange(300) % 4 == 0
    assert domain_probe(apart, **names, held_out=held_out)["speaker"]["accuracy"] > 0.9
    mixed = domain_probe(clips(0.0)[0], **names, held_out=held_out)
    assert mixed["speaker"]["accuracy"] < 0.5
    assert domain_probe(np.zeros((300, 6)), **names, held_out=held_out)["speaker"]["ua"] == pytest.approx(0.25)


def test_one_language_cannot_be_told_and_unfitted_speakers_do_not_count() -> None:
    x, names = clips(1.0)
    names["language"][:] = "en"
    held_out = np.arange(300) % 4 == 0
    held_out[:50] = True  # all of one speaker
    found = domain_probe(x, **names, held_out=held_out)
    assert set(found) == {"corpus", "speaker"}
    assert (found["speaker"]["classes"], found["speaker"]["clips"]) == (3, int(held_out[50:].sum()))


def test_takes_stay_together_and_a_quarter_is_held_out() -> None:
    takes = [f"take{i // 2}" for i in range(4000)]
    held = hold_out(["a"] * 4000, takes)
    assert (held[::2] == held[1::2]).all()
    assert held.mean() == pytest.approx(0.25, abs=0.03)
    assert (held != hold_out(["b"] * 4000, takes)).any()
