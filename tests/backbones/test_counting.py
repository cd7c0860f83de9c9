"""Every row of the TruncatedTL table, the DenseNet rows and the LWFT rows, to the integer."""

import pytest
import torch
from torch import nn

from metricopt import InvalidInputError
from metricopt.backbones import count_macs, count_parameters, freeze, load_backbone, transfuse, truncate


@pytest.fixture(scope="module")
def resnet50():
    with torch.device("meta"):  # shapes are enough
        return load_backbone("resnet50")


@pytest.fixture(scope="module", params=["densenet121", "densenet201"])
def densenet(request):
    with torch.device("meta"):
        return request.param, load_backbone(request.param)


ROWS = {
    "FTL": (lambda model: truncate(model, num_outputs=2), 23_512_130, 4_119_880_194, "4.0871"),
    "TF": (lambda model: transfuse(model, "layer3", num_outputs=2), 12_947_522, 3_563_388_674, "3.5316"),
    "TTL-1": (lambda model: truncate(model, "layer3.5", 2), 8_545_346, 3_308_958_722, "3.2779"),
    "TTL-2": (lambda model: truncate(model, "layer3.3", 2), 6_310_978, 2_870_420_482, "2.8412"),
}


@pytest.mark.parametrize("row", ROWS)
def test_table_of_the_paper(row, resnet50):
    make, parameters, of_paper, of_torch = ROWS[row]
    model = make(resnet50)
    macs = count_macs(model)
    assert (count_parameters(model), macs.paper, f"{macs.torch / 1e9:.4f}") == (parameters, of_paper, of_torch)


@pytest.mark.parametrize(
    ("up_to", "trainable"),
    [("stem", 23_502_594), ("layer1", 23_286_786), ("layer2", 22_067_202), ("layer3", 14_968_834)],
)
def test_layer_wise_fine_tuning(up_to, trainable, resnet50):
    model = freeze(truncate(resnet50, num_outputs=2), up_to)
    assert (count_parameters(model, trainable_only=True), count_parameters(model)) == (trainable, 23_512_130)


DENSENETS = {
    "densenet121": {
        "features.transition1": (378_114, "1.2827"),
        "features.transition2": (1_430_146, "2.1119"),
        "features.transition3": (4_794_754, "2.7751"),
        None: (6_955_906, "2.8816"),
    },
    "densenet201": {"features.transition3": (11_112_322, "4.0206"), None: (18_096_770, "4.3651")},
}


def test_densenets(densenet):
    name, whole = densenet
    for at, expected in DENSENETS[name].items():
        model = truncate(whole, at, 2)
        assert (count_parameters(model), f"{count_macs(model).paper / 1e9:.4f}") == expected


def test_every_term_of_the_paper_s_counter():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),  # 8 * 8 * 3 outputs, 2 * 9 products and a bias each
        nn.BatchNorm2d(3),  # 2 * 192
        nn.ReLU(),  # 192
        nn.MaxPool2d(2),  # 192
        nn.AvgPool2d(2),  # 48
        nn.ReLU6(),  # 12
        nn.AdaptiveAvgPool2d(1),  # 12
        nn.Flatten(),
        nn.Linear(3, 5),  # 15 and 5
    )
    macs = count_macs(model, 8)
    assert macs.paper == 192 * 19 + 384 + 192 + 192 + 48 + 12 + 12 + 20
    assert macs.torch == 192 * 18 + 15


def test_counting_leaves_the_model_alone():
    model = load_backbone("resnet18")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert count_macs(model, (64, 32)).paper < count_macs(model, 64).paper
    assert model.training and model.body.bn1.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("size", [0, (224,), "224", (2, 2)])
def test_bad_input_size(size):
    model = nn.Conv2d(1, 1, 5)
    with pytest.raises(InvalidInputError, match="input_size must be"):
        count_macs(model, size)
    assert count_macs(model, (6, 5)).paper == 2 * 26


def test_a_model_without_convolutions():
    with pytest.raises(InvalidInputError, match="model must be a network with convolutions, got Linear"):
        count_macs(nn.Linear(2, 1))
    assert count_parameters(nn.Linear(2, 1)) == 3
