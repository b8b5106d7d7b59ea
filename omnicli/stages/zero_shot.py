"""A teacher without labelled clips: class names are embedded by the text tower of an image-text model (Ours).

    in    class names, prompts and synonyms; a model of open_clip
    out   a checkpoint: the image tower, a row of the classifier per class, logit scale and preprocessing

A row is the mean of the embeddings, of length 1, of the class's names in all prompts, brought to length 1 again, as
open_clip computes zero-shot classifiers. A model trained with a sigmoid loss (SigLIP) keeps its bias and scores each
class by itself; all others have a softmax. There is no temperature: the logit scale is the model's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnicli import __version__
from omnicli.errors import InputError, ModelError
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.clip.published import Published
from omnicli.models.clip.tower import PREFIX, new_clip
from omnicli.models.factory import RESIZES, ModelSpec, load_exactly
from omnicli.streams.class_names import ClassIndex, bare_name
from omnicli.streams.files.stored import read_file

Scores = Literal["sigmoid", "softmax"]
NAMES_PER_BATCH = 16
# Ours: short sentences about actions, for frames and videos
PROMPTS = (
    "a photo of {}.",
    "a photo of a person {}.",
    "a photo of someone doing {}.",
    "a video of {}.",
    "a video of a person {}.",
    "a frame of a video of {}.",
    "people {}.",
    "the action of {}.",
)


def zero_shot(
    classes: Sequence[str],
    *,
    model: Published,
    prompts: Sequence[str] = PROMPTS,
    synonyms: Mapping[int, Sequence[str]] | None = None,
    scores: Scores | None = None,
    num_segments: int = 3,
    out: Path,
) -> tuple[str, ModelSpec]:
    """Write a teacher of these classes to ``out``; returns its SHA-256 and its description.

    Args:
        classes: (K,) names, in the order of the labels.
        model: embeds texts and images.
        prompts: sentences with ``{}`` for the name.
        synonyms: other names of a class, by its label.
        scores: None: sigmoid if the model has a bias for it, else softmax.
        num_segments: frames of a video, unless the teacher is asked for others.
        out: path of the checkpoint.

    Raises:
        ModelError: the model has a preprocessing that is not supported.
        OutputError: ``out`` cannot be written.
    """
    network: Any = model.network
    visual: nn.Module = network.visual
    bias = network.logit_bias
    is_sigmoid = bias is not None if scores is None else scores == "sigmoid"
    spec = spec_of(model, classes, multi_label=is_sigmoid, num_segments=num_segments)
    teacher = new_clip(spec.name, model.tower, len(classes), spec.dropout)
    load_exactly(teacher.backbone, visual.state_dict(), path=model.source, what=spec.name)
    others = {classes[label]: list(found) for label, found in (synonyms or {}).items()}
    names = [[name, *others.get(name, ())] for name in classes]
    teacher.fc.text.copy_(class_embeddings(model, names, prompts))
    with torch.no_grad():
        teacher.fc.scale.copy_(network.logit_scale.exp().reshape(()))
        if bias is not None and is_sigmoid:
            teacher.fc.shift.copy_(bias.reshape(()))
    provenance = {
        "command": "zero-shot", "omni": __version__, "source": model.source, "licence": model.licence,
        "prompts": list(prompts), "synonyms": others,
    }  # fmt: skip
    meta = {
        "model": spec.to_meta(), "temperature": None, "metrics": {}, "provenance": provenance,
        "strength": {"clips_per_class": 0.0, "cross_val_acc": None, "is_student": False},
    }  # fmt: skip
    return save_checkpoint(out, meta=meta, state_dict=teacher.state_dict()), spec


def spec_of(model: Published, classes: Sequence[str], *, multi_label: bool, num_segments: int) -> ModelSpec:
    """The description of the teacher. Raises ModelError: a preprocessing that is not supported."""
    own = model.preprocessing
    sides = set(own["size"]) if isinstance(own["size"], tuple | list) else {own["size"]}
    kind = "bilinear" if own["interpolation"] == "bilinear" else "bicubic"
    resize = f"{kind} {own['resize_mode']}"
    if len(sides) > 1 or resize not in RESIZES:
        raise ModelError(f"{model.source}: input {own['size']}, resized by {own['resize_mode']}: not supported")
    size = int(sides.pop())
    mean, std = (tuple(255.0 * float(value) for value in own[name]) for name in ("mean", "std"))
    return ModelSpec(
        name=f"{PREFIX}{model.name}", classes=tuple(classes), mean=mean, std=std,  # type: ignore[arg-type]
        short_side=round(size * 8 / 7), crop_size=size, num_segments=num_segments, dropout=0.0,
        multi_label=multi_label, library=model.tower, licence=model.licence, resize=resize,
    )  # fmt: skip


@torch.inference_mode()
def class_embeddings(model: Published, names: Sequence[Sequence[str]], prompts: Sequence[str]) -> Tensor:
    """(K, D) embeddings of length 1 of classes with one or more names each."""
    return torch.stack([functional.normalize(_mean(model, texts), dim=-1) for texts in _texts(names, prompts)])


def _mean(model: Published, texts: Sequence[str]) -> Tensor:
    """(D,) mean of the embeddings of length 1."""
    network: Any = model.network
    parts = [texts[start : start + NAMES_PER_BATCH] for start in range(0, len(texts), NAMES_PER_BATCH)]
    embeddings = torch.cat([network.encode_text(model.tokenize(part), normalize=True) for part in parts])
    return embeddings.float().mean(dim=0)


def _texts(names: Sequence[Sequence[str]], prompts: Sequence[str]) -> Iterator[list[str]]:
    for synonyms in names:
        yield [prompt.replace("{}", bare_name(name)) for name in synonyms for prompt in prompts]


def read_prompts(path: Path) -> list[str]:
    """The prompts in a file, one per line. Raises InputError: none, or a line without ``{}``."""
    prompts = [(number, line.strip()) for number, line in enumerate(_lines(path), 1) if line.strip()]
    for number, prompt in prompts:
        if "{}" not in prompt:
            raise InputError(f"{path}:{number}: {prompt!r}: expected {{}} where the class name goes")
    if not prompts:
        raise InputError(f"{path}: no prompts; expected sentences such as 'a photo of {{}}.', one per line")
    return [prompt for _, prompt in prompts]


def read_synonyms(path: Path, classes: Sequence[str]) -> dict[int, list[str]]:
    """Other names of classes, lines ``class<TAB>synonym`` with one or more, by label.

    Raises:
        InputError: no such class, or no tab.
    """
    index = ClassIndex(classes)
    found: dict[int, list[str]] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        name, tab, synonym = line.partition("\t")
        label = index.find(name)
        if not tab or not synonym.strip():
            raise InputError(f"{path}:{number}: expected class<TAB>synonym, got {line!r}")
        if label is None:
            near = ", ".join(index.nearest(name))
            raise InputError(f"{path}:{number}: no class {name!r}" + (f"; near: {near}" if near else ""))
        found.setdefault(label, []).extend(part.strip() for part in synonym.split("\t") if part.strip())
    return found


def _lines(path: Path) -> list[str]:
    try:
        return read_file(path).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start:,}") from None
