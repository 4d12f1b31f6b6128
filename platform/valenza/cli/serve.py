"""`valenza serve`: a trained model behind HTTP and WebSocket."""

import math
from typing import Annotated

import typer

from valenza.errors import UsageError
from valenza.terminal import count, say


def serve(
    model: Annotated[str, typer.Argument(help="A run, an exported model, or a hub's name.", show_default=False)],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8000,
    public_url: Annotated[str | None, typer.Option(help="Where people reach it, such as behind a proxy.")] = None,
    max_clients: Annotated[int, typer.Option(min=1, max=400, help="Streams at once.")] = 64,
    max_minutes: Annotated[float, typer.Option(min=0.01, help="Of one stream.")] = 60,
    max_file_minutes: Annotated[float, typer.Option(min=0.01, help="Of audio in one file.")] = 30,
    max_upload: Annotated[int, typer.Option(min=1, max=1024, help="MiB of one file.")] = 32,
    window: Annotated[float | None, typer.Option(min=0, help="Seconds that are heard at once.")] = None,
    step: Annotated[float | None, typer.Option(min=0, help="Seconds from one window to the next.")] = None,
    look_ahead: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds of audio awaited before a moment is told; a window where not given."),
    ] = None,
    idle: Annotated[float, typer.Option(min=0.1, help="Seconds without audio that end a stream.")] = 30,
) -> None:
    """Serve a model: files by POST /predict, live streams by WebSocket at /stream, and a page that shows both."""
    try:
        from valenza.serving import server
        from valenza.web.address import EVERYWHERE, known_hosts, listen, local_url, read_public_url
        from valenza.web.process import run
        from valenza.web.sockets import Socket  # noqa: F401 - it is wanted once the process runs
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is missing; pip install valenza[serve]") from None
    from valenza.inference.load import load
    from valenza.labels.sequences import FRAME_RATE
    from valenza.serving.limits import Limits
    from valenza.timeline.stream import Streaming
    from valenza.timeline.windows import Windows

    public = None if public_url is None else read_public_url(public_url)
    limits = Limits(
        clients=max_clients,
        stream_seconds=60 * max_minutes,
        idle_seconds=idle,
        upload_bytes=max_upload * 2**20,
        upload_room=max(8 * max_upload * 2**20, Limits.upload_room),
        file_seconds=60 * max_file_minutes,
        # Whatever may be sent is answered as it is usually asked for.
        answer_frames=max(Limits.answer_frames, math.ceil(60 * max_file_minutes * FRAME_RATE)),
    )
    listener = listen(host, port)
    heard = load(model)
    streaming = Streaming(Windows(window, step), look_ahead)
    service = server.build(heard, known_hosts(host, public), limits, streaming, public)
    say(
        f"{heard.name} tells {', '.join(heard.seen)}; up to {count(limits.clients, 'stream')} at once; stop with Ctrl-C"
    )
    if host in EVERYWHERE and public is None:
        say(f"people elsewhere need --public-url, the name under which they reach {host}")
    say(f"serving at {local_url(host, listener.getsockname()[1])}" + (f", for others {public}" if public else ""))
    run(service.app, listener, farewell=service.farewell, largest_message=limits.message_bytes, grace=30)
    say("stopped; what was being heard is finished, and nothing that was sent is kept")
