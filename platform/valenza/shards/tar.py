"""The one form of tar that shards use: regular files, no times, no owners, nothing else."""

_BLOCK = 512
END = bytes(2 * _BLOCK)
_TYPES = {"1": "a hard link", "2": "a symbolic link", "3": "a device", "4": "a device", "5": "a folder", "6": "a pipe"}


def padding(size: int) -> int:
    """Return how many zero bytes follow `size` bytes, since members begin at multiples of 512."""
    return -size % _BLOCK


def header(name: str, size: int) -> bytes:
    """Return the header of a regular file: 512 bytes, or 1,536 with a pax record where the name is over 100 bytes.

    Written here rather than by `tarfile`, whose bytes have changed between versions of Python.
    """
    encoded = name.encode("ascii")
    if len(encoded) <= 100:
        return _block(encoded, size, b"0")
    record = f" path={name}\n"
    length = len(record) + 2
    while len(f"{length}{record}") != length:
        length += 1
    body = f"{length}{record}".encode("ascii")
    return (
        _block(b"././@PaxHeader", len(body), b"x")
        + body
        + bytes(padding(len(body)))
        + _block(encoded[:100], size, b"0")
    )


def _block(name: bytes, size: int, kind: bytes) -> bytes:
    before = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % 0
    after = kind + bytes(100) + b"ustar\00000" + bytes(64) + b"0000000\0" * 2 + bytes(155 + 12)
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return before + b"%06o\0 " % checksum + after


def header_length(name: str) -> int:
    """Return the length in bytes of a member's header."""
    return _BLOCK if len(name) <= 100 else 3 * _BLOCK


def stated_size(block: bytes) -> int | None:
    """Return the size that a header's last block states, or nothing where it is not a number."""
    digits = block[-_BLOCK:][124:135]
    return int(digits, 8) if len(digits) == 11 and all(48 <= d < 56 for d in digits) else None


def explain(block: bytes, name: str) -> str:
    """Say what stands where the header of `name` should be."""
    if len(block) < _BLOCK:
        return "the file ends before its header"
    last = block[-_BLOCK:]
    if not any(last):
        return "an end-of-archive mark stands in place of its header"
    unsigned = sum(last[:148]) + sum(last[156:]) + 8 * ord(" ")
    stated = last[148:154].decode("latin-1")
    if stated != f"{unsigned:06o}":
        return "its header is damaged (wrong checksum)"
    kind = chr(last[156])
    if kind in _TYPES:
        return f"its header says that it is {_TYPES[kind]}"
    found = last[:100].rstrip(b"\0").decode("ascii", "backslashreplace")
    if found != name[:100]:
        return f"the member {found!r} stands in its place"
    return "its header states another size, mode, owner, time or type than the one that was written"
