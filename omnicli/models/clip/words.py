"""Tokenizers of image-text models. Those of a hub or a folder are read as data: their programs never run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from omnicli.errors import ModelError, UsageError
from omnicli.models.downloads import failing_fast

Tokenize = Callable[[Sequence[str]], Tensor]
"""Texts → (N, L) int64 tokens."""

PLAIN_OPTIONS = {"clean", "strip_sep_token", "language", "reduction_mask"}  # of open_clip's tokenizers


def tokenizer_of(source: str, text_cfg: Mapping[str, Any], open_clip: Any) -> Tokenize:
    """The tokenizer of a model.

    Args:
        source: name of the model, ``hf-hub:...`` or ``local-dir:...``, as open_clip takes it.
        text_cfg: of its configuration.
        open_clip: the library.

    Raises:
        UsageError: it needs transformers, which is not installed.
        ModelError: its options name files or programs, or its files are missing or need a program.
    """
    given = text_cfg.get("tokenizer_kwargs") or {}
    odd = sorted(set(given) - PLAIN_OPTIONS) if isinstance(given, Mapping) else ["tokenizer_kwargs"]
    if odd:
        raise ModelError(f"{source}: options of the tokenizer that could name files or programs: {', '.join(odd)}")
    safe = {"trust_remote_code": False} if text_cfg.get("hf_tokenizer_name") else {}
    with failing_fast():
        try:
            return open_clip.get_tokenizer(source, **safe)  # type: ignore[no-any-return]
        except ImportError as error:
            raise UsageError(f"this model's tokenizer needs {error.name}: pip install 'omnicli[clip]'") from None
        except Exception as error:  # transformers' errors have no common base
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ModelError(
                f"{source}: its tokenizer cannot be read ({reason}); give --clip a folder that has it, too"
            ) from None
