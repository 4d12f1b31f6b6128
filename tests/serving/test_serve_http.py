"""Files by POST: what is told of them, and how what is no file is refused."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from wires import file_of

from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.formats import FORMATS
from valenza.timeline.windows import Windows, mixture_of, timeline_of

RATE = 16_000


@pytest.fixture(scope="module")
def wav(speech: np.ndarray) -> bytes:
    return file_of(speech[: 4 * RATE])


def test_a_file_is_told_as_the_model_tells_it(server: Any, wav: bytes, speech: np.ndarray, model: Any) -> None:
    told = server.post(wav).raise_for_status().json()
    assert (told["duration"], list(told["shares"])) == (4.0, list(EMOTIONS))
    alone = mixture_of(model, speech[: 4 * RATE])
    assert list(told["shares"].values()) == pytest.approx(alone.tolist(), abs=1e-5)
    assert told["share"] == max(told["shares"].values()) == told["shares"][told["emotion"]]
    document = server.post(wav, "?timeline=1", headers={"content-type": "audio/wav"}).raise_for_status().json()
    recording = document["recordings"][0]
    timeline = timeline_of(model, speech[: 4 * RATE], Windows())
    assert recording["times"] == pytest.approx(timeline.times.tolist())
    assert np.asarray(recording["mixtures"]) == pytest.approx(timeline.mixtures, abs=1e-5)
    assert recording["segments"][-1]["end"] == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize(("form", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_any_container_is_read(server: Any, speech: np.ndarray, wav: bytes, form: str, subtype: str) -> None:
    whole = server.post(wav).json()["shares"]
    other = server.post(file_of(speech[: 4 * RATE], form=form, subtype=subtype)).raise_for_status().json()
    assert other["duration"] == pytest.approx(4.0, abs=0.1)
    most = max(abs(whole[emotion] - other["shares"][emotion]) for emotion in EMOTIONS)
    assert most < (1e-6 if form == "FLAC" else 0.2)


def test_channels_and_rates_are_brought_to_one(server: Any, speech: np.ndarray, wav: bytes) -> None:
    stereo = np.repeat(speech[: 4 * RATE, None], 2, axis=1)
    assert server.post(file_of(stereo)).json()["shares"] == pytest.approx(server.post(wav).json()["shares"], abs=1e-6)
    slow = file_of(speech[: 4 * RATE : 2], rate=8_000)
    assert server.post(slow).json()["duration"] == pytest.approx(4.0, abs=0.001)


def test_a_form_carries_a_file_and_its_name(server: Any, wav: bytes) -> None:
    form = {"file": ("../../etc/voice 1.wav", wav, "audio/wav")}
    told = httpx.post(f"{server.url}/predict", files=form, timeout=60).raise_for_status().json()
    assert told["file"] == "voice 1.wav"
    answer = httpx.post(f"{server.url}/predict?format=textgrid", files=form, timeout=60)
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''voice%201.TextGrid"


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_format_is_served(server: Any, wav: bytes, name: str) -> None:
    answer = server.post(wav, f"?timeline=1&format={name}&ban=other").raise_for_status()
    marks = {"json": '"recordings"', "csv": "time", "textgrid": "IntervalTier", "audacity": "\t", "rttm": "SPEAKER"}
    assert (marks | {"a2f": "emotion_with_timecode_list", "arkit": "browInnerUp"})[name] in answer.text
    if name == "json":
        assert "other" not in answer.json()["recordings"][0]["classes"]


def test_banned_emotions_leave_their_share_to_the_others(server: Any, wav: bytes) -> None:
    whole = server.post(wav).json()["shares"]
    rest = server.post(wav, "?ban=anger&ban=neutral").json()["shares"]
    left = 1 - whole["anger"] - whole["neutral"]
    assert rest == pytest.approx({e: whole[e] / left for e in EMOTIONS if e not in ("anger", "neutral")})


@pytest.mark.parametrize(
    ("status", "words", "query", "data"),
    [
        (400, "no audio", "", b""),
        (415, "cannot be read as audio", "", b"\x00\x01garbage" * 500),
        (415, "cannot be read as audio", "", b"RIFF\xff\xff\xff\xffWAVEfmt "),
        (413, "at most 1,048,576 bytes", "", bytes(1_100_000)),
        (413, "at most 12 s", "", "long"),
        (422, "no samples", "", "empty"),
        (422, "not finite", "", "nan"),
        (422, "40 channels", "", "wide"),
        (422, "1000 Hz", "", "slow"),
        (422, "format", "?format=mp3", "short"),
        (422, "ban", "?ban=joy", "short"),
        (422, "rate", "?timeline=1&rate=nan", "short"),
        (422, "rate", "?timeline=1&rate=1e9", "short"),
    ],
)
def test_refusals_say_why(narrow: Any, status: int, words: str, query: str, data: Any) -> None:
    made = {
        "long": lambda: file_of(np.zeros(13 * RATE, np.int16), form="FLAC"),
        "empty": lambda: file_of(np.zeros(0, np.int16)),
        "nan": lambda: file_of(np.full(RATE, np.nan, np.float32), subtype="FLOAT"),
        "wide": lambda: file_of(np.zeros((100, 40), np.int16)),
        "slow": lambda: file_of(np.zeros(1000, np.int16), rate=1_000),
        "short": lambda: file_of(np.zeros(1000, np.int16)),
    }
    answer = narrow.post(made[data]() if isinstance(data, str) else data, query)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert answer.headers["content-type"] == "application/json"


def test_an_answer_has_only_so_many_frames(server: Any) -> None:
    silence = file_of(np.zeros(1800 * RATE, np.int16), form="FLAC")
    answer = server.post(silence, "?format=arkit&rate=200")
    assert (answer.status_code, answer.json()) == (
        422,
        {"detail": "rate: 1800 s have at most 55.56 frames a second here"},
    )


def test_a_large_answer_is_sent_whole(server: Any, wav: bytes) -> None:
    answer = server.post(wav, "?format=arkit&rate=200").raise_for_status()
    assert len(answer.text.splitlines()) == 801
    assert int(answer.headers["content-length"]) == len(answer.content) > 200_000


def test_the_shortest_of_files_is_heard(server: Any) -> None:
    assert server.post(file_of(np.ones(1, np.int16))).raise_for_status().json()["duration"] == 1 / RATE


@pytest.mark.parametrize("form", [b"--x\r\n", b"--x\r\nContent-Disposition: form-data; name=f\r\n\r\n\xff", b"x" * 100])
@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data;;="])
def test_forms_that_are_none_are_refused(server: Any, form: bytes, kind: str) -> None:
    answer = server.post(form, headers={"content-type": kind})
    assert answer.status_code == 400, answer.text


def test_a_form_names_no_codec(server: Any, wav: bytes) -> None:
    """Punycode takes seconds for a field of a million letters, and the server would do nothing else meanwhile."""
    field = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n' + b"a" * 1_000_000 + b"\r\n"
    file = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + wav + b"\r\n--x--\r\n"
    answer = server.post(field + file, headers={"content-type": "multipart/form-data; charset=punycode; boundary=x"})
    assert answer.raise_for_status().json()["file"] == "a.wav"
    assert answer.elapsed.total_seconds() < 6


def test_strangers_are_refused(server: Any, wav: bytes) -> None:
    for headers, status in (
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ):
        assert server.post(wav, headers=headers).status_code == status
        assert httpx.get(f"{server.url}/model", headers=headers).status_code == status


def test_a_look_ahead_that_the_model_cannot_have_is_refused(tiny: Path, corner: Any) -> None:
    ended = corner.run("serve", tiny, "--port", 0, "--look-ahead", 0.5)
    assert (ended.code, "tells the middle of each window" in ended.err) == (64, True), ended.err


def test_the_model_tells_of_itself(server: Any) -> None:
    told = httpx.get(f"{server.url}/model").raise_for_status().json()
    assert told["emotions"] == ["happiness", "sadness", "anger", "neutral"]
    assert (told["classes"], told["sample_rate"]) == (list(EMOTIONS), RATE)
    assert "/" not in told["name"]
    policy = httpx.get(f"{server.url}/").headers
    assert "script-src 'self'" in policy["content-security-policy"]
    assert "microphone=(self)" in policy["permissions-policy"]
