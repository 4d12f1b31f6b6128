"""The annotation server: the page, and the JSON through which it asks for pairs and sends votes."""

import json
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import asdict
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from valenza.annotate import schema
from valenza.annotate.invites import Names
from valenza.annotate.store import Store
from valenza.annotate.turns import Turns
from valenza.labels.sequences import frame_times
from valenza.stages.pairs.folder import Study
from valenza.terminal import say
from valenza.web.guard import App, Guard, RefusedError
from valenza.web.pages import add_pages, read_files
from valenza.web.problems import FRESH, Problem, explain, on_one_line, problem

CONSENT = """You will listen to short recordings of speech. For each, two faces show emotions that change over time. \
Say which of the two fits the voice better, that both fit equally well, or that you cannot tell.

Stored are your answers, how long they took and how much of each side you watched, under a random name. No address, \
e-mail or other trace of you is stored. You may stop at any time by closing the page, and come back with the same link.

By going on you agree that your answers are used for research and to train and evaluate models of emotion in speech."""
_DECIMALS = 4
_Answers = dict[int | str, dict[str, Any]]
_REFUSED: _Answers = {status: {"model": Problem} for status in (400, 401, 403, 408, 413, 415, 421, 422, 503)}
_CONFLICT: _Answers = _REFUSED | {409: {"model": Problem}}
_AUDIO: _Answers = _REFUSED | {200: {"content": {"audio/flac": {}}}, 404: {"model": Problem}}
_bearer = HTTPBearer(auto_error=False, description="The part of an invitation's link after #.")


def build(
    study: Study,
    store: Store,
    names: Names,
    turns: Turns,
    consent: str,
    hosts: Collection[str],
    public: str | None = None,
) -> App:
    """Return the whole server as an ASGI application that answers under `hosts`, also to pages of `public`."""
    app = FastAPI(
        title="valenza annotate",
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    files = read_files("annotate/web")
    explain(app, {401: {"www-authenticate": "Bearer"}})
    _explain_storage(app)
    _add_api(app, study, store, names, turns, consent)
    add_pages(app, files)  # last, for it takes every address that is left
    fixed = {route.path for route in app.routes} | set(files)  # type: ignore[attr-defined]
    return Guard(app, hosts, lambda path: path in fixed or path.startswith("/api/audio/"), public=public)


def _add_api(app: FastAPI, study: Study, store: Store, names: Names, turns: Turns, consent: str) -> None:
    tracks = study.tracks
    side = _side_of(study)

    def invited(bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
        annotator = names.annotator(bearer.credentials if bearer else "")
        if store.revoked(annotator):
            raise RefusedError(401, "this invitation was withdrawn")
        return annotator

    def agreed(annotator: Annotated[str, Depends(invited)]) -> str:
        if not store.consented(annotator):
            raise RefusedError(403, "agree to take part first")
        return annotator

    @lru_cache(256)
    def track_of(annotator: str) -> dict[str, str]:
        return {names.audio(annotator, track): track for track in tracks}

    def session(annotator: str) -> schema.Session:
        standing = turns.standing(annotator)
        return schema.Session(
            annotator=annotator,
            title=study.title,
            consent=consent,
            consented=store.consented(annotator),
            undoable=standing.done > 0,
            **asdict(standing),
        )

    @app.get("/api/session", responses=_REFUSED)
    def read_session(annotator: Annotated[str, Depends(invited)]) -> schema.Session:
        """Tell an annotator where they stand."""
        return session(annotator)

    @app.post("/api/consent", responses=_REFUSED)
    def give_consent(annotator: Annotated[str, Depends(invited)], consent: schema.Consent) -> schema.Session:
        """Agree to take part; without it there are no pairs."""
        store.consent(annotator)
        return session(annotator)

    @app.get("/api/next", responses=_REFUSED, response_model=schema.Next | schema.Finished)
    def next_pair(annotator: Annotated[str, Depends(agreed)]) -> Response:
        """Return the pair to judge, the same one until there is a vote on it."""
        turn = turns.next(annotator)
        if turn is None:
            return Response(b'{"finished":true}', media_type="application/json", headers=FRESH)
        pair = turn.pair
        left, right = (pair.a, pair.b) if turn.left_side == "a" else (pair.b, pair.a)
        told = {
            "pair": names.pair(annotator, pair.id),
            "number": turn.number,
            "seconds": tracks[pair.track].seconds,
            "audio": names.audio(annotator, pair.track),
        }
        body = json.dumps(told).encode()[:-1] + b',"left":' + side(left) + b',"right":' + side(right) + b"}"
        return Response(body, media_type="application/json", headers=FRESH)

    @app.post("/api/votes", responses=_CONFLICT)
    def send_vote(annotator: Annotated[str, Depends(agreed)], vote: schema.Vote) -> schema.Accepted:
        """Store a vote; when this answers, it is on disk."""
        return turns.vote(annotator, vote)

    @app.post("/api/undo", responses=_CONFLICT)
    def take_back(annotator: Annotated[str, Depends(agreed)], undo: schema.Undo) -> schema.Undone:
        """Take the last vote back."""
        return turns.undo(annotator, undo)

    @app.head("/api/audio/{asset}", include_in_schema=False)
    @app.get(
        "/api/audio/{asset}",
        response_class=FileResponse,
        responses=_AUDIO,
    )
    def read_audio(annotator: Annotated[str, Depends(agreed)], asset: str) -> FileResponse:
        """Return a recording, whole or in part."""
        track = track_of(annotator).get(asset)
        if track is None:
            raise RefusedError(404, "there is no such recording")
        path = study.folder / tracks[track].audio
        return FileResponse(path, media_type="audio/flac", headers=FRESH, stat_result=path.stat())

    @app.get("/healthz", responses={421: {"model": Problem}})
    def alive() -> schema.Alive:
        """Say that the server answers."""
        return schema.Alive()


def _side_of(study: Study) -> Callable[[str], bytes]:
    """Return what draws a candidate for the page.

    Every candidate is drawn on the same frames with the same decimals: its own keys would tell how it was made.
    """

    @lru_cache(512)
    def side(name: str) -> bytes:
        candidate = study.candidates[name]
        count = study.tracks[candidate.track].frames
        mixtures = np.round(candidate.sequence.frames(count), _DECIMALS).tolist()
        times = np.round(frame_times(count), _DECIMALS).tolist()
        return json.dumps({"times": times, "mixtures": mixtures}, separators=(",", ":")).encode()

    return side


def _explain_storage(app: FastAPI) -> None:
    @app.exception_handler(sqlite3.Error)
    @app.exception_handler(OSError)
    def unstorable(_: Request, error: Exception) -> Response:
        say(f"error: {on_one_line(error)}")
        return problem(503, "nothing can be stored or read at present; what was accepted is safe, try again later")
