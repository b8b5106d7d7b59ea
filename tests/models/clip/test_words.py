"""Tokenizers: open_clip's own, and files of tokens beside the weights."""

import pytest
from made_clip import TEXT

from omnicli.models.clip.words import tokenizer_of

open_clip = pytest.importorskip("open_clip", reason="needs pip install 'omnicli[clip]'")


def test_a_tokenizer_of_a_folder_is_read_from_its_files(tmp_path):
    transformers = pytest.importorskip("transformers")
    from made_clip import CLIP, write_config
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "riding": 2, "bike": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>").save_pretrained(
        tmp_path
    )
    text = {**TEXT, "hf_tokenizer_name": "someone/else", "tokenizer_kwargs": {"clean": "canonicalize"}}
    write_config(tmp_path, {**CLIP, "text_cfg": text})
    tokenize = tokenizer_of(f"local-dir:{tmp_path}", text, open_clip)
    assert tokenize(["Riding, a BIKE", "bike riding"])[:, :4].tolist() == [[2, 1, 3, 0], [3, 2, 0, 0]]
