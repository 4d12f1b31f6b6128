"""`valenza annotate`: the page on which people say which sequence they prefer."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valenza.errors import UsageError
from valenza.terminal import count, say

if TYPE_CHECKING:
    from valenza.annotate.store import Store

LONGEST_CONSENT = 20_000


def annotate(
    pairs: Annotated[Path, typer.Argument(help="A folder of pairs.", show_default=False)],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8765,
    public_url: Annotated[str | None, typer.Option(help="Where annotators reach it, such as behind a proxy.")] = None,
    invite: Annotated[int, typer.Option(min=0, max=1_000, help="New invitation links to make.")] = 0,
    expires: Annotated[float, typer.Option(min=0, help="Days until the new links expire; 0 for never.")] = 0,
    revoke: Annotated[list[str] | None, typer.Option(help="Withdraw an annotator's link, and end.")] = None,
    votes_per_pair: Annotated[int, typer.Option(min=1, help="Annotators who judge each pair.")] = 1,
    most: Annotated[
        int | None, typer.Option(min=1, help="Up to so many where they disagree; two more where not given.")
    ] = None,
    consent: Annotated[Path | None, typer.Option(help="Text that annotators agree to.")] = None,
    serve: Annotated[bool, typer.Option(help="Serve, or only print the links.")] = True,
) -> None:
    """Serve the page on which people say which of two sequences fits a voice better.

    Invitations are signed with secret.key, which is made in the folder of pairs: never publish it.
    """
    try:
        from valenza.annotate import server
        from valenza.web.address import EVERYWHERE, known_hosts, listen, local_url, read_public_url
        from valenza.web.process import run
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is missing; install valenza[annotate]") from None
    from valenza.annotate.assign import Overlap
    from valenza.annotate.invites import Names, read_secret
    from valenza.annotate.store import FILE, open_store
    from valenza.annotate.turns import Turns
    from valenza.stages.pairs.folder import read_pairs

    study = read_pairs(pairs)
    text = server.CONSENT if consent is None else _read_consent(consent)
    overlap = Overlap(votes_per_pair, votes_per_pair + 2 if most is None else most)
    if overlap.most < overlap.least:
        raise UsageError(f"--most {most}: is less than --votes-per-pair {votes_per_pair}")
    public = None if public_url is None else read_public_url(public_url)
    names = Names(read_secret(pairs), study.digest)
    store = open_store(pairs, study.digest, votes_per_pair=overlap.least, most=overlap.most, consent=text)
    try:
        if revoke:
            _revoke(store, revoke)
            return
        listener = listen(host, port) if serve else None
        port = listener.getsockname()[1] if listener else port
        url = public or local_url(host, port)
        turns = Turns(study, store, names, overlap)
        _invite(store, invite, expires)
        for annotator, until in store.invited().items():
            standing = turns.standing(annotator)
            far = f"{standing.done} of {standing.total}"
            print(f"{annotator}  {url}/#{names.token(annotator, until)}  {far}", flush=True)  # noqa: T201
        if listener is None:
            return
        plain = sum(pair.kind == "plain" for pair in study.pairs)
        say(f"{study.title}: {count(plain, 'pair')} and {count(len(study.pairs) - plain, 'catch trial')}")
        say(f"votes go to {pairs / FILE}; the links above are open to whoever has them; stop with Ctrl-C")
        if host in EVERYWHERE and public is None:
            say(f"annotators elsewhere need --public-url, the name under which they reach {host}")
        say(f"serving at {local_url(host, port)}" + (f", for annotators {public}" if public else ""))
        app = server.build(study, store, names, turns, text, known_hosts(host, public), public)
        run(app, listener)
        say("stopped; every vote that was accepted is stored")
    finally:
        store.close()


def _read_consent(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    if not 0 < len(text) <= LONGEST_CONSENT:
        raise UsageError(f"{path}: a consent has 1 to {LONGEST_CONSENT:,} characters, this has {len(text):,}")
    return text


def _invite(store: "Store", number: int, days: float) -> None:
    from valenza.annotate.invites import new_annotator

    if not number and not store.invited():
        number = 1
    until = int(time.time() + days * 86_400) if days else 0
    for _ in range(number):
        store.note("invite", new_annotator(), expires=until)


def _revoke(store: "Store", annotators: list[str]) -> None:
    known = store.invited()
    for annotator in annotators:
        if annotator not in known:
            raise UsageError(f"--revoke {annotator}: there is no open invitation of that name")
    for annotator in annotators:
        store.note("revoke", annotator)
        say(f"{annotator} can no longer vote; what they said is kept")
