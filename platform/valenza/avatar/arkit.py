"""The 52 weights that move a face, as Apple's ARKit names them and as NVIDIA's Audio2Face writes them."""

ARKIT: tuple[str, ...] = tuple(
    """
    eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft
    eyeBlinkRight eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight
    jawForward jawLeft jawRight jawOpen
    mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthSmileLeft mouthSmileRight
    mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight mouthStretchLeft mouthStretchRight
    mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthPressLeft mouthPressRight
    mouthLowerDownLeft mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight
    browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight
    cheekPuff cheekSquintLeft cheekSquintRight noseSneerLeft noseSneerRight tongueOut
    """.split()  # noqa: SIM905 - a list of 52 strings is harder to read
)
"""Apple's spelling, in the order of NVIDIA's `nvidia_ace.a2f.v1` messages; every animation of ours has this order."""

NVIDIA: tuple[str, ...] = tuple(name[0].upper() + name[1:] for name in ARKIT)
"""NVIDIA's spelling, which Live Link Face shares; the same order."""

_CHANNEL = {spelling: name for names in (ARKIT, NVIDIA) for spelling, name in zip(names, ARKIT, strict=True)}
_PREFIX = "blendShapes."
"""What stands before a name in the header of NVIDIA's `animation_frames.csv`."""


def arkit_name(column: str) -> str | None:
    """Return Apple's spelling of a column of either spelling, with or without NVIDIA's prefix; None for any other."""
    return _CHANNEL.get(column.strip().removeprefix(_PREFIX))


def nvidia_column(channel: str) -> str:
    """Return the column of NVIDIA's `animation_frames.csv` that holds a channel in Apple's spelling."""
    return _PREFIX + channel[0].upper() + channel[1:]
