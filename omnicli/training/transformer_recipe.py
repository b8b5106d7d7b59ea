"""Settings of a training that transformers need and convolutions do not."""

from dataclasses import dataclass
from typing import Literal

OptimizerName = Literal["sgd", "adamw"]


@dataclass(frozen=True, kw_only=True)
class TransformerRecipe:
    """How a transformer is trained; the defaults are those of convolutional models.

    Attributes:
        optimizer: SGD with momentum 0.9, or AdamW, whose weight decay spares norms, biases and other vectors.
        layer_decay: factor on the learning rate from one block to the one before it (BEiT; VideoMAE Table 9).
        drop_path: share of samples that skip a block, growing linearly to this at the last; None is the model's own.
        gradient_checkpointing: compute the blocks again in the backward pass, which takes less memory and a third more
            time.
        randaugment: operations on every training clip, in timm's words (``data.randaugment``); "none" for none.
        random_erasing: probability that a box of a training clip becomes noise.
        cutmix_alpha: of CutMix, which takes turns with mixup where both are set; 0 disables it.
    """

    optimizer: OptimizerName = "sgd"
    layer_decay: float = 1.0
    drop_path: float | None = None
    gradient_checkpointing: bool = False
    randaugment: str = "none"
    random_erasing: float = 0.0
    cutmix_alpha: float = 0.0
