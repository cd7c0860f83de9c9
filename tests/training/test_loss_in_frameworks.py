"""The loss inside other people's loops, as the guide shows it: the weights that fit trains."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from metricopt import DirectMetricLoss
from metricopt._torchvision import import_torchvision
from metricopt.solvers import Profiled
from tests.held_out import fit

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "own_loop.md"
EPOCHS, STEPS, BATCH = 8, 5, 40
# Theirs: deprecations inside, advice on workers and devices.
pytestmark = pytest.mark.filterwarnings("ignore")


def framework(name, minversion=None):
    """A package of the frameworks, which look for torchvision where it is installed."""
    with suppress(ImportError):
        import_torchvision()
    return pytest.importorskip(name, minversion, reason=f"{name} {minversion or ''} is not installed")


def blobs():
    draw = torch.Generator().manual_seed(0)
    y = (torch.rand(EPOCHS * 25, 1, generator=draw) < 0.3).float()
    return torch.randn(len(y), 3, generator=draw) + 1.2 * y, y


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


def weights_of(model):
    return [weight.tolist() for weight in model.parameters()]


def by_fit():
    """The weights at the end of a training by fit in the order of the rows, by the Adam of the guide."""
    x, y = blobs()
    model, ends = network(), []
    fit(
        model, DataLoader(TensorDataset(x, y), BATCH), "FPOR", alpha=0.9, epochs=EPOCHS, warmup_epochs=0,
        solver=Profiled("guided ramp"), learning_rate=0.02, val_fraction=0, progress=False, device="cpu",
        callbacks=[lambda _: ends.append(weights_of(model))],
    )  # fmt: skip
    return ends[-1]


def by_own_loop(loss):
    x, y = blobs()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(EPOCHS):
        for inputs, labels in DataLoader(TensorDataset(x, y), BATCH):
            optimizer.zero_grad()
            loss(model(inputs), labels).backward()
            optimizer.step()
    return weights_of(model)


def made(**arguments):
    return DirectMetricLoss("FPOR", blobs()[1], alpha=0.9, epochs=EPOCHS, steps_per_epoch=STEPS, **arguments)


def started():
    """A loss that begins as fit does without a warm-up, with the scores of the model as it is."""
    loss = made(warmup_epochs=0)
    with torch.no_grad():
        loss.update(network()(blobs()[0]))
    return loss


def test_both_loops_agree_here():
    assert by_own_loop(started()) == by_fit() != by_own_loop(made())


# Lightning


def screening(loss):
    """The module of the guide, with the loss replaced by one whose beginning is that of fit."""
    lightning = framework("lightning")
    (code,) = [
        block
        for block in re.findall(r"```{code-block} python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
        if "Lightning" in block
    ]
    names = {"lightning": lightning, "metricopt": metricopt, "torch": torch}
    exec(code, names)
    module = names["Screening"](network(), blobs()[1], EPOCHS, STEPS)
    assert module.loss.warmup_epochs == EPOCHS // 4
    module.loss = module.loss if loss is None else loss
    return module


def trainer_of(folder, max_epochs=EPOCHS, **arguments):
    lightning = framework("lightning")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        max_epochs=max_epochs, accelerator="cpu", devices=1, default_root_dir=folder, **quiet, **arguments
    )


def loader():
    return DataLoader(TensorDataset(*blobs()), BATCH)


@pytest.mark.slow
def test_lightning_ends_in_the_weights_of_fit(tmp_path):
    module = screening(started())
    trainer_of(tmp_path, enable_checkpointing=False).fit(module, loader())
    assert weights_of(module) == by_fit()


def test_lightning_validates_without_moving_the_loss(tmp_path):
    plain = screening(None)
    trainer_of(tmp_path, enable_checkpointing=False).fit(plain, loader())
    seen = []

    class Validating(type(plain)):
        def validation_step(self, batch, batch_index):
            seen.append(self.loss(self.model(batch[0]), batch[1]).item())

    module = Validating(network(), blobs()[1], EPOCHS, STEPS)
    trainer_of(tmp_path, enable_checkpointing=False).fit(module, loader(), loader())
    assert weights_of(module) == weights_of(plain) == by_own_loop(made())
    assert len(seen) >= EPOCHS * STEPS and min(seen) > 0


def test_lightning_resumes_the_loss_from_its_checkpoints(tmp_path):
    wanted = screening(None)
    trainer_of(tmp_path, enable_checkpointing=False).fit(wanted, loader())
    broken_off = trainer_of(tmp_path, max_epochs=4, enable_checkpointing=False)
    broken_off.fit(screening(None), loader())
    broken_off.save_checkpoint(tmp_path / "last.ckpt")
    module = screening(None)
    trainer_of(tmp_path, enable_checkpointing=False).fit(module, loader(), ckpt_path=tmp_path / "last.ckpt")
    assert weights_of(module) == weights_of(wanted)
    assert module.loss.threshold == wanted.loss.threshold and module.loss.multiplier == wanted.loss.multiplier


# Hugging Face


class Outputs(dict):
    """What their models return: a dict whose entries are attributes, too."""

    __getattr__ = dict.__getitem__


class Named(nn.Module):
    """A network that takes its features by name, and need not return a loss."""

    def __init__(self):
        super().__init__()
        self.model = network()

    def forward(self, x, labels=None):
        return Outputs(logits=self.model(x))


def recipe():
    """The classes that the page of the guide shows."""
    transformers = framework("transformers", "5.0")
    transformers.Trainer  # noqa: B018 - imported when it is first asked for
    told = GUIDE.read_text(encoding="utf-8")
    code = re.search(r"beside the model:\n\n```{code-block} python\n(.*?)\ntrainer = ", told, re.DOTALL).group(1)
    names = {"transformers": transformers, "torch": torch}
    exec(code, names)
    return transformers, names["DirectTrainer"], names["KeepLoss"]


def train_by_trainer(folder, loss, resume_from=None, **more):
    transformers, trainer_class, callback = recipe()
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, learning_rate=0.02,
        lr_scheduler_type="constant", max_grad_norm=0.0, use_cpu=True, report_to=[], disable_tqdm=True,
        train_sampling_strategy="sequential", save_steps=20, **more,
    )  # fmt: skip
    rows = [{"x": x, "labels": y} for x, y in zip(*blobs(), strict=True)]
    model = Named()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    trainer = trainer_class(
        model, arguments, train_dataset=rows, eval_dataset=rows, callbacks=[callback(loss)], loss=loss,
        optimizers=(optimizer, schedule),
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume_from)
    return weights_of(model), trainer


@pytest.mark.slow
def test_trainer_ends_in_the_weights_of_fit(tmp_path):
    loss = started()
    weights, trainer = train_by_trainer(tmp_path, loss)
    assert weights == by_fit()
    before = repr(loss.state_dict())
    assert trainer.evaluate()["eval_loss"] > 0
    assert repr(loss.state_dict()) == before


@pytest.mark.slow
def test_trainer_resumes_the_loss_from_its_checkpoints(tmp_path):
    wanted, _ = train_by_trainer(tmp_path, made())
    folder, loss = tmp_path / "checkpoint-20", made()
    loss.load_state_dict(torch.load(folder / "loss.pt"))
    assert train_by_trainer(tmp_path / "again", loss, str(folder))[0] == wanted == by_own_loop(made())


# Text, by a small transformer with random weights


def texts(num_rows=240):
    """Rows of tokens, of which those with token 7 are mostly positive, as a tokenizer would give them."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(10, 30, (num_rows, 8), generator=draw)
    y = (torch.rand(num_rows, generator=draw) < 0.2).float()
    has_word = (y == 1) & (torch.rand(num_rows, generator=draw) < 0.9)
    tokens[has_word, 3] = 7
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, y


def text_model(num_logits):
    transformers = framework("transformers", "5.0")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=8, num_labels=num_logits, hidden_dropout_prob=0.0,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


@pytest.mark.slow
@pytest.mark.parametrize("num_logits", [1, 2])
def test_a_text_model_learns_in_the_trainer(tmp_path, num_logits):
    transformers, trainer_class, callback = recipe()
    inputs, y = texts()
    loss = DirectMetricLoss("FPOR", y, alpha=0.8, epochs=8, steps_per_epoch=6)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=8, per_device_train_batch_size=40, learning_rate=0.01,
        use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    names = list(inputs)
    rows = [{**{name: inputs[name][row] for name in names}, "labels": y[row]} for row in range(len(y))]
    model = text_model(num_logits)
    trainer = trainer_class(model, arguments, train_dataset=rows, callbacks=[callback(loss)], loss=loss)
    trainer.train()
    with torch.no_grad():
        logits = model.eval()(**inputs).logits
    scores = logits[:, -1] - (logits[:, 0] if num_logits == 2 else 0)
    choice = metricopt.choose_threshold(scores, y, loss.objective)
    assert choice.feasible and choice.value > 0.7
    assert loss.multiplier is not None and loss.threshold == pytest.approx(float(choice.threshold), abs=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("num_logits", [1, 2])
def test_a_text_model_is_fitted_as_it_is(num_logits):
    inputs, y = texts()
    rows = [({name: values[row] for name, values in inputs.items()}, y[row]) for row in range(len(y))]
    result = fit(
        text_model(num_logits), DataLoader(rows, 40, shuffle=True), "FPOR", alpha=0.8, epochs=8, learning_rate=0.01,
        val_fraction=0, confidence=None, progress=False, device="cpu",
    )  # fmt: skip
    assert result.train.recall > 0.7 and result.train.precision >= 0.8
    assert result.scores(inputs).shape == (240,)
