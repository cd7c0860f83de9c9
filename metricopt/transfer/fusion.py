"""Several source networks in one, whose features are concatenated, or summed with weights by transferability.

This file decides how features are put together. The caller decides the weights, for instance by a score of
:func:`metricopt.transfer.rank_sources`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metricopt._validation import check_choice, reject
from metricopt.backbones.backbone import Backbone, Normalisation, new_head
from metricopt.backbones.families import as_backbone
from metricopt.transfer.rescaling import Rescaling

SUM, CONCATENATION = "sum", "concatenation"


class FusedSources(nn.Module):
    """Several networks that get the same images, with one linear head on their fused features (:func:`fuse`).

    Parameters
    ----------
    sources : dict of str to Backbone
        The networks by name.
    rescaled : sequence of Rescaling
        For each network, the rescaling of its images.
    weights : Tensor, shape (len(sources),)
        The weight of each network in the sum.
    how : str
        ``"sum"`` or ``"concatenation"``.
    head : Linear
        The head on the fused features.

    Attributes
    ----------
    sources : ModuleList
        The networks, in the order of ``names``.
    names : tuple of str
        The names of the networks.
    weights : Tensor
        The weights, a buffer that is fixed and saved with the model.
    """

    weights: Tensor

    def __init__(
        self,
        sources: Mapping[str, Backbone],
        rescaled: Sequence[Rescaling],
        weights: Tensor,
        how: str,
        head: nn.Linear,
    ) -> None:
        super().__init__()
        self.names, self.sources, self.how, self.head = tuple(sources), nn.ModuleList(sources.values()), how, head
        self.rescaled = nn.ModuleList(rescaled)
        self.register_buffer("weights", weights)

    def embed(self, x: Tensor) -> Tensor:
        """Return the input of the head, fused features (B, F), for images (B, C, H, W)."""
        features = []
        for source, rescale in zip(self.sources, self.rescaled, strict=True):
            own: Any = source
            pooled = own.embed(rescale(x))
            # Networks differ in the size of their features: without a common one, weights would mean nothing.
            features.append(F.layer_norm(pooled, pooled.shape[1:]))
        if self.how == CONCATENATION:
            return torch.cat(features, dim=1)
        return torch.einsum("s,sbf->bf", self.weights.to(features[0]), torch.stack(features))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


def fuse(
    models: Mapping[str, nn.Module],
    scores: Mapping[str, float] | None = None,
    *,
    how: str = CONCATENATION,
    num_outputs: int = 1,
    normalisation: Normalisation | None = None,
    seed: int = 0,
) -> FusedSources:
    r"""Return several source networks under one head, which :func:`metricopt.fit` trains like any network.

    The pooled features of each network are scaled to mean 0 and variance 1 within each image. Then they are
    concatenated, or summed with weights that follow from the transferability of the networks:

    .. math:: f(x) = \sum_s w_s f_s(x), \qquad w_s = \frac{e^{\text{score}_s}}{\sum_r e^{\text{score}_r}}.

    For scores that are mean log-likelihoods (LogME, LEEP, NCE, N-LEEP, -W_T), a network weighs in proportion to the
    likelihood of the label of an average sample. With concatenation the head learns weights of its own.

    Parameters
    ----------
    models : dict of str to Backbone, or network of torchvision
        At least two networks by name. They stay as they are, because they are copied.
    scores : dict of str to float, optional
        The score of each network, for the sum. By default all networks weigh the same.
    how : str
        ``"concatenation"``, or ``"sum"``, which needs networks with features of one width.
    num_outputs : int, >= 1
        The number of outputs, one for each label.
    normalisation : Normalisation, optional
        The scale of the images that the model will get. Each network then gets them in the scale that it expects. By
        default all networks get the images as they are.
    seed : int
        The seed of the weights of the head. The global random state is left alone.

    Returns
    -------
    FusedSources
        The networks under one head.

    Raises
    ------
    InvalidInputError
        If there are fewer than two networks, a score is missing, unknown or not finite, scores are given for a
        concatenation, or features of different widths are to be summed.

    Examples
    --------
    >>> from metricopt.backbones import CBRDesign, build_cbr
    >>> sources = {"a": build_cbr(CBRDesign(3, (4, 8))), "b": build_cbr(CBRDesign(3, (8, 8)), seed=1)}
    >>> model = fuse(sources, {"a": -0.3, "b": -0.1}, how="sum")
    >>> model(torch.zeros(2, 3, 32, 32)).shape, model.weights
    (torch.Size([2, 1]), tensor([0.4502, 0.5498]))

    References
    ----------
    Y. Tan, Y. Li, S.-L. Huang (2021). OTCE: a transferability metric for cross-domain cross-task representations. CVPR,
    section 5, for the two ways. Differs from the paper: weights are a softmax, because scores can be negative, and
    features are scaled alike.
    """
    check_choice("how", how, (SUM, CONCATENATION))
    if not isinstance(models, Mapping) or len(models) < 2:
        got = len(models) if isinstance(models, Mapping) else type(models).__name__
        reject("models", "a dict of at least two networks", got, "add a network, or use a single one without fuse")
    if scores is not None:
        if how == CONCATENATION:
            reject("scores", "None for a concatenation", scores, "its head finds weights; give how='sum' to use scores")
        _check_scores(scores, models)
    sources = {name: copy.deepcopy(as_backbone(model)) for name, model in models.items()}
    widths = {name: source.head.in_features for name, source in sources.items()}
    if how == SUM and len(set(widths.values())) > 1:
        reject("models", "of one width for a sum", widths, "give how='concatenation'")
    values = [0.0 if scores is None else float(scores[name]) for name in sources]
    weights = torch.tensor(values, dtype=torch.float64).softmax(dim=0).float()
    width = sum(widths.values()) if how == CONCATENATION else next(iter(widths.values()))
    like = next(next(iter(sources.values())).parameters())
    for source in sources.values():
        without: Any = nn.Identity()
        source.head = without
    rescaled = [Rescaling(normalisation, source.normalisation) for source in sources.values()]
    return FusedSources(sources, rescaled, weights.to(like.device), how, new_head(width, num_outputs, seed, like))


def _check_scores(scores: Mapping[str, float], models: Mapping[str, nn.Module]) -> None:
    for name in scores:
        check_choice("scores", name, models)
    missing = [name for name in models if name not in scores]
    if missing:
        reject("scores", "given for every network", f"nothing for {missing}", "rank them all with rank_sources")
    if not all(math.isfinite(score) for score in scores.values()):
        reject("scores", "finite", dict(scores), "leave out the networks that have none")
