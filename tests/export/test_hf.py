"""What `valenza export --to hf` writes is loaded by Transformers and says what the run says."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline

from valenza.config import load
from valenza.errors import UsageError
from valenza.export.hub import write as hf
from valenza.inference.hub import ValenzaForAudioClassification
from valenza.inference.model import load_run
from valenza.inference.pretrained import load_hf
from valenza.labels.taxonomy import EMOTIONS
from valenza.mixture.stream import Position
from valenza.model.network import build_network
from valenza.model.student import build_student
from valenza.recipe import Recipe
from valenza.timeline.sound import read_audio
from valenza.training import checkpoint

WAV2VEC2 = "{new: {family: wav2vec2, width: 16, layers: 2, attention_heads: 2}"
WAVLM = "{new: {family: wavlm, width: 16, layers: 1, attention_heads: 2}}"
SMALL = "{new: {width: 16, layers: 2, attention_heads: 2, mels: 16}, attention: clip"
DIRICHLET = "heads: {emotion: dirichlet}\nobjective: {dirichlet: 0.01, label_smoothing: 0.05}\n"
OWN = "evaluation: {padding: none, prior: none}\n"
KINDS = {
    "joined": f"encoder: {SMALL}, layers: joined}}\nheads: {{projection: 8, hidden: gelu}}\n",
    "whole window": f"encoder: {SMALL[: -len(', attention: clip')]}}}\nevaluation: {{frames: unmasked}}\n",
    "wav2vec2": f"encoder: {WAV2VEC2}}}\n",
    "wavlm": f"encoder: {WAVLM}\nheads: {{projection: 8}}\n",
    "mixture": f"encoder: {WAV2VEC2}, layers: mixture}}\n",
    "one scale": f"encoder: {WAV2VEC2}, layers: mixture}}\n",
    "dirichlet": f"encoder: {SMALL}}}\n" + DIRICHLET + OWN,
    "adapted": f"encoder: {WAV2VEC2}, freeze: [all], adapters: {{rank: 2}}}}\n" + OWN,
    "student": f"encoder: {SMALL}, layers: joined, blocks: 1, every: 2, chunk: 1.0}}\n" + DIRICHLET,
}
CLASSES = {"whole window": "WhisperForAudioClassification", "wav2vec2": "Wav2Vec2ForSequenceClassification",
           "wavlm": "WavLMForSequenceClassification", "one scale": "Wav2Vec2ForSequenceClassification",
           "adapted": "Wav2Vec2ForSequenceClassification"}  # fmt: skip
CLIPS = 9
PRIOR = dict(zip(EMOTIONS, (0.3, 0.2, 0.1, 0.1, 0.05, 0.15, 0.0, 0.1), strict=True))


def made(run: Path, shards: Path, kind: str, text: str) -> Path:
    """Write a run folder with a network of random weights and scales, as training would leave it."""
    stage = "student" if kind == "student" else "utterance"
    before = f"student: {{from: {run.parent / 'teacher'}}}\n" if stage == "student" else ""
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(
        f"stage: {stage}\ndata: {{shards: {shards}, train: {{english: 1, italian: 1}}, zero_shot: [german]}}\n"
        f"training: {{steps: 1, windows_per_step: 1, peak_lr: 1e-3}}\n{text}{before}"
    )
    recipe = load(Recipe, run / "recipe.yaml")
    torch.manual_seed(0)
    network = (build_student if stage == "student" else build_network)(recipe)
    with torch.no_grad():
        network.head.linear.weight.mul_(4)
        for name, value in network.named_parameters():
            if "scores" in name or name.endswith(".up"):
                value.normal_(std=0.3)
        if kind != "one scale":
            network.layer_reader.mean.normal_(std=0.1)
            network.layer_reader.scale.uniform_(0.5, 2)
    (run / "prior.json").write_text(json.dumps(PRIOR))
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    state = checkpoint.State(1, Position(), {})
    checkpoint.save(run / "checkpoints", weights, {}, state, keep=1)
    return run


@pytest.fixture(scope="module")
def run(corner: Any) -> Callable[[str], Path]:
    """A run of each kind, made once."""

    def of(kind: str) -> Path:
        folder = Path(corner.folder / "exported-runs" / kind.replace(" ", "-"))
        return folder if folder.exists() else made(folder, corner.shards, kind, KINDS[kind])

    return of


@pytest.fixture(scope="module")
def folder(run: Callable[[str], Path], corner: Any) -> Callable[[str], Path]:
    """Export a tiny run of each kind, once."""

    def exported(kind: str) -> Path:
        out = Path(corner.folder / "exported-hf" / kind.replace(" ", "-"))
        if not out.exists():
            hf.export_hf(run(kind), out, clips=CLIPS)
        return out

    return exported


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield
    torch.set_num_threads(threads)


def clip(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * (150 + 40 * seed) * time)
    return np.asarray(4000 * tone + 300 * rng.standard_normal(len(time)), dtype=np.int16)


def shares(said: list[dict[str, Any]]) -> np.ndarray:
    by_label = {row["label"]: row["score"] for row in said}
    assert set(by_label) == set(EMOTIONS)
    return np.array([by_label[emotion] for emotion in EMOTIONS])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_folder_is_of_the_class_that_computes_the_same_and_its_report_says_so(
    kind: str, folder: Callable[[str], Path]
) -> None:
    out = folder(kind)
    config, report = (json.loads((out / name).read_text()) for name in ("config.json", "parity.json"))
    expected = CLASSES.get(kind, "ValenzaForAudioClassification")
    assert config["architectures"] == [expected] == [report["class"]], report["reason"]
    assert bool(report["reason"]) == (kind not in CLASSES)
    assert report["clips"] == report["same_label"] == hf_clips(report)
    assert report["differences"]["logits"] <= 1e-4
    assert report["differences"]["probabilities"] <= 1e-5
    assert {int(k): v for k, v in config["id2label"].items()} == dict(enumerate(EMOTIONS))
    assert config["label2id"] == {emotion: number for number, emotion in enumerate(EMOTIONS)}
    assert "/" not in json.dumps(config), "a path of the machine that trained it"
    names = {"README.md", "config.json", "model.safetensors", "parity.json", "preprocessor_config.json"}
    assert {file.name for file in out.iterdir()} == names
    weights = load_file(out / "model.safetensors")
    assert weights
    assert all(torch.isfinite(value).all() for value in weights.values())


def hf_clips(report: dict[str, Any]) -> int:
    assert report["of"] == f"{CLIPS} clips of german, english, italian"
    return CLIPS


@pytest.mark.parametrize("kind", ["joined", "dirichlet", "mixture", "student"])
def test_the_pipeline_says_of_a_wav_file_what_predict_says(
    kind: str, run: Callable[[str], Path], folder: Callable[[str], Path], tmp_path: Path
) -> None:
    file = tmp_path / "speech.wav"
    soundfile.write(file, clip(1.37), 16_000)
    audio, rate = soundfile.read(file, dtype="float32")
    said = shares(
        pipeline("audio-classification", model=str(folder(kind)), top_k=None)({"raw": audio, "sampling_rate": rate})
    )
    expected = load_run(run(kind)).hear([clip(1.37)])[0].mixture
    np.testing.assert_allclose(said, expected, atol=1e-5)
    assert said[EMOTIONS.index("other")] == 0, "training had none"


def test_a_dirichlet_model_gives_the_mean_of_its_distribution(folder: Callable[[str], Path]) -> None:
    """α / Σα over what training had, from the logits alone, which are then log α."""
    model = AutoModelForAudioClassification.from_pretrained(folder("dirichlet")).eval()
    audio = torch.from_numpy(clip(0.9) / np.float32(32768))[None]
    with torch.inference_mode():
        said = model(audio)
        everything = model.recogniser(audio, torch.tensor([audio.shape[1]]))[0]
    alpha = everything[0].double().exp()
    assert said.concentration.item() == pytest.approx(alpha.sum().item(), rel=1e-5)
    seen = torch.tensor([emotion in model.config.seen for emotion in EMOTIONS])
    mean = torch.where(seen, alpha, 0.0) / alpha[seen].sum()
    told = pipeline("audio-classification", model=str(folder("dirichlet")), top_k=None)(audio[0].numpy())
    np.testing.assert_allclose(shares(told), mean.numpy(), atol=1e-5)
    assert said.frames.shape == (1, 45, 8)
    assert said.frame_concentration.shape == (1, 45)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_load_hf_hears_a_batch_as_the_run_does(
    kind: str, run: Callable[[str], Path], folder: Callable[[str], Path]
) -> None:
    clips = [clip(0.05, 1), clip(1.0, 2), clip(2.31, 3)]
    model, expected = load_hf(folder(kind)), load_run(run(kind))
    assert model.seen == expected.seen
    assert model.details["run"] == run(kind).name
    for mine, theirs, heard in zip(model.hear(clips), expected.hear(clips), clips, strict=True):
        assert len(mine.frames) == len(theirs.frames) == -(-len(heard) // 320)
        if kind != "whole window":  # which hears silence up to 30 s too
            np.testing.assert_allclose(mine.mixture, theirs.mixture, atol=1e-5)
            np.testing.assert_allclose(mine.frames, theirs.frames, atol=1e-5)
        np.testing.assert_allclose(mine.frames.sum(axis=1), 1, atol=1e-9)
        assert (mine.concentration is None) == (kind not in ("dirichlet", "student"))


def test_padding_after_a_recording_changes_nothing_and_before_it_is_refused(folder: Callable[[str], Path]) -> None:
    place = folder("joined")
    model, extract = (
        AutoModelForAudioClassification.from_pretrained(place).eval(),
        AutoFeatureExtractor.from_pretrained(place),
    )
    short, long = clip(0.7, 1) / np.float32(32768), clip(1.9, 2) / np.float32(32768)
    both = extract([short, long], sampling_rate=16_000, padding=True, return_tensors="pt")
    with torch.inference_mode():
        together = model(**both).logits.softmax(dim=-1)
        alone = model(**extract(short, sampling_rate=16_000, return_tensors="pt")).logits.softmax(dim=-1)
        (logits, *_) = model(both["input_values"], both["attention_mask"], return_dict=False)
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(logits.softmax(dim=-1), together)
    with pytest.raises(ValueError, match="padding stands after"):
        model(both["input_values"].flip(1), both["attention_mask"].flip(1))
    with pytest.raises(ValueError, match=r"30\.5 s of audio where 30 s"):
        model(torch.zeros(1, 488_000))


def test_from_pretrained_asks_for_no_encoder_and_a_model_without_weights_is_refused(
    folder: Callable[[str], Path], tmp_path: Path
) -> None:
    place = tmp_path / "copy"
    shutil.copytree(folder("dirichlet"), place)
    model, report = AutoModelForAudioClassification.from_pretrained(place, output_loading_info=True)
    assert isinstance(model, ValenzaForAudioClassification)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    said = json.loads((place / "config.json").read_text())
    for layers, wrong in (
        (3, "it has no weights for network.encoder"),
        (1, "for which its configuration has no place"),
    ):
        said["encoder"]["encoder_layers"] = layers
        (place / "config.json").write_text(json.dumps(said))
        with pytest.raises(UsageError, match=wrong):
            load_hf(place)
    (place / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_hf(place)
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_hf(tmp_path / "nowhere")


def test_a_real_encoder_says_of_real_speech_what_the_run_says(shared: Path, tmp_path: Path) -> None:
    """Whisper base with a random head: what is compared is 20 million trained weights and real recordings."""
    encoder = shared / "models" / "whisper-base-encoder"
    if not encoder.is_dir():
        pytest.skip("no real encoder")
    text = f"encoder: {{name: {encoder}, freeze: [all], attention: clip, layers: joined}}\n" + DIRICHLET + OWN
    place = made(tmp_path / "real", tmp_path / "none", "real", text)
    speech = shared / "corpora" / "emodb" / "wav"
    exported = hf.export_hf(place, tmp_path / "out", audio=[speech], clips=3)
    assert exported.parity["same_label"] == 3
    assert str(shared) not in (tmp_path / "out" / "config.json").read_text()
    file = sorted(speech.iterdir())[0]
    samples = read_audio(file)
    classify = pipeline("audio-classification", model=str(tmp_path / "out"), top_k=None)
    soundfile.write(tmp_path / "speech.wav", samples, 16_000)
    audio, _ = soundfile.read(tmp_path / "speech.wav", dtype="float32")
    np.testing.assert_allclose(shares(classify(audio)), load_run(place).hear([samples])[0].mixture, atol=1e-5)
