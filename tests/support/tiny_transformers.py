"""Small random video classifiers of transformers, saved as folders."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

SHARED = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
VIT = {**SHARED, "intermediate_size": 32, "image_size": 32, "num_frames": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "videomae": {**VIT, "patch_size": 16},
    "timesformer": {**VIT, "patch_size": 16},
    "vivit": {**VIT, "tubelet_size": [2, 16, 16]},
    "vjepa2": {
        **SHARED, "mlp_ratio": 2, "crop_size": 32, "frames_per_clip": 4, "pred_hidden_size": 16,
        "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, "num_pooler_layers": 1,
    },
}  # fmt: skip
CLASSES = {"videomae": "VideoMAE", "timesformer": "Timesformer", "vivit": "Vivit", "vjepa2": "VJEPA2"}
PREPROCESSING = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_rescale": True,
                 "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.4, 0.5, 0.6],
                 "image_std": [0.2, 0.25, 0.3]}  # fmt: skip


def make_model(family: str, classes: list[str]) -> Any:
    """A model in ``eval`` mode whose logits differ from class to class."""
    torch.manual_seed(3)
    config = getattr(transformers, f"{CLASSES[family]}Config")(
        **OPTIONS[family], id2label=dict(enumerate(classes)), label2id={name: i for i, name in enumerate(classes)}
    )
    model = getattr(transformers, f"{CLASSES[family]}ForVideoClassification")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def save_folder(folder: Path, family: str, classes: list[str], *, licence: str = "apache-2.0") -> Any:
    """The folder as its publisher would upload it; gives the model."""
    model = make_model(family, classes)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    (folder / "README.md").write_text(f"---\nlicense: {licence}\ntags:\n- video\n---\n# Model\n")
    return model
