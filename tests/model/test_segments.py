"""Clips that are heard in parts, or one frame in several, against what slow loops say of every frame."""

from itertools import groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from valenza.errors import UsageError
from valenza.model.encoders import WhisperStack, load_encoder
from valenza.model.segments import Segments
from valenza.recipe import Encoder, NewEncoder

NEW = NewEncoder(width=16, layers=3, attention_heads=2, mels=16)
windows = st.lists(st.integers(1, 60), min_size=1, max_size=6)


def stack(seed: int = 0, **settings: object) -> WhisperStack:
    """An encoder whose weights are those of every other one with this seed."""
    torch.manual_seed(seed)
    built = load_encoder(Encoder(new=NEW, attention="clip", **settings))  # type: ignore[arg-type]
    assert isinstance(built, WhisperStack)
    return built.eval()


def numbers(*frames: int) -> Tensor:
    """Which clip each frame of one window belongs to."""
    return torch.cat([torch.full((count,), number) for number, count in enumerate(frames)])[None]


def parts_of(segments: Segments, frames: int) -> list[range]:
    """The parts that a window was cut into, as flat frame numbers."""
    begins = [i for i in range(frames) if segments.since_start[i] == 0]
    return [range(a, b) for a, b in zip(begins, [*begins[1:], frames], strict=True)]


def stand_ins(segments: Segments) -> list[int]:
    """For each flat frame the one that is heard in its place."""
    heard = torch.cat([bucket.spoken(bucket.frames[..., None])[:, 0] for bucket in segments.buckets()])
    return [int(frame) for frame in heard.sort().values[segments.of_heard()]]


@given(windows, st.integers(1, 70))
def test_parts_are_the_fewest_that_are_short_enough_and_alike(clips: list[int], longest: int) -> None:
    parts = parts_of(Segments(numbers(*clips), longest=longest), sum(clips))
    of_clip = numbers(*clips)[0].tolist()
    for clip, each in groupby(parts, lambda part: of_clip[part[0]]):
        lengths = [len(part) for part in each]
        assert sum(lengths) == clips[clip]
        assert max(lengths) <= longest
        wanted = -(-clips[clip] // longest)
        assert len(lengths) == wanted
        assert max(lengths) - min(lengths) <= 1


@given(windows, st.integers(1, 70), st.integers(1, 9))
def test_a_frames_stand_in_is_in_the_middle_of_its_group(clips: list[int], longest: int, every: int) -> None:
    segments = Segments(numbers(*clips), longest=longest, every=every)
    heard = stand_ins(segments)
    for part in parts_of(segments, sum(clips)):
        for frame in part:
            group = part[(frame - part[0]) // every * every :][:every]
            assert heard[frame] == group[min(every // 2, len(group) - 1)]


@given(windows)
def test_without_longer_clips_and_gaps_every_frame_is_heard_itself(clips: list[int]) -> None:
    segments = Segments(numbers(*clips), longest=max(clips), every=1)
    assert stand_ins(segments) == list(range(sum(clips)))
    assert [len(part) for part in parts_of(segments, sum(clips))] == clips


def test_rows_of_a_batch_are_not_one_clip() -> None:
    """The same clip number at the end of a row and at the start of the next is not one segment."""
    segments = Segments(torch.tensor([[0, 0, 0], [0, 0, 1]]), longest=2)
    assert [list(part) for part in parts_of(segments, 6)] == [[0, 1], [2], [3, 4], [5]]


@torch.no_grad()
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_first_blocks_say_what_they_say_in_the_whole_encoder(blocks: int) -> None:
    whole, cut = stack(), stack(blocks=blocks)
    mel, frames = torch.randn(1, 16, 160), numbers(30, 50)
    layers = cut(mel, frames)
    assert (len(layers), cut.depth, whole.depth) == (blocks, blocks, 4)
    for found, wanted in zip(layers, whole(mel, frames), strict=False):
        torch.testing.assert_close(found, wanted, atol=0, rtol=0)
    assert len(list(cut.parts())) == 3 + blocks  # beside conv, positions and norm


@torch.no_grad()
def test_a_chunk_that_holds_every_clip_changes_nothing() -> None:
    mel, frames = torch.randn(1, 16, 160), numbers(30, 50)
    for found, wanted in zip(stack(chunk=1.0, every=1)(mel, frames), stack()(mel, frames), strict=True):
        torch.testing.assert_close(found, wanted, atol=0, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("every", "chunk"), [(2, None), (3, 0.5), (1, 0.34), (4, 0.2)])
def test_blocks_hear_the_stand_ins_alone(every: int, chunk: float | None) -> None:
    """Each part by itself through the blocks, its middle frames only, with positions that begin at 0."""
    encoder, clips = stack(every=every, chunk=chunk), (41, 7, 12)
    mel, frames = torch.randn(1, 16, 120), numbers(*clips)
    layers, e = encoder(mel, frames), encoder.encoder
    hidden = nn.functional.gelu(e.conv2(nn.functional.gelu(e.conv1(mel)))).transpose(1, 2)
    segments = Segments(frames, longest=encoder.longest, every=every)
    for part in parts_of(segments, sum(clips)):
        wanted = [stand_ins(segments)[frame] for frame in part]
        heard = sorted(set(wanted))
        values = hidden[:, heard] + e.embed_positions.weight[[frame - part[0] for frame in heard]]
        for layer, block in zip(layers, e.layers, strict=False):
            values = block(values, None)
            values = values[0] if isinstance(values, tuple) else values
            repeated = values[:, [heard.index(frame) for frame in wanted]]
            torch.testing.assert_close(layer[:, list(part)], repeated, atol=1e-5, rtol=0)


def test_blocks_that_are_not_there_are_told() -> None:
    with pytest.raises(UsageError, match=r"encoder\.blocks: there are 3, not 4"):
        stack(blocks=4)
    with pytest.raises(UsageError, match=r"encoder\.blocks: is for Whisper"):
        load_encoder(Encoder(new=NEW.model_copy(update={"family": "hubert"}), blocks=1))


def test_what_is_kept_of_clips_is_named_by_all_that_decides_it() -> None:
    """Weights are equal for any `every` and `chunk`, so that they cannot tell what was heard with which."""
    ways = [{}, {"every": 2}, {"chunk": 1.0}, {"chunk": 2.0}, {"every": 2, "chunk": 1.0}, {"blocks": 3}, {"blocks": 2}]
    named = [stack(**way).manner for way in ways]  # type: ignore[arg-type]
    assert len(set(named)) == len(ways)
    assert named[0] == ""
