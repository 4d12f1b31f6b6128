"""What goes over a line to a server, byte by byte: handshakes, frames, requests and WAV files."""

import io
import socket
from typing import Any

import numpy as np
import soundfile

HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(data: bytes, opcode: int = 2, end: bool = True) -> bytes:
    """A client's WebSocket frame, whose mask is zeros."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xFE]) + len(data).to_bytes(2, "big")
    return bytes([opcode | (0x80 if end else 0)]) + size + bytes(4) + data


def post(length: int, path: str = "/predict", more: str = "") -> bytes:
    """The head of a request that brings so many bytes."""
    return f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{more}\r\n".encode()


def until_closed(line: socket.socket) -> bytes:
    """Everything that comes."""
    answer = b""
    while part := line.recv(65_536):
        answer += part
    return answer


def file_of(samples: np.ndarray, rate: int = 16_000, form: str = "WAV", subtype: Any = "PCM_16") -> bytes:
    """A sound file."""
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=form, subtype=subtype)
    return out.getvalue()
