"""The emotion spaces of the two founding papers."""

from typing import Literal, get_args

Emotion = Literal["happiness", "sadness", "disgust", "fear", "surprise", "anger", "other", "neutral"]

EMOTIONS: tuple[Emotion, ...] = get_args(Emotion)
"""The 8 targets of Osman et al. 2023, in that paper's order. Every score matrix has its columns in this order."""

POSITION: dict[str, int] = {emotion: column for column, emotion in enumerate(EMOTIONS)}
NEUTRAL = POSITION["neutral"]
