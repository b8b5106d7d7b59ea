"""Image-text models as they are published: open_clip's names and tags, folders and files. No file can run code.

    ViT-B-16-SigLIP2:webli      a model of open_clip and the tag of its weights, which are downloaded
    ViT-B-16:weights.pt         a model of open_clip and a file of its weights
    hf-hub:OWNER/NAME           a repository of the hub that holds open_clip_config.json
    FOLDER                      such a repository as a local folder; or a file of weights in it

open_clip builds the model and its tokenizer. Weights are read by omni, because a pickle could hold code. Of the
configuration in a folder only what describes layers is used: names of other files, hubs and programs are refused.
"""

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file
from torch import nn

from omnicli.errors import ModelError, UsageError
from omnicli.models.checkpoint import load_weights, plain_tensors
from omnicli.models.clip.tower import check_options, import_open_clip, tower_options
from omnicli.models.clip.words import Tokenize, tokenizer_of
from omnicli.models.downloads import failing_fast
from omnicli.models.licences import licence_of

HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
SAFETENSORS = ".safetensors"
SUFFIXES = (SAFETENSORS, ".bin", ".pth", ".pt")
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
           "model.safetensors", "pytorch_model.bin")  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A model that embeds images and texts.

    Attributes:
        network: of open_clip, with ``visual``, ``encode_text``, ``logit_scale`` and ``logit_bias``; in ``eval`` mode.
        tokenize: texts → (N, L) tokens.
        name: of the architecture.
        tower: what builds the image tower (``tower.new_clip``).
        preprocessing: open_clip's: ``size mean std interpolation resize_mode``.
        source: where the weights are from.
        licence: of the weights; "" if the publisher names none.
    """

    network: nn.Module
    tokenize: Tokenize
    name: str
    tower: dict[str, Any]
    preprocessing: dict[str, Any]
    source: str
    licence: str = ""


class _Found(NamedTuple):
    """The parts of a published model."""

    name: str
    config: dict[str, Any]
    preprocessing: Mapping[str, Any]
    weights: Path
    tokenizer: str  # as open_clip names its source
    source: str


def open_published(given: str) -> Published:
    """The model that ``--clip`` names.

    Raises:
        UsageError: open_clip has no such model or tag; or it is not installed.
        ModelError: a file is missing, damaged, holds or names code, or cannot be downloaded.
    """
    open_clip = import_open_clip()
    found = _find(given, open_clip)
    tower = tower_options(found.config)
    network = _new_network(found, open_clip)
    _load(network, found.weights, open_clip)
    size = network.visual.image_size
    preprocessing = open_clip.transform.merge_preprocess_dict(open_clip.transform.PreprocessCfg(), found.preprocessing)
    return Published(
        network.eval(), tokenizer_of(found.tokenizer, found.config["text_cfg"], open_clip), found.name, tower,
        {**preprocessing, "size": size}, found.source, licence_of(found.weights.parent),
    )  # fmt: skip


def _find(given: str, open_clip: Any) -> _Found:
    if given.startswith(HUB):
        return _find_on_hub(given, open_clip)
    path = Path(given)
    if path.exists():
        return _find_in_folder(path)
    name, _, tag = given.partition(":")
    config = open_clip.get_model_config(name)
    if config is None:
        raise UsageError(
            f"--clip {given}: no such file, and open_clip has no model {name!r}; expected MODEL:TAG, such as "
            "ViT-B-16-SigLIP2:webli, or a folder"
        )
    if tag and Path(tag).is_file():
        return _Found(name, config, _usual_preprocessing(name, tag, open_clip), Path(tag), name, given)
    published, weights = _weights_of(name, tag, open_clip)
    # Ours: the activation that the weights were trained with; open_clip warns that the name's is another
    config["quick_gelu"] = bool(published.get("quick_gelu", False))
    return _Found(name, config, published, weights, name, given)


def _usual_preprocessing(name: str, file: str, open_clip: Any) -> Mapping[str, Any]:
    """That of the published weights of a model, for a file of weights, which names none; open_clip's own without any.

    Ours: where published weights differ, those of most of them, with a warning.
    """
    tags = open_clip.list_pretrained_tags_by_model(name)
    published = [open_clip.get_pretrained_cfg(name, tag) for tag in tags]
    known = [{key: own[key] for key in PREPROCESSING if own.get(key) is not None} for own in published]
    if not known:
        return {}
    usual = max(known, key=known.count)
    if any(own != usual for own in known):
        shown = ", ".join(f"{key} {value}" for key, value in usual.items())
        warnings.warn(
            f"{file}: published weights of {name} differ in preprocessing; taken is {shown}; a folder with {CONFIG} "
            "names its own",
            stacklevel=2,
        )
    return usual


def _weights_of(name: str, tag: str, open_clip: Any) -> tuple[Mapping[str, Any], Path]:
    """Preprocessing and file of published weights of a model in open_clip's registry."""
    published = open_clip.get_pretrained_cfg(name, tag) if tag else None
    if not published:
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise UsageError(f"--clip {name}:{tag}: no such file or tag; open_clip has {', '.join(tags) or 'none'}")
    with failing_fast():
        try:
            return published, Path(open_clip.download_pretrained(published))
        except Exception as error:  # requests', the hub's and OSError have no common base
            raise _no_download(f"{name}:{tag}", published.get("hf_hub") or published.get("url"), error) from None


def _find_on_hub(given: str, open_clip: Any) -> _Found:
    repository = given.removeprefix(HUB)
    with failing_fast():
        try:
            config = Path(open_clip.pretrained.download_pretrained_from_hf(repository, filename=CONFIG))
            weights = Path(open_clip.pretrained.download_pretrained_from_hf(repository))
        except Exception as error:
            raise _no_download(given, repository, error) from None
    return _read_config(config, weights, given, given)


def _no_download(given: str, where: str | None, error: Exception) -> ModelError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return ModelError(
        f"--clip {given}: cannot be downloaded ({reason}); give a folder with {CONFIG}, weights and tokenizer, such as "
        f"a copy of huggingface.co/{where}"
    )


def _find_in_folder(path: Path) -> _Found:
    folder = path if path.is_dir() else path.parent
    files = {file.name: file for file in sorted(folder.iterdir()) if file.suffix in SUFFIXES} if path.is_dir() else {}
    named = next((files[name] for name in WEIGHTS if name in files), None)
    weights = path if path.is_file() else named or next(iter(files.values()), None)
    if weights is None:
        raise ModelError(f"{folder}: no weights; expected {WEIGHTS[0]} or another {', '.join(SUFFIXES)}")
    return _read_config(folder / CONFIG, weights, f"local-dir:{folder}", str(path))


def _read_config(path: Path, weights: Path, tokenizer: str, source: str) -> _Found:
    try:
        content = json.loads(path.read_bytes())
        config, preprocessing = content["model_cfg"], content.get("preprocess_cfg") or {}
        check_options({"embed_dim": config["embed_dim"], "vision_cfg": config["vision_cfg"]})
        if not isinstance(config["text_cfg"], dict) or not isinstance(preprocessing, dict):
            raise TypeError("text_cfg and preprocess_cfg must be objects")
    except OSError as error:
        raise ModelError(
            f"{path}: {error.strerror}; a file of weights needs its model: --clip MODEL:{weights.name}, such as "
            f"ViT-B-16:{weights.name}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: not a configuration of open_clip ({type(error).__name__}: {error})") from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    name = path.resolve().parent.name if not source.startswith(HUB) else source.removeprefix(HUB).rpartition("/")[2]
    return _Found(name.partition(".")[0], config, preprocessing, weights, tokenizer, source)


def _new_network(found: _Found, open_clip: Any) -> Any:
    """The model with random weights. Raises ModelError."""
    options = dict(found.config)
    if options.get("text_cfg", {}).get("hf_model_name") or "multimodal_cfg" in options:
        raise ModelError(f"{found.source}: text towers of transformers and captioning models are not supported")
    kind = open_clip.CustomTextCLIP if options.pop("custom_text", False) else open_clip.CLIP
    try:
        return kind(**options)
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError, RuntimeError) as error:
        raise ModelError(
            f"{found.source}: open_clip cannot build this model ({type(error).__name__}: {error})"
        ) from None


def _load(network: Any, weights: Path, open_clip: Any) -> None:
    """Read weights as data, and have open_clip fit their names and position embeddings. Raises ModelError."""
    with tempfile.TemporaryDirectory() as folder:
        tensors = plain_tensors(load_weights(weights))
        copy = Path(folder) / f"weights{SAFETENSORS}"  # the only kind of file that open_clip gets to see
        save_file(tensors, copy)
        del tensors
        try:
            open_clip.load_checkpoint(network, str(copy))
        except (RuntimeError, KeyError, ValueError, AttributeError) as error:
            first = " ".join(line.strip() for line in str(error).strip().splitlines()[:2])
            raise ModelError(f"{weights}: does not fit the model ({first})") from None
