"""ONNX files of small networks with random weights, made once for the tests of engines and servers."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

from valenza.config import load
from valenza.export.onnx import graph
from valenza.export.onnx.precision import to_half
from valenza.inference.recogniser import Decision, Recogniser
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.network import build_network
from valenza.recipe import Recipe

SEEN = ("happiness", "sadness", "anger", "neutral")
SMALL = """stage: utterance
seed: 7
data: {{shards: nowhere, train: {{english: 1}}, zero_shot: [], window_seconds: 6}}
encoder: {{new: {{family: {family}, width: 16, layers: 1, attention_heads: 2, mels: 16}}}}
heads: {{emotion: {head}}}
objective: {objective}
training: {{steps: 2, windows_per_step: 1, windows_per_pass: 1, peak_lr: 1e-3}}
"""
OBJECTIVES = {"softmax": "{soft_labels: 1}", "dirichlet": "{soft_labels: 1, dirichlet: 0.1, label_smoothing: 0.05}"}


@dataclass(frozen=True)
class Exported:
    """A network and the ONNX file that was made of it."""

    recogniser: Recogniser
    path: Path


Export = Callable[[str, str, graph.Source, graph.Precision], Exported]


@contextmanager
def untyped() -> Iterator[None]:
    """Leave out the checks of shapes: while a network is traced its sizes are symbols, and no integers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield


@pytest.fixture
def tracing() -> Iterator[None]:
    """For tests in which a network is traced."""
    with untyped():
        yield


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Makes the ONNX file of a family's network, once for each family, head, source and precision."""
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed, reason="`pip install valenza[export]`")
    folder = tmp_path_factory.mktemp("onnx")
    networks: dict[tuple[str, str], Recogniser] = {}
    traced: dict[tuple[str, ...], Any] = {}
    made: dict[tuple[str, ...], Exported] = {}

    def make(family: str, head: str, source: graph.Source, precision: graph.Precision) -> Exported:
        key = (family, head, source, precision)
        if key in made:
            return made[key]
        if (family, head) not in networks:
            networks[family, head] = network_of(folder / "recipe.yaml", family, head)
        recogniser = networks[family, head]
        if key[:3] not in traced:
            with untyped():
                traced[key[:3]] = graph.to_onnx(recogniser, source)
        model = to_half(traced[key[:3]]) if precision == "fp16" else copy.deepcopy(traced[key[:3]])
        said = {"licence": "research only", "precision": precision, "framewise": "false"}
        path = folder / f"{'-'.join(key)}.onnx"
        graph.save(graph.finish(model, graph.properties(recogniser, source, said)), path)
        made[key] = Exported(recogniser, path)
        return made[key]

    return make


def network_of(recipe: Path, family: str, head: str) -> Recogniser:
    recipe.write_text(SMALL.format(family=family, head=head, objective=OBJECTIVES[head]))
    torch.manual_seed(3)
    shift = tuple(0.1 * number for number in range(len(EMOTIONS)))
    return Recogniser(build_network(load(Recipe, recipe)), Decision(SEEN, shift, 1.5)).eval()
