"""Where a checkpoint is: a file, a folder of another library, or a name on the Hugging Face hub.

Nothing here imports PyTorch: which extra a checkpoint needs is known before the seconds that take.
"""

import hashlib
import json
import re
import zipfile
import zlib
from pathlib import Path

from omnicli.errors import ModelError, UsageError
from omnicli.extras import need
from omnicli.streams.files.stored import sha256_of
from omnicli.streams.files.urls import shown, url_of

HUB = "hf-hub:"
CONFIG = "config.json"
TEXTS = ("*.json", "README.md")
WEIGHTS = (("*.safetensors",), ("pytorch_model*.bin", "*.pth", "*.pt"))
LIBRARIES = ("clip", "transformers")  # extras, and what the names of their architectures begin with
STORED_NAME = re.compile(rb'"model\\?": \{\\?"name\\?": \\?"(clip|transformers)-')  # in JSON, or in JSON within JSON
MAX_HEADER_BYTES = 8 << 20


def local_path(name: str | Path) -> Path:
    """The path itself; of ``hf-hub:OWNER/NAME``, the downloaded folder, or the only file of weights in it.

    Raises:
        UsageError: not OWNER/NAME, or the library of the checkpoint is not installed.
        ModelError: the model is not in the cache and cannot be downloaded, or its folder holds several checkpoints.
    """
    path = _local_path(name)
    if extra := needed_extra(path):
        need(extra, shown(name))
    return path


def needed_extra(path: Path) -> str | None:
    """The extra without which a checkpoint cannot be read, as far as its first bytes say; None for most."""
    if path.suffix == ".onnx":
        return "onnx"
    if is_model_folder(path):
        return "transformers"
    if url_of(path) or not path.is_file():
        return None
    found = STORED_NAME.search(_description(path))
    return found[1].decode() if found else None


def extra_of_model(name: str) -> str | None:
    """The extra that an architecture needs; None for most.

    >>> extra_of_model("transformers-videomae"), extra_of_model("tsn-resnet50")
    ('transformers', None)
    """
    return next((extra for extra in LIBRARIES if name.startswith(f"{extra}-")), None)


def _description(path: Path) -> bytes:
    """The part of a checkpoint of omni that names its architecture; b"" of other files."""
    try:
        if path.suffix == ".safetensors":
            with path.open("rb") as file:
                return file.read(min(int.from_bytes(file.read(8), "little"), MAX_HEADER_BYTES))
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if name is None:
                return b""
            with archive.open(name) as member:
                return member.read(MAX_HEADER_BYTES)
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return b""  # damage is named where the file is read


def _local_path(name: str | Path) -> Path:
    if not str(name).startswith(HUB):
        return Path(name)
    folder = _download(str(name).removeprefix(HUB), str(name))
    if is_model_folder(folder):
        return folder
    files = [path for patterns in WEIGHTS for pattern in patterns for path in sorted(folder.glob(pattern))]
    if len(files) != 1:
        raise ModelError(
            f"{name}: {len(files)} files of weights and no {CONFIG} of transformers; give one of them as a local file"
        )
    return files[0]


def is_model_folder(path: str | Path) -> bool:
    """Whether it is a folder with a ``config.json``, but not timm's, whose weights are a file like any other."""
    return url_of(path) is None and (Path(path) / CONFIG).is_file() and not _is_of_timm(Path(path) / CONFIG)


def _is_of_timm(config: Path) -> bool:
    try:
        with config.open("rb") as file:
            fields = json.loads(file.read(MAX_HEADER_BYTES))
    except (OSError, ValueError, RecursionError):
        return False  # damage is named where the file is read
    return isinstance(fields, dict) and "architecture" in fields and "model_type" not in fields


def digest_of_model(name: str | Path) -> str:
    """SHA-256 of a checkpoint; of a folder, over its files of configuration and weights. Raises ModelError."""
    path = local_path(name)
    try:
        if not is_model_folder(path):
            return sha256_of(path)
        digest = hashlib.sha256()
        for part in sorted(path.glob("*.json")) + weight_files(path):
            with part.open("rb") as file:
                digest.update(f"{part.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        raise ModelError(f"{shown(name)}: {error.strerror or error}".replace("No such file", "no such file")) from None


def weight_files(folder: Path) -> list[Path]:
    """The files of a model folder's weights: safetensors, else pickles. Raises ModelError: it has none."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(pattern)):
            return files
    raise ModelError(f"{folder}: no weights; expected model.safetensors or pytorch_model.bin beside {CONFIG}")


def _download(repository: str, name: str) -> Path:
    owner, slash, model = repository.partition("/")
    if not (owner and slash and model) or "/" in model:
        raise UsageError(f"{name}: expected hf-hub:OWNER/NAME")
    from omnicli.models.downloads import failing_fast  # noqa: PLC0415 (few runs download)

    try:
        from huggingface_hub import constants, snapshot_download  # noqa: PLC0415 (takes 0.3 s)

        with failing_fast():
            is_offline = constants.HF_HUB_OFFLINE
            for patterns in WEIGHTS:
                folder = Path(
                    snapshot_download(repository, allow_patterns=[*TEXTS, *patterns], local_files_only=is_offline)
                )
                if any(any(folder.glob(pattern)) for pattern in patterns):
                    return folder
            return folder
    except Exception as error:  # the hub client raises requests' errors, its own and OSError, with no common base
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ModelError(f"{name}: cannot be downloaded ({reason}); give a local folder or file instead") from None
