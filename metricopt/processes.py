r"""The processes of a launch (``accelerate launch``, ``torchrun``) as one training.

All processes see each batch as a whole: B rows a process make a global batch of :math:`B \cdot P` rows. Each process
loads its own rows and runs its copy of the model on them; the *scores*, labels and row numbers of all are then gathered
(a few numbers a row), so that every process computes the same loss of the whole batch, the same derivatives in all
scores, and the same multipliers, slacks and thresholds. Backwards, each follows the derivatives of its own rows,

.. math::
    \frac{d\ell}{d\theta} = \sum_{p} \sum_{i \in \text{rows of } p} \frac{\partial \ell}{\partial z_i}
    \frac{d z_i}{d \theta}

and the sum over p is an all-reduce. A training is therefore that of one process with batches of :math:`B \cdot P` rows,
up to rounding, whatever the solver; no solver knows of processes. What solvers keep of each sample (at most 12 bytes a
label) is the same in every process: samples are drawn from all rows for every batch, so that a shard by sample would
have to be fetched from other processes at every step, to save 37 MB on 223,414 rows of 14 labels.

What is not the same: random generators (dropout and augmentation differ), and the statistics of batch normalisation,
which each process takes of its own rows; those of the main process are used for scoring. Who wants those of all rows
passes ``torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)``, with ``drop_last=True`` in the loader, on GPUs.

On a machine without GPUs ``torchrun`` starts several processes, ``accelerate launch`` with ``--multi_gpu`` alone.

This file decides who has which rows and what is exchanged; accelerate carries it. With one process nothing is. It
leaves loading to :mod:`metricopt.data.loaders` and the order of things to :mod:`metricopt.training.loop`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from metricopt._validation import InvalidInputError, reject

T = TypeVar("T")
Rows = TypeVar("Rows", Tensor, np.ndarray, list[int])


class ProcessLostError(RuntimeError):
    """Another process of the launch is gone, so that training cannot go on; the message says from where it can."""


class Processes:
    """One process and those that it trains with.

    Parameters
    ----------
    accelerator : Accelerator, optional
        An accelerator of the library accelerate; None for one process that needs none.
    device : device, optional
        The device on which this process trains. The default is the CPU.

    Attributes
    ----------
    number : int
        The number of processes.
    position : int
        The position of this process among them, from 0.
    """

    def __init__(self, accelerator: Any = None, device: torch.device | None = None) -> None:
        self.accelerator = accelerator
        self.device = torch.device("cpu") if device is None else device
        self.number: int = 1 if accelerator is None else accelerator.num_processes
        self.position: int = 0 if accelerator is None else accelerator.process_index
        self._advice = "give checkpoint_dir to be able to go on from there"

    @property
    def is_main(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.position == 0

    # Who has which rows

    def own_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the part of the rows that falls to this process; the parts of all processes are all rows in order."""
        return rows if self.number == 1 else np.array_split(rows, self.number)[self.position]

    def part_of(self, batch: Rows, batch_size: int) -> Rows:
        """Return a stretch of a global batch; empty where the batch has too few rows for all processes.

        Parameters
        ----------
        batch : sequence of B rows
        batch_size : int
            The number of rows that a full batch has for each process. Unless that is 1, no part has a single row, on
            which batch normalisation fails.

        Examples
        --------
        >>> Processes().part_of([4, 7, 1], 3)
        [4, 7, 1]
        """
        num_loading = min(self.number, max(len(batch) // min(batch_size, 2), 1))
        first, end = (len(batch) * position // num_loading for position in (self.position, self.position + 1))
        return batch[first:end] if self.position < num_loading else batch[:0]

    # What all of them know

    def whole_batch(self, scores: Tensor, labels: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores (B, L), labels (B, L) and row numbers (B,) of the global batch, of those of one's own rows.

        Derivatives in the scores go back to one's own, times the number of processes: :meth:`average_gradients` takes
        a mean, so that what a loss adds of the weights themselves counts once.
        """
        if self.number == 1:
            return scores, labels, index
        columns = (scores.detach(), labels, index[:, None].to(scores.device))
        held = torch.cat([column.double() for column in columns], dim=1)  # which holds indices exactly
        sizes = self._gathered(torch.tensor([len(held)], device=scores.device)).tolist()
        padded = held.new_zeros(max(sizes), held.shape[1])
        padded[: len(held)] = held
        rows = self._gathered(padded).split(max(sizes))
        whole = torch.cat([part[:size] for part, size in zip(rows, sizes, strict=True)])
        num_labels, first = scores.shape[1], sum(sizes[: self.position])
        all_scores: Tensor = _OwnRows.apply(scores, whole[:, :num_labels].to(scores.dtype), first, self.number)
        return all_scores, whole[:, num_labels:-1].to(labels.dtype), whole[:, -1].long().cpu()

    def average_gradients(self, model: nn.Module) -> None:
        """Put the mean over the processes in place of each gradient."""
        if self.number == 1:
            return
        weights = [weight for weight in model.parameters() if weight.requires_grad]  # none: nothing is exchanged
        for dtype in dict.fromkeys(weight.dtype for weight in weights):
            alike = [weight for weight in weights if weight.dtype == dtype]
            gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in alike]
            # A weight that no process used keeps no gradient, as in one process, so that its optimizer skips it.
            used = gradients[0].new_tensor([weight.grad is not None for weight in alike])
            flat = torch.cat([used, *(gradient.reshape(-1) for gradient in gradients)])
            mean = self._exchanged(self.accelerator.reduce, flat, "mean")
            parts = mean[len(alike) :].split([weight.numel() for weight in alike])
            for weight, part, used_by in zip(alike, parts, mean[: len(alike)].tolist(), strict=True):
                weight.grad = part.view_as(weight) if used_by > 0 else None

    def take_weights_of_main(self, model: nn.Module) -> None:
        """Give every process the weights and buffers of the main one."""
        if self.number > 1:
            self._broadcast([*model.parameters(), *model.buffers()])

    def take_buffers_of_main(self, model: nn.Module) -> None:
        """Give every process the buffers of the main one: what batch normalisation has seen there."""
        if self.number > 1:
            self._broadcast(list(model.buffers()))

    def concatenated(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of all processes, of as many columns and one kind, in the order of the processes."""
        if self.number == 1:
            return rows
        return np.concatenate(self.all_of(rows))

    def all_of(self, value: T) -> list[T]:
        """Return what each process passes, in the order of the processes."""
        if self.number == 1:
            return [value]
        from accelerate.utils import gather_object

        values: list[T] = self._exchanged(gather_object, [value])
        return values

    def from_main(self, make: Callable[[], T]) -> T:
        """Return what ``make`` returns in the main process, the only one that calls it."""
        if self.number == 1:
            return make()
        from accelerate.utils import broadcast_object_list

        held = [make() if self.is_main else None]
        value: T = self._exchanged(broadcast_object_list, held)[0]
        return value

    # What may go wrong

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Fail in every process if the body fails in one; the body must not exchange anything."""
        if self.number == 1:
            yield
            return
        fault: Exception | None = None
        try:
            yield
        except Exception as error:
            fault = error
        told = None if fault is None else (isinstance(fault, InvalidInputError), str(fault), type(fault).__name__)
        for position, of_other in enumerate(self.all_of(told)):
            if fault is not None:
                raise fault
            if of_other is not None:
                is_input, text, kind = of_other
                if is_input:
                    raise InvalidInputError(text)
                raise ProcessLostError(f"Process {position} of {self.number} failed: {kind}: {text}; {self._advice}.")

    @contextmanager
    def watched(self, checkpoint_dir: Any) -> Iterator[None]:
        """Let a training end with a :class:`ProcessLostError` that names its checkpoints when a process is lost.

        A launcher that sees a process die ends the others by SIGTERM, sooner than they may notice.
        """
        if checkpoint_dir is not None:
            self._advice = f"start all again with resume=True to go on from the checkpoints in {str(checkpoint_dir)!r}"
        is_default = threading.current_thread() is threading.main_thread() and (
            signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        )
        if self.number == 1 or not is_default:
            yield
            return
        signal.signal(signal.SIGTERM, lambda *_: self._lost("it was told to end (SIGTERM)"))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _gathered(self, tensor: Tensor) -> Tensor:
        gathered: Tensor = self._exchanged(self.accelerator.gather, tensor)
        return gathered

    def _broadcast(self, tensors: Sequence[Tensor]) -> None:
        from accelerate.utils import broadcast

        with torch.no_grad():
            for tensor in tensors:
                self._exchanged(broadcast, tensor.data)

    def _exchanged(self, collective: Callable[..., Any], *values: Any) -> Any:
        try:
            return collective(*values)
        except RuntimeError as error:
            if isinstance(error, ProcessLostError):
                raise
            self._lost(str(error))

    def _lost(self, why: str) -> NoReturn:
        text = f"Process {self.position} of {self.number} ends: another one was lost, or failed as it says itself; "
        raise ProcessLostError(f"{text}{self._advice}. ({why.strip()})") from None


ALONE = Processes()


class _Group:
    """The process group of torch, with the names that accelerate has."""

    def __init__(self) -> None:
        self.num_processes: int = torch.distributed.get_world_size()
        self.process_index: int = torch.distributed.get_rank()

    def gather(self, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(self.num_processes)]
        torch.distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)


def processes_of_group() -> Processes:
    """Return the processes whose group the caller's own loop has set up, alone where there is none."""
    distributed = torch.distributed
    is_alone = not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1)
    return ALONE if is_alone else Processes(_Group())


_trainings = threading.Lock()
_num_trainings = 0
_had_precision = False


@contextmanager
def precision_given_back() -> Iterator[None]:
    """Forget the precision of trainings when the last one ends, unless it was set before: others may then set theirs.

    All accelerators of a process share it.
    """
    from accelerate.state import AcceleratorState

    global _num_trainings, _had_precision
    with _trainings:
        if not _num_trainings:
            _had_precision = bool(AcceleratorState._shared_state)
        _num_trainings += 1
    try:
        yield
    finally:
        with _trainings:
            _num_trainings -= 1
            if not (_num_trainings or _had_precision):
                AcceleratorState._reset_state()


class _OwnRows(torch.autograd.Function):
    """Scores of all rows, whose derivatives go back to those of the own ones."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, whole: Tensor, first: int, factor: int) -> Tensor:
        ctx.rows, ctx.factor = slice(first, first + len(own)), factor
        return whole

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        return outer[ctx.rows] * ctx.factor, None, None, None


def join_launch(device: Any = None) -> Processes:
    """Return the processes that this one was launched with; itself alone without a launch.

    Parameters
    ----------
    device : str or device, optional
        The device to train on. On CPUs the processes talk through gloo.

    Raises
    ------
    InvalidInputError
        If the launch cannot be joined, if torch knows no such device, or if all processes would train on it.
    """
    from accelerate import Accelerator

    launched = int(os.environ.get("WORLD_SIZE") or 1)
    try:
        where = None if device is None else torch.device(device)
    except RuntimeError:
        reject("device", "one that torch can use here", repr(device), "choose e.g. cpu")
    if launched == 1:
        accelerator = Accelerator()
        return Processes(accelerator, accelerator.device if where is None else where)
    has_devices = torch.cuda.is_available() or (hasattr(torch, "xpu") and torch.xpu.is_available())
    # Without a device of its own accelerate would take each process for the only one.
    accelerator = Accelerator(cpu=not has_devices or (where is not None and where.type == "cpu"))
    processes = Processes(accelerator, accelerator.device)
    if processes.number != launched:
        remedy = "make no Accelerator before fit, or Accelerator(cpu=True) where there is no other device"
        reject("accelerate", f"set up for the {launched} processes of the launch", processes.number, remedy)
    own = processes.device
    if where is not None and (where.type != own.type or where.index not in (None, own.index)):
        reject("device", f"left out in a launch, or {own.type!r}", repr(str(where)), f"this process has {own}")
    return processes


def is_main_process() -> bool:
    """Say whether this process writes files: always, but in those of a launch beside the main one."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() != 0)
