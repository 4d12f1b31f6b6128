"""What one client may cost the server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on memory, time and number; every one of them is told to the client that meets it."""

    clients: int = 64
    """Streams at once."""
    stream_seconds: float = 3600.0
    """Of one stream, in audio and by the clock."""
    idle_seconds: float = 30.0
    """Without a message on a stream."""
    ahead_seconds: float = 10.0
    """Of audio that waits to be heard; while there is more, nothing more is read from the line."""
    unread: int = 256
    """Answers that wait for a stream's client to read them."""
    message_bytes: int = 131_072
    """Of one message on a stream: 4 s at 16 kHz."""
    upload_bytes: int = 32 * 2**20
    """Of one file."""
    upload_room: int = 256 * 2**20
    """Bytes of all files that are being received or wait, and of the answers that are being sent."""
    senders: int = 64
    """Files that are being received; where more come, the slowest is left."""
    upload_grace: float = 10.0
    """Seconds that any upload, and the reading of any answer, may take."""
    upload_rate: int = 32_768
    """Bytes a second that must go through once that is over."""
    file_seconds: float = 1800.0
    """Of audio in one file."""
    file_workers: int = 2
    """Files that are heard at once."""
    files_waiting: int = 16
    """Files that wait for a turn, or whose answer is being sent."""
    answer_frames: int = 100_000
    """Of a timeline: seconds times frames a second."""
    answer_seconds: float = 300.0
    """Until a file that is not done is given up."""
