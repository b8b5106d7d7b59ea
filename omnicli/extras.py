"""Optional libraries: the extra that brings each, checked before anything that takes seconds is imported."""

from importlib.util import find_spec

from omnicli.errors import UsageError

EXTRAS = {  # modules that an extra brings
    "clip": ("open_clip",),
    "gcs": ("gcsfs",),
    "heif": ("pillow_heif",),
    "hf": ("huggingface_hub",),
    "jxl": ("pillow_jxl",),
    "onnx": ("onnx", "onnxruntime"),
    "ray": ("ray",),
    "s3": ("s3fs",),
    "tensorboard": ("tensorboard",),
    "transformers": ("transformers",),
}


def need(extra: str, what: str) -> None:
    """Nothing if the libraries of an extra are installed; imports none of them.

    Raises:
        UsageError: one is missing; ``what`` (an option, a file) begins the message.
    """
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise UsageError(f"{what} needs {' and '.join(missing)}: pip install 'omnicli[{extra}]'")
