"""Low-rank adapters: nothing at first, then a thin product beside weights that stay."""

import pytest
import torch

from valenza.errors import UsageError
from valenza.model.adapters import ADAPTED, merge
from valenza.model.encoders import SpeechEncoder, load_encoder
from valenza.recipe import Adapters, Encoder, NewEncoder

FAMILIES = ("whisper", "wav2vec2", "hubert", "wavlm")


def build(family: str, adapters: Adapters | None = None) -> SpeechEncoder:
    torch.manual_seed(0)
    new = NewEncoder(family=family, width=16, layers=3, attention_heads=2, mels=16)  # type: ignore[arg-type]
    return load_encoder(Encoder(new=new, freeze=("all",), adapters=adapters)).eval()


def heard(encoder: SpeechEncoder) -> torch.Tensor:
    torch.manual_seed(1)
    inputs = torch.randn(2, 16, 40) if encoder.hearing.kind == "mel" else torch.randn(2, 20 * 320)
    return torch.stack(encoder(inputs, torch.zeros(2, 20, dtype=torch.int64)))


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_begin_as_nothing_and_are_all_that_learns(family: str) -> None:
    plain, adapted = build(family), build(family, Adapters(rank=2, blocks=(0, 2)))
    torch.testing.assert_close(heard(adapted), heard(plain), rtol=1e-5, atol=1e-6)
    learning = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    assert len(learning) == 2 * 2 * 2  # two blocks, two projections, two matrices
    assert all(any(kind in name for kind in ADAPTED) for name in learning)
    assert sum(p.numel() for p in learning.values()) == 2 * 2 * 2 * (16 * 2)
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    optimizer = torch.optim.SGD(learning.values(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        heard(adapted)[-1].square()[..., 0].sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    changed = {name for name, value in adapted.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(learning)
    assert (heard(adapted) - heard(plain)).abs().max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_merging_changes_the_weights_and_nothing_that_is_heard(family: str) -> None:
    adapted = build(family, Adapters(rank=3, scale=0.5))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if name.endswith(".up"):
                parameter.normal_()
    weights = {n: p.detach().clone() for n, p in adapted.named_parameters() if n.endswith(".original")}
    before = heard(adapted)
    parts = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    merge(adapted)
    torch.testing.assert_close(heard(adapted), before, rtol=1e-5, atol=1e-6)
    assert set(adapted.state_dict()) == set(build(family).state_dict())
    assert len(weights) == 6
    for name, weight in weights.items():
        stem = name.removesuffix(".original")
        wanted = weight + 0.5 * parts[f"{stem}.0.up"] @ parts[f"{stem}.0.down"]
        found = dict(adapted.named_parameters())[stem.replace("parametrizations.", "")]
        torch.testing.assert_close(found, wanted)


def test_a_block_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="there is no block 3; there are 0 to 2"):
        build("whisper", Adapters(blocks=(1, 3)))
