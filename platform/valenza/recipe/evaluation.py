"""What a recipe says of its scores."""

from typing import Literal

from valenza.config import Settings


class Evaluation(Settings):
    """How a clip becomes one prediction."""

    padding: Literal["window", "none"] = "window"
    """`window` pads each clip to 30 s as the paper does; `none` feeds it at its own length."""
    frames: Literal["masked", "unmasked"] = "masked"
    """Mean over the clip's own frames, or over the whole padded window; both are reported, this one heads the table."""
    prior: Literal["train", "none"] = "train"
    """Logit adjustment by the prior of the training targets (Menon et al. 2020); never the target corpus's."""
    baselines: tuple[Literal["best_layer_probe", "egemaps_svm"], ...] = ()
    """More to beat: each corpus's own best layer (flattered on purpose), and openSMILE's eGeMAPS with a linear SVM."""
