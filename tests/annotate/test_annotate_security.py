"""What strangers, other sites and other annotators try."""

import json
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valenza.annotate.invites import Names, new_annotator, read_secret

PROTECTED = [
    ("GET", "/api/session"),
    ("GET", "/api/next"),
    ("GET", f"/api/audio/{'0' * 32}"),
    ("POST", "/api/consent"),
    ("POST", "/api/votes"),
    ("POST", "/api/undo"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_study: Any, start_module: Any) -> tuple[Path, Any]:
    """A study whose consent holds a script too, and the server on it with one annotator who agreed."""
    root = tmp_path_factory.mktemp("security")
    study = make_study(root / "pairs", title="</title><script>alert('stored')</script>")
    (root / "consent.txt").write_text("Yes <img src=x onerror=alert(1)>")
    server = start_module(study.folder, "--invite", 3, "--votes-per-pair", 3, "--consent", root / "consent.txt")
    server.annotator().agree()
    return study.folder, server


def valid(path: str) -> dict[str, Any]:
    bodies: dict[str, dict[str, Any]] = {
        "/api/consent": {"sound": True},
        "/api/undo": {"id": str(uuid.uuid4())},
        "/api/votes": {
            "id": str(uuid.uuid4()),
            "pair": "0" * 32,
            "choice": "left",
            "watched": {"left": 1.0, "right": 1.0},
            "replays": 0,
            "milliseconds": 5,
        },
    }
    return bodies.get(path, {})


def raw(server: Any, request: bytes) -> bytes:
    """Send bytes as they are and return what comes back, until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(request)
        answer = b""
        while part := line.recv(65_536):
            answer += part
    return answer


def get(server: Any, target: str, *headers: str, method: str = "GET") -> bytes:
    host = f"Host: 127.0.0.1:{server.port}"
    lines = [f"{method} {target} HTTP/1.1", *(headers or (host,)), "Connection: close"]
    return raw(server, "\r\n".join([*lines, "", ""]).encode("latin-1"))


def tokens(folder: Path, server: Any) -> dict[str, str]:
    good = server.annotator().token
    annotator, expires, mac = good.split(".")
    names = Names(read_secret(folder), "another study's digest")
    own = Names(read_secret(folder), read_digest(folder))
    return {
        "word": "admin",
        "cut": good[:-1],
        "longer": good + "A",
        "other mac": f"{annotator}.{expires}.{mac[::-1]}",
        "other annotator": f"{new_annotator()}.{expires}.{mac}",
        "later expiry": f"{annotator}.{int(time.time()) + 99_999}.{mac}",
        "expired": own.token(annotator, int(time.time()) - 1),
        "other study": names.token(annotator, 0),
        "other secret": Names(bytes(32), read_digest(folder)).token(annotator, 0),
        "padded": good + "=",
        "spaced": good + " x",
        "not ascii": good[:-1] + "é",
        "sql": "' OR '1'='1",
        "null": "a-0000000000.0.\x7f",
        "long": "a" * 8_000,
        # The last character of 43 carries two bits that base64 ignores: another spelling of the same bytes.
        "other spelling": good[:-1] + chr(ord(good[-1]) + 1),
    }


def read_digest(folder: Path) -> str:
    from valenza.stages.pairs.folder import read_pairs

    return read_pairs(folder).digest


def test_no_token_and_false_tokens(place: tuple[Path, Any]) -> None:
    folder, server = place
    with server.client() as anyone:
        for method, path in PROTECTED:
            for name, token in tokens(folder, server).items():
                body = valid(path) if method == "POST" else None
                headers = {"authorization": f"Bearer {token}".encode()}
                answer = anyone.request(method, path, json=body, headers=headers)
                assert answer.status_code == 401, (path, name)
                assert answer.headers["www-authenticate"] == "Bearer"
            for headers in (
                {},
                {"authorization": "Bearer"},
                {"authorization": "Basic YTpi"},
                {"authorization": server.annotator().token},
            ):
                assert anyone.request(method, path, json=valid(path), headers=headers).status_code == 401
            for elsewhere in (f"{path}?token={server.annotator().token}", path):
                cookie = {"cookie": f"token={server.annotator().token}"}
                assert anyone.request(method, elsewhere, json=valid(path), headers=cookie).status_code == 401


def test_a_withdrawn_invitation(place: tuple[Path, Any], valenza: Any) -> None:
    folder, server = place
    annotator = server.annotator(2)
    assert annotator.get("/api/session").status_code == 200
    code, _, said = valenza("annotate", folder, "--revoke", annotator.name)
    assert (code, said.strip()) == (0, f"{annotator.name} can no longer vote; what they said is kept")
    answer = annotator.get("/api/session")
    assert (answer.status_code, answer.json()) == (401, {"detail": "this invitation was withdrawn"})
    code, _, said = valenza("annotate", folder, "--revoke", annotator.name)
    assert (code, "no open invitation" in said) == (64, True)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
def test_other_origins(place: tuple[Path, Any], headers: dict[str, str]) -> None:
    _, server = place
    annotator = server.annotator()
    before = annotator.get("/api/session").json()
    for method, path in PROTECTED:
        answer = annotator.http.request(method, path, json=valid(path), headers=headers)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert annotator.get("/api/session").json() == before


def test_what_a_form_or_image_of_another_site_can_send(place: tuple[Path, Any]) -> None:
    """Such requests carry neither the token nor JSON's content type, and each of the two is enough to refuse them."""
    _, server = place
    annotator = server.annotator()
    body = json.dumps(annotator.ballot(annotator.next()["pair"], "left"))
    before = annotator.get("/api/session").json()
    with server.client() as anyone:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            headers = {"content-type": kind} if kind else {}
            assert anyone.post("/api/votes", content=body, headers=headers).status_code == 415
            assert annotator.http.post("/api/votes", content=body, headers=headers).status_code == 415
        preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
        for path in ("/api/votes", "/", "/api/next"):
            answer = anyone.options(path, headers=preflight)
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.startswith("access-control")]
        assert anyone.options("/api/votes").status_code == 405
    assert annotator.get("/api/session").json() == before


def test_the_own_origin_and_a_followed_link_pass(place: tuple[Path, Any]) -> None:
    _, server = place
    annotator = server.annotator()
    for origin in (server.url, server.url.upper()):
        headers = {"origin": origin, "sec-fetch-site": "same-origin"}
        assert annotator.get("/api/session", headers=headers).status_code == 200
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert annotator.get("/", headers=followed).status_code == 200
    assert annotator.get("/api/session", headers=followed).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "[", "0.0.0.0", "a b"]
)
def test_other_host_names(place: tuple[Path, Any], host: str) -> None:
    _, server = place
    token = server.annotator().token
    for path in ("/", "/healthz", "/api/session", "/openapi.json"):
        told = get(server, path, f"Host: {host.format(port=server.port)}", f"Authorization: Bearer {token}")
        status = int(told.split(b" ", 2)[1])
        assert status in (400, 421), told[:200]
    assert get(server, "/", "Accept: */*").split(b" ", 2)[1] == b"400"
    two = (f"Host: 127.0.0.1:{server.port}", "Host: evil.example")
    assert get(server, "/", *two).split(b" ", 2)[1] == b"400"


def test_public_url_is_a_host_name_too(start: Callable[..., Any], study_folder: Path) -> None:
    server = start(study_folder, "--public-url", "https://study.example")
    told = get(server, "/api/session", "Host: study.example", "Origin: https://study.example")
    assert told.split(b" ", 2)[1] == b"401"


TRAVERSALS = [
    "/assets/../secret.key", "/assets/..%2f..%2fsecret.key", "/assets/%2e%2e/%2e%2e/server.py", "/../../etc/passwd",
    "/assets/....//....//etc/passwd", "/assets/..%252f..%252fetc/passwd", "/assets/%c0%ae%c0%ae/etc/passwd",
    "/assets/avatar/../../server.py", "/assets//etc/passwd", "//etc/passwd", "/assets/..\\..\\server.py",
    "/assets/%00", "/assets/index.html%00.js", "/assets/avatar/rig.json/..", "/api/audio/../session",
    "/api/audio/..%2f..%2fvotes.sqlite", "/api/audio/%2e%2e%2fsecret.key", "/assets/./../store.py",
    "/assets/file:///etc/passwd", "http://127.0.0.1/assets/../secret.key",
]  # fmt: skip


@pytest.mark.parametrize("target", TRAVERSALS)
def test_paths_that_climb(place: tuple[Path, Any], target: str) -> None:
    folder, server = place
    annotator = server.annotator()
    token, secret = annotator.token, (folder / "secret.key").read_bytes().strip()
    told = get(server, target, f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {token}")
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] in (b"404", b"400"), told[:300]
    assert b"root:" not in body
    assert secret not in body
    assert b"import " not in body


def test_a_path_writes_no_lines_of_the_log(place: tuple[Path, Any]) -> None:
    _, server = place
    assert get(server, "/api/audio/x%0aPOST%20forged%202%1b[31m").split(b" ", 2)[1] == b"401"
    until = time.monotonic() + 20
    while not (said := [line for line in server.said if "forged" in line]) and time.monotonic() < until:
        time.sleep(0.05)
    assert said[0].startswith(r"GET /api/audio/x\nPOST forged 2\x1b[31m 401 ")
    assert all("\x1b" not in line for line in server.said)


def test_every_answer_is_strict(place: tuple[Path, Any]) -> None:
    _, server = place
    annotator = server.annotator()
    audio = annotator.next()["audio"]
    answers = [
        annotator.get("/"),
        annotator.get("/assets/avatar/rig.json"),
        annotator.get("/nothing"),
        annotator.get("/healthz"),
        annotator.get("/openapi.json"),
        annotator.get("/api/next"),
        annotator.get(f"/api/audio/{audio}"),
        annotator.post("/api/votes", {}),
        annotator.get("/api/session", headers={"authorization": ""}),
        annotator.get("/api/session", headers={"origin": "https://evil.example"}),
        annotator.get("/", headers={"host": "evil.example"}),
        annotator.http.post("/api/votes", content=b"x" * 20_000, headers={"content-type": "application/json"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 200, 200, 200, 422, 401, 403, 421, 413]
    for answer in answers:
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["script-src"] == "'self'"
        assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in str(policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert "server" not in answer.headers


def test_stored_scripts_are_only_ever_json(place: tuple[Path, Any]) -> None:
    _, server = place
    annotator = server.annotator()
    session = annotator.get("/api/session")
    assert session.headers["content-type"] == "application/json"
    assert session.json()["title"] == "</title><script>alert('stored')</script>"
    assert session.json()["consent"] == "Yes <img src=x onerror=alert(1)>"
    assert "alert(" not in annotator.get("/").text
    # Nor is what a request holds sent back as anything else.
    for answer in (
        annotator.get("/<script>alert(1)</script>"),
        annotator.post("/api/votes", {"<script>alert(1)</script>": "<script>"}),
        annotator.vote("<script>alert(1)</script>", "<script>"),
        annotator.get("/api/audio/<script>alert(1)</script>"),
    ):
        assert answer.headers["content-type"] == "application/json"
        assert answer.status_code in (404, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'"x"', b"NaN", b'{"id": NaN}', b"[" * 15_000, b'{"a":' * 3_000, b"\xff\xfe\x00",
        b'{"\\ud800": 1}', b'{"id": "\\ud800"}', b'{"milliseconds": 1e999}', b"9" * 9_000, b'{"replays": -Infinity}',
        b'{"id":"x","id":"y"}', b"\x00" * 100, "﻿{}".encode(), b'{"watched": {"left": 1, "right": 1, "\\u0000": 1}}',
    ],
)  # fmt: skip
def test_bodies_that_are_no_json(place: tuple[Path, Any], body: bytes) -> None:
    _, server = place
    annotator = server.annotator()
    for path in ("/api/votes", "/api/undo", "/api/consent"):
        answer = annotator.http.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
        assert isinstance(answer.json()["detail"], str)
        assert len(answer.content) < 1_000


def test_huge_and_slow_bodies(place: tuple[Path, Any]) -> None:
    _, server = place
    annotator = server.annotator()
    head = (
        f"POST /api/votes HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {annotator.token}\r\n"
    )
    told = raw(server, f"{head}Content-Length: 9999999999999\r\n\r\n".encode() + b"x")
    assert b" 413 " in told.splitlines()[0]
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    told = raw(server, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 2)
    assert b" 413 " in told.splitlines()[0]
    began = time.monotonic()
    told = raw(server, f"{head}Content-Length: 100\r\n\r\n".encode() + b"{")
    assert b" 408 " in told.splitlines()[0]
    assert time.monotonic() - began < 10
    assert annotator.get("/healthz").status_code == 200


def test_strings_that_speak_sql(place: tuple[Path, Any]) -> None:
    folder, server = place
    annotator = server.annotator()
    before = annotator.get("/api/session").json()
    for text in ("' OR '1'='1", "'; DROP TABLE log; --", '" UNION SELECT * FROM log --', "%27%20OR%201=1", "\\'; --"):
        assert annotator.get(f"/api/audio/{text}").status_code == 404
        assert annotator.vote(text, "left").status_code == 422
        assert annotator.vote("0" * 32, text).status_code == 422
        assert annotator.post("/api/undo", {"id": text}).status_code == 422
        assert annotator.get("/api/session", headers={"authorization": f"Bearer {text}"}).status_code == 401
    assert annotator.get("/api/session").json() == before
    assert (folder / "votes.sqlite").stat().st_size > 0


def test_another_annotators_pairs_and_recordings(place: tuple[Path, Any]) -> None:
    _, server = place
    one, other = server.annotator(0), server.annotator(1).agree()
    theirs = other.next()
    assert one.get(f"/api/audio/{theirs['audio']}").status_code == 404
    assert other.get(f"/api/audio/{theirs['audio']}").status_code == 200
    assert one.vote(theirs["pair"], "left").status_code == 409
    vote = other.ballot(theirs["pair"], "left")
    assert other.post("/api/votes", vote).status_code == 200
    assert one.post("/api/votes", vote).status_code == 409
    assert one.post("/api/undo", {"id": vote["id"]}).status_code == 409
    assert other.get("/api/session").json()["done"] == 1
