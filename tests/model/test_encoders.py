"""Encoders against transformers' own, and clips that neighbours must not change."""

from pathlib import Path

import pytest
import torch
import transformers

from valenza.errors import UsageError
from valenza.model.encoders import SpeechEncoder, WaveformStack, WhisperStack, load_encoder
from valenza.model.network import build_network
from valenza.recipe import Encoder, NewEncoder, Recipe

SMALL = NewEncoder(width=32, layers=2, attention_heads=2)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def new(**settings: object) -> SpeechEncoder:
    family = settings.pop("family", "whisper")
    return load_encoder(Encoder(new=SMALL.model_copy(update={"family": family}), **settings)).eval()  # type: ignore[arg-type]


def numbers(*frames: int) -> torch.Tensor:
    """Clip numbers of a window: so many frames each, a negative count for silence."""
    parts = [torch.full((abs(n),), i if n > 0 else -1) for i, n in enumerate(frames)]
    return torch.cat(parts)[None]


@torch.no_grad()
def test_whisper_equals_transformers_own_on_a_whole_window() -> None:
    stack = new()
    assert isinstance(stack, WhisperStack)
    mel = torch.randn(1, 80, 3000)
    wanted = stack.encoder(mel, output_hidden_states=True)
    layers = stack(mel, numbers(900, 500, -100))
    assert len(layers) == stack.depth == 3
    torch.testing.assert_close(layers[-1], wanted.last_hidden_state, atol=1e-5, rtol=0)
    torch.testing.assert_close(layers[0], wanted.hidden_states[1], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 7, 250])
def test_whisper_hears_any_shorter_length(frames: int) -> None:
    for attention in ("window", "clip"):
        layers = new(attention=attention)(torch.randn(2, 80, 2 * frames), torch.zeros(2, frames, dtype=torch.long))
        assert all(layer.shape == (2, frames, 32) and layer.isfinite().all() for layer in layers)


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(60, 40, 50), (9, 100, 30), (50, 50, 50)])
def test_a_clip_in_a_window_is_heard_as_if_it_were_alone(lengths: tuple[int, ...]) -> None:
    """Only the convolutions reach over a border: their last frame hears one step of the next clip."""
    stack = new(attention="clip")
    mels = [torch.randn(1, 80, 2 * n) for n in lengths]
    window = torch.cat([*mels, torch.randn(1, 80, 100)], dim=2)
    packed = stack(window, numbers(*lengths, -50))
    start = 0
    for mel, n in zip(mels, lengths, strict=True):
        alone = stack(mel, torch.zeros(1, n, dtype=torch.long))
        # The border frames differ, and through attention touch the others a little.
        for heard, wanted in zip(packed, alone, strict=True):
            inner = (heard[:, start : start + n] - wanted)[:, 2:-2].abs()
            assert inner.max() < 0.1 * wanted.std()
        start += n


@torch.no_grad()
def test_attention_stays_in_its_clip_exactly() -> None:
    """With borders that the convolutions cannot cross, what happens in one clip never reaches another."""
    stack = new(attention="clip")
    gap = torch.zeros(1, 80, 8)
    first, second = torch.randn(1, 80, 60), torch.randn(1, 80, 72)
    frames = torch.cat([torch.zeros(30), torch.full((4,), -1), torch.ones(36), torch.full((30,), -1)]).long()[None]

    def heard(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return stack(torch.cat([a, gap, b, torch.zeros(1, 80, 60)], dim=2), frames)[-1]

    before, after = heard(first, second), heard(first, torch.randn(1, 80, 72))
    torch.testing.assert_close(before[:, :30], after[:, :30], atol=1e-6, rtol=0)
    assert (before[:, 34:70] - after[:, 34:70]).abs().max() > 0.1
    alone = stack(torch.cat([second, gap], dim=2), torch.cat([torch.zeros(36), torch.full((4,), -1)]).long()[None])[-1]
    torch.testing.assert_close(before[:, 36:70], alone[:, 2:36], atol=1e-4, rtol=0)
    whole = new(attention="window")
    torch.testing.assert_close(stack.state_dict(), whole.load_state_dict(stack.state_dict()) and whole.state_dict())
    both = [whole(torch.cat([first, gap, b], dim=2), frames[:, :70])[-1][:, :20] for b in (second, -second)]
    assert (both[0] - both[1]).abs().max() > 1e-4, "in a whole window, clips hear each other"


def test_gradients_flow_through_clips_that_are_heard_apart() -> None:
    stack = new(attention="clip").train()
    stack(torch.randn(2, 80, 80), torch.cat([numbers(10, 25, -5), numbers(30, -10)]))[-1].square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in stack.parameters())


@torch.no_grad()
@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
@pytest.mark.parametrize("frames", [3, 50, 77])
def test_waveform_encoders_give_a_frame_for_each_of_the_batch(family: str, frames: int) -> None:
    stack = new(family=family)
    assert isinstance(stack, WaveformStack)
    sound = torch.randn(2, 320 * frames)
    layers = stack(sound, torch.zeros(2, frames, dtype=torch.long))
    assert len(layers) == stack.depth == 2
    assert all(layer.shape == (2, frames, 32) for layer in layers)
    own = stack.model(sound).last_hidden_state
    torch.testing.assert_close(layers[-1][:, : own.shape[1]], own, atol=1e-5, rtol=0)
    again = stack.train()(sound, torch.zeros(2, frames, dtype=torch.long))
    assert all(layer.isfinite().all() for layer in again)


@pytest.mark.parametrize(
    ("names", "frozen"),
    [
        (("conv",), ("encoder.conv1", "encoder.conv2", "encoder.embed_positions")),
        (("blocks.1",), ("encoder.layers.1.", "encoder.embed_positions")),
        (("blocks.0-1", "norm"), ("encoder.layers.", "encoder.layer_norm", "encoder.embed_positions")),
        (("all",), ("encoder.",)),
    ],
)
def test_named_parts_are_frozen_and_no_others(names: tuple[str, ...], frozen: tuple[str, ...]) -> None:
    stack = new(freeze=names)  # Whisper's positions are never trained
    for name, parameter in stack.named_parameters():
        assert parameter.requires_grad != name.startswith(frozen), name


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm"])
def test_parts_of_waveform_encoders(family: str) -> None:
    stack = new(family=family, freeze=("conv", "positions", "blocks.0-1", "norm"))
    assert {n for n, p in stack.named_parameters() if p.requires_grad} <= {"model.masked_spec_embed"}


@pytest.mark.parametrize("name", ["block.0", "blocks.7", "blocks.0-2", "blocks.1-0", "head", ""])
def test_parts_that_are_not_there_are_told(name: str) -> None:
    with pytest.raises(
        UsageError, match=r"there is no part '.*'; there are all, conv, positions, blocks.0, blocks.1, norm"
    ):
        new(freeze=(name,))


def test_clips_apart_are_for_whisper() -> None:
    with pytest.raises(UsageError, match="`clip` is for Whisper"):
        new(family="hubert", attention="clip")


@torch.no_grad()
def test_whisper_is_read_from_a_folder(tmp_path: Path) -> None:
    config = transformers.WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, vocab_size=8, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        decoder_start_token_id=0,
    )  # fmt: skip
    saved = transformers.WhisperModel(config).eval()
    saved.save_pretrained(tmp_path / "whisper")
    stack = load_encoder(Encoder(name=str(tmp_path / "whisper"))).eval()
    mel = torch.randn(1, 80, 3000)
    found = stack(mel, torch.zeros(1, 1500, dtype=torch.long))[-1]
    torch.testing.assert_close(found, saved.encoder(mel).last_hidden_state, atol=1e-5, rtol=0)
    assert not [name for name, _ in stack.named_parameters() if "decoder" in name]


@torch.no_grad()
@pytest.mark.parametrize("normalise", [True, False])
def test_wav2vec2_is_read_from_a_folder_with_its_scaling(tmp_path: Path, normalise: bool) -> None:
    stack = new(family="wav2vec2")
    assert isinstance(stack, WaveformStack)
    stack.model.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(tmp_path)
    read = load_encoder(Encoder(name=str(tmp_path))).eval()
    assert read.hearing.normalise is normalise
    sound, frames = torch.randn(1, 6400), torch.zeros(1, 20, dtype=torch.long)
    torch.testing.assert_close(read(sound, frames)[-1], stack(sound, frames)[-1], atol=1e-5, rtol=0)


def test_folders_that_hold_no_encoder_are_told(tmp_path: Path) -> None:
    for name, told in ((str(tmp_path / "none"), "there is no folder"), (str(tmp_path), "cannot be loaded")):
        with pytest.raises(UsageError, match=told):
            load_encoder(Encoder(name=name))
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="is a bert model"):
        load_encoder(Encoder(name=str(tmp_path)))


@torch.no_grad()
@pytest.mark.parametrize(("layers", "depth"), [("last", 1), ("mixture", 3), ("joined", 3)])
def test_a_network_gives_logits_for_every_frame(layers: str, depth: int) -> None:
    raw = {"stage": "utterance", "data": {"shards": "s", "train": {"a": 1}}, "training": {"steps": 1}}
    network = build_network(Recipe(**raw, encoder=Encoder(new=SMALL, layers=layers))).eval()  # type: ignore[arg-type]
    sound = (1000 * torch.randn(2, 16_000)).short()
    frames = torch.zeros(2, 50, dtype=torch.long)
    logits = network(sound, frames)
    assert logits.shape == (2, 50, 8)
    assert network.layer_reader.depth == depth
    held = torch.stack(network.layers(sound, frames), dim=2)
    torch.testing.assert_close(network(held, frames), logits, atol=1e-5, rtol=0)
