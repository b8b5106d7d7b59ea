"""Small image-text models of open_clip with random weights, saved as the folders that publishers make."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SIZE = 32
TEXT: dict[str, Any] = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VIT: dict[str, Any] = {"image_size": SIZE, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
TIMM: dict[str, Any] = {
    "image_size": SIZE, "timm_model_name": "resnet10t", "timm_model_pretrained": False, "timm_pool": "avg",
    "timm_proj": "linear",
}  # fmt: skip
CLIP: dict[str, Any] = {"embed_dim": 16, "vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True}
SIGLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": VIT,
    "text_cfg": TEXT,
    "custom_text": True,
    "init_logit_bias": 5.0,
}
MOBILE: dict[str, Any] = {"embed_dim": 16, "vision_cfg": TIMM, "text_cfg": TEXT, "custom_text": True}
SQUASH: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}
BILINEAR: dict[str, Any] = {
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
    "interpolation": "bilinear",
    "resize_mode": "shortest",
}
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clip": (CLIP, {}), "siglip": (SIGLIP, SQUASH), "mobileclip": (MOBILE, BILINEAR),
}  # fmt: skip


def new_network(config: dict[str, Any], seed: int = 0) -> Any:
    """A model of open_clip with random weights, in ``eval`` mode."""
    import open_clip

    options = dict(config)
    kind = open_clip.CustomTextCLIP if options.pop("custom_text", False) else open_clip.CLIP
    torch.manual_seed(seed)
    return kind(**options).eval()


def published(folder: Path, family: str = "clip", licence: str = "apache-2.0", **changes: Any) -> Path:
    """A folder as on a hub: configuration, weights and a model card."""
    config, preprocessing = FAMILIES[family]
    folder = Path(folder)
    folder.mkdir(parents=True)
    network = new_network({**config, **changes})
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()},
              folder / "open_clip_model.safetensors")  # fmt: skip
    write_config(folder, {**config, **changes}, preprocessing)
    (folder / "README.md").write_text(f"---\ntags:\n- clip\nlicense: {licence}\n---\n# A model\n")
    return folder


def write_config(folder: Path, config: dict[str, Any], preprocessing: dict[str, Any] | None = None) -> None:
    """``open_clip_config.json``."""
    content = {"model_cfg": config, "preprocess_cfg": preprocessing or {}}
    (Path(folder) / "open_clip_config.json").write_text(json.dumps(content))
