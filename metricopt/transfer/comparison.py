"""A comparison of two networks: how similar their layers are on the same data.

This file decides which layers are compared, on what samples, and how the result is shown. It leaves the measures to
:mod:`metricopt.transfer.representation`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from metricopt._validation import check_choice, reject
from metricopt.progress import Display
from metricopt.transfer.activations import LayerOutputs, positions, spatial_mean
from metricopt.transfer.heat_map import plot_heat_map
from metricopt.transfer.representation import Spectrum, check_leading, correlations_of, projection_weighted
from metricopt.transfer.scatter import CrossScatter

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MEASURES = ("cca", "svcca", "pwcca")
REDUCTIONS = {"positions": positions, "mean": spatial_mean}


@dataclass(frozen=True)
class LayerSimilarity:
    """The similarity of a layer of one network and a layer of another.

    Attributes
    ----------
    layer_a, layer_b : str
        The names of the layers.
    cca, svcca, pwcca : float
        The three measures, in [0, 1]. They are NaN if one of the layers does not vary, or if the maps of the layers
        differ in size, so that their positions cannot be paired.
    chance : float
        About the value of ``cca`` for layers that have nothing to do with each other: the root mean square of canonical
        correlations between independent normal features, sqrt(max(rank) / (samples - 1)).
    rank_a, rank_b : int
        The number of directions in which each layer varies.
    samples : int
        The number of rows, or of rows times positions. It is 0 if the positions cannot be paired.
    forced : int
        How many of the correlations are 1 for any two layers, because there are too few samples.
    """

    layer_a: str
    layer_b: str
    cca: float
    svcca: float
    pwcca: float
    chance: float
    rank_a: int
    rank_b: int
    samples: int
    forced: int


@dataclass(frozen=True)
class Comparison:
    """The similarities of all pairs of layers of two networks.

    Attributes
    ----------
    pairs : tuple of LayerSimilarity
        The pairs, ordered by the layers of the first network.
    layers : tuple of str
        The names of the layers.
    spatial : str
        How feature maps were reduced, ``"positions"`` or ``"mean"``.
    """

    pairs: tuple[LayerSimilarity, ...]
    layers: tuple[str, ...]
    spatial: str

    def __getitem__(self, layers: tuple[str, str]) -> LayerSimilarity:
        """Return the pair of a layer of the first network and a layer of the second."""
        return self.pairs[self.layers.index(layers[0]) * len(self.layers) + self.layers.index(layers[1])]

    def to_frame(self, *, same_layer: bool = False) -> pd.DataFrame:
        """Return a table with a row for each pair, or with ``same_layer`` for each pair of equal names."""
        import pandas as pd

        return pd.DataFrame([vars(pair) for pair in self.pairs if not same_layer or pair.layer_a == pair.layer_b])

    def matrix(self, measure: str = "svcca") -> np.ndarray:
        """Return a measure of all pairs, with the layers of the first network in rows and of the second in columns.

        Parameters
        ----------
        measure : str
            ``"cca"``, ``"svcca"`` or ``"pwcca"``.
        """
        check_choice("measure", measure, MEASURES)
        number = len(self.layers)
        return np.array([getattr(pair, measure) for pair in self.pairs]).reshape(number, number)

    def plot(self, measure: str = "svcca", *, ax: Axes | None = None, title: str = "") -> Axes:
        """Draw a measure as a heat map, with the first network upwards and the second to the right.

        Parameters
        ----------
        measure : str
            ``"cca"``, ``"svcca"`` or ``"pwcca"``.
        ax : Axes, optional
            The axes to draw into. The default is those of a new figure.
        title : str
            The title of the picture.

        Returns
        -------
        Axes
            ``.figure.savefig("layers.png")`` writes the picture.
        """
        return plot_heat_map(
            self.matrix(measure),
            self.layers,
            self.layers,
            label=measure.upper(),
            row_label="first network",
            column_label="second network",
            ax=ax,
            title=title,
        )


def compare(
    model_a: nn.Module,
    model_b: nn.Module,
    loader: Iterable[Any],
    layers: Sequence[str],
    *,
    spatial: str = "positions",
    fraction: float = 0.99,
    of: str = "variance",
    progress: bool | None = None,
) -> Comparison:
    """Compare the layers of two networks by their outputs on the same data: CCA, SVCCA and PWCCA.

    The two networks can be one network before and after its training (keep ``copy.deepcopy(model)``), two
    initialisations of one architecture, or a pretrained and a random network, each after training on the task. Every
    layer of the first is compared with every layer of the second. The data pass once through both networks, in
    evaluation mode. Only sums and products of features are kept, so memory grows with the square of the layers' widths
    and not with the data.

    Parameters
    ----------
    model_a, model_b : Module
        The networks. Both have all of the layers.
    loader : iterable of batches
        Batches of inputs, or of pairs whose first element is the input. Batches can differ in size.
    layers : sequence of str
        The names of modules in ``model.named_modules()``, from the image upwards. In a backbone a block or a cut point
        can be named as well. The output of each is (B, C), or feature maps (B, C, h, w).
    spatial : str
        How feature maps are reduced. With ``"positions"`` each channel is a feature and each position of each image a
        sample, as in the three papers; layers whose maps differ in size have no common positions and are not compared.
        With ``"mean"`` the mean of each channel over the image is a feature and each image a sample; so layers of any
        size are compared, but on fewer samples. Positions of one image are similar, so they say less than as many
        images.
    fraction, of
        The directions that SVCCA keeps (:func:`~metricopt.transfer.svcca`).
    progress : bool, optional
        Whether to show a progress bar. The default is to show one if standard error is a terminal.

    Returns
    -------
    Comparison
        The similarities of all pairs of layers.

    Warns
    -----
    UserWarning
        If there are so few samples that some correlations are 1 for any two layers. ``forced`` says how many.

    Raises
    ------
    InvalidInputError
        If a layer does not exist (the message lists the layers), is not called exactly once, has another kind of
        output, or is not finite, or if there are fewer than two samples.

    Examples
    --------
    >>> import torch
    >>> from metricopt.backbones import CBRDesign, build_cbr
    >>> first, second = (build_cbr(CBRDesign(3, (4, 6)), seed=seed) for seed in (0, 1))
    >>> loader = torch.utils.data.DataLoader(torch.randn(8, 3, 32, 32), batch_size=4)
    >>> comparison = compare(first, second, loader, ["block1", "block2"])
    >>> comparison["block1", "block1"].samples, comparison["block2", "block2"].samples
    (1568, 200)
    >>> bool(compare(first, first, loader, ["block2"]).matrix().round(6) == 1)
    True

    References
    ----------
    M. Raghu, J. Gilmer, J. Yosinski, J. Sohl-Dickstein (2017). SVCCA. NeurIPS, section 2.1.
    A. S. Morcos, M. Raghu, S. Bengio (2018). Insights on representational similarity in neural networks with canonical
    correlation. NeurIPS.
    M. Raghu, C. Zhang, J. Kleinberg, S. Bengio (2019). Transfusion: understanding transfer learning for medical
    imaging. NeurIPS, section 4: layers before and after training, and between initialisations.
    """
    check_choice("spatial", spatial, REDUCTIONS)
    check_leading(fraction, of)
    reduction = REDUCTIONS[spatial]
    listeners = (LayerOutputs(model_a, layers, reduction), LayerOutputs(model_b, layers, reduction))
    own = [{name: CrossScatter() for name in layers} for _ in listeners]
    crossed = {(a, b): CrossScatter() for a in layers for b in layers}
    with listeners[0], listeners[1], Display(progress) as display:
        for batch in display.watch(loader, "comparing"):
            x = batch[0] if isinstance(batch, (tuple, list)) and len(batch) == 2 else batch
            outputs = [listener(x)[0] for listener in listeners]
            for scatters, named in zip(own, outputs, strict=True):
                for name, output in named.items():
                    scatters[name].update(_rows(output), _rows(output))
            for (a, b), scatter in crossed.items():
                if outputs[0][a].shape[:-1] == outputs[1][b].shape[:-1]:
                    scatter.update(_rows(outputs[0][a]), _rows(outputs[1][b]))
    _check_samples(own)
    spectra = [{name: Spectrum.of(scatter) for name, scatter in scatters.items()} for scatters in own]
    pairs = [
        _similarity(a, b, spectra[0][a], spectra[1][b], scatter, fraction, of) for (a, b), scatter in crossed.items()
    ]
    _warn_of_few([pair for pair in pairs if pair.forced])
    return Comparison(tuple(pairs), tuple(layers), spatial)


def _rows(output: Tensor) -> Tensor:
    """Return the outputs (B, h, w, C) as rows (B h w, C)."""
    return output.reshape(-1, output.shape[-1])


def _similarity(
    name_a: str, name_b: str, a: Spectrum, b: Spectrum, cross: CrossScatter, fraction: float, of: str
) -> LayerSimilarity:
    measured = dict.fromkeys(MEASURES, math.nan)
    forced, chance = 0, math.nan
    number, ranks = cross.num_samples, (a.rank, b.rank)
    if number > 1 and min(ranks) > 0:
        sums = cross.sums.cpu().numpy()
        leading = correlations_of(a.leading(fraction, of), b.leading(fraction, of), sums)
        measured = {
            "cca": float(correlations_of(a, b, sums).mean()),
            "svcca": float(leading.mean()),
            "pwcca": projection_weighted(a, b, sums),
        }
        chance = min(1.0, math.sqrt(max(ranks) / (number - 1)))
        forced = max(0, sum(ranks) - (number - 1))
    return LayerSimilarity(
        name_a, name_b, **measured, chance=chance, rank_a=a.rank, rank_b=b.rank, samples=number, forced=forced
    )


def _check_samples(own: Sequence[dict[str, CrossScatter]]) -> None:
    for which, scatters in zip(("model_a", "model_b"), own, strict=True):
        for name, scatter in scatters.items():
            if scatter.num_samples < 2:
                remedy = "give many more samples than the layers have channels"
                reject("loader", "one of at least 2 samples", scatter.num_samples, remedy)
            if not scatter.sums.isfinite().all():
                remedy = "check its weights and the inputs"
                reject(which, "one whose layers put out finite values", f"NaN or infinity in {name!r}", remedy)


def _warn_of_few(pairs: Sequence[LayerSimilarity]) -> None:
    if pairs:
        worst = max(pairs, key=lambda pair: pair.forced / min(pair.rank_a, pair.rank_b))
        warnings.warn(
            f"too few samples for {len(pairs)} pairs of layers: of {worst.layer_a} and {worst.layer_b} "
            f"{worst.forced} of {min(worst.rank_a, worst.rank_b)} correlations are 1 whatever the layers do, for "
            f"{worst.samples} samples are not more than the ranks {worst.rank_a} + {worst.rank_b}; CCA and PWCCA "
            "cannot be trusted there: pass more data, or name narrower layers",
            UserWarning,
            stacklevel=3,
        )
