import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from metricopt import InvalidInputError
from metricopt.data import (
    COMMON_POLICY,
    CheXpertImages,
    apply_policy,
    read_chexpert_table,
    soft_targets,
    stratified_split,
    write_synthetic_chexpert,
)
from metricopt.data.chexpert.images import IMAGENET_MEAN, IMAGENET_STD
from tests.held_out import fit


@pytest.fixture(scope="module")
def table(tree):
    return read_chexpert_table(tree, labels=["Edema", "Support Devices"], view="frontal")


def test_an_item_is_the_gray_image_normalised_in_three_channels(table, tree):
    images = CheXpertImages(table, image_size=12)
    image, labels = images[3]
    gray = Image.open(tree / table.paths[3]).resize((12, 12), Image.Resampling.BILINEAR)
    levels = torch.from_numpy(np.asarray(gray, dtype=np.float32) / 255)
    assert image.dtype == labels.dtype == torch.float32 and image.shape == (3, 12, 12)
    for channel, mean, std in zip(image, IMAGENET_MEAN, IMAGENET_STD, strict=True):
        torch.testing.assert_close(channel, (levels - mean) / std)
    np.testing.assert_array_equal(labels, images.labels[3])


def test_other_normalisation(table):
    plain = CheXpertImages(table, image_size=8, mean=(0, 0, 0), std=(1, 1, 1))[0][0]
    scaled = CheXpertImages(table, image_size=8, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)[0][0]
    torch.testing.assert_close(scaled, (plain * 255 - 127) / 128)
    assert plain.min() >= 0 and plain.max() <= 1


def test_what_a_data_set_tells_of_itself(table, tree):
    images = CheXpertImages(table, image_size=8)
    np.testing.assert_array_equal(images.labels, apply_policy(table, COMMON_POLICY)[0])
    assert images.label_names == ("Edema", "Support Devices") and images.is_synthetic
    assert images.groups.tolist() == table.patients.tolist()
    assert images.paths == [str(tree / path) for path in table.paths] and len(images) == len(table)
    assert repr(images) == f"CheXpertImages(synthetic, {len(table)} images of 8 px, Edema, Support Devices)"
    third = CheXpertImages(table, image_size=8, policy="multiclass", unmentioned="missing")
    assert third.label_names[2:] == ("Edema (uncertain)", "Support Devices (uncertain)")
    assert third[0][1].shape == (4,) and np.isnan(third.labels).any()


def test_augmentation_moves_images_and_the_twin_does_not(table):
    plain, augmented = (CheXpertImages(table, image_size=24, augment=augment) for augment in (False, True))
    torch.manual_seed(0)
    first, second = augmented[0][0], augmented[0][0]
    assert (first != second).any() and (first != plain[0][0]).any()
    torch.manual_seed(0)
    assert torch.equal(first, augmented[0][0])
    twin = augmented.without_augmentation()
    assert augmented.augment and not twin.augment
    for _ in range(2):
        assert torch.equal(twin[0][0], plain[0][0])
    # small movements: the picture stays recognisable
    similarity = torch.corrcoef(torch.stack([first.flatten(), plain[0][0].flatten()]))[0, 1]
    assert 0.5 < similarity < 0.9999


@pytest.mark.parametrize("augment", [False, True])
def test_the_cache_changes_no_item(table, tmp_path, augment):
    plain = CheXpertImages(table, image_size=16, augment=augment)
    cached = CheXpertImages(table, image_size=16, augment=augment, cache_dir=tmp_path / "cache")
    for images in (cached, cached):
        for row in range(5):
            torch.manual_seed(row)
            wanted = plain[row][0]
            torch.manual_seed(row)
            assert torch.equal(images[row][0], wanted)
    assert len(list((tmp_path / "cache").glob("*/*.gray"))) == 5


def test_workers_load_the_same(table, tmp_path):
    """Workers that do not fork get the data set pickled, as below."""
    images = CheXpertImages(table.take(np.arange(8)), image_size=16, cache_dir=tmp_path)
    images[0]
    loader = DataLoader(images, batch_size=4, num_workers=1, multiprocessing_context="fork")
    batches = [image for image, _ in loader]
    assert torch.equal(torch.cat(batches), torch.stack([images[row][0] for row in range(8)]))


def test_a_pickled_data_set_gives_the_same_items(table):
    images = CheXpertImages(table, image_size=16)
    first = images[0][0]
    assert torch.equal(pickle.loads(pickle.dumps(images))[0][0], first)


def test_an_item_does_not_share_memory_with_the_labels(table):
    images = CheXpertImages(table, image_size=8)
    before = images.labels.copy()
    images[0][1].fill_(7)
    np.testing.assert_array_equal(images.labels, before)


def test_soft_targets_in_place_of_labels(table):
    images = CheXpertImages(table, image_size=8)
    targets = soft_targets(table, "smoothed_ones")
    soft = images.with_targets(torch.from_numpy(targets))
    np.testing.assert_array_equal(soft[1][1], targets[1])
    np.testing.assert_array_equal(images[1][1], images.labels[1])
    with pytest.raises(InvalidInputError, match=r"targets must be of shape \(\d+, 2\), got shape"):
        images.with_targets(targets[:, :1])
    with pytest.raises(InvalidInputError, match=r"targets must be in \[0, 1\] or NaN, got values from .*; apply"):
        images.with_targets(targets + 2)
    with pytest.raises(InvalidInputError, match="labels must be 0, 1 or NaN"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), DataLoader(soft, batch_size=32), "OFBS", epochs=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "image_size must be an integer >= 1, got 0; "),
        ({"augment": "yes"}, "augment must be True or False, got 'yes'; "),
        ({"mean": (0.5,)}, r"mean must be three numbers, .*, got \(0.5,\); "),
        ({"std": (1, 1, 0)}, r"std must be three numbers, std above 0, got \(1, 1, 0\); "),
        ({"policy": "none"}, "policy must be one of .*, got 'none'"),
    ],
)
def test_faults(table, arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        CheXpertImages(table, **arguments)
    assert CheXpertImages(table, image_size=1, augment=True, mean=(0, 0, 0), std=(1, 1, 1), policy="ones")[0]


def test_missing_images_are_told_when_made_and_damaged_ones_by_path(own_tree):
    table = read_chexpert_table(own_tree)
    whole = own_tree / table.paths[2]
    data = whole.read_bytes()
    whole.unlink()
    with pytest.raises(InvalidInputError, match=f"(?s)the images must be there .*{table.paths[2]}: missing"):
        CheXpertImages(table)
    whole.write_bytes(data[: len(data) // 2])
    images = CheXpertImages(table, image_size=8)
    assert images[0][0].shape == (3, 8, 8)
    with pytest.raises(InvalidInputError, match=f"an image must be a whole file, got .*{table.paths[2]}"):
        images[2]


def test_findings_can_be_learnt_through_fit(tmp_path):
    """Enough for a linear model on small images, and not all: the drawings are neither noise nor trivial."""
    folder = write_synthetic_chexpert(tmp_path, num_patients=150, image_size=24)
    labels = ["Cardiomegaly", "Edema", "Pleural Effusion"]
    table = read_chexpert_table(folder, labels=labels, view="frontal")
    train, test = stratified_split((table.raw_labels == 1).astype(float), (0.7, 0.3), groups=table.patients)
    augmented = CheXpertImages(table.take(train), image_size=24, augment=True, cache_dir=tmp_path / "cache")
    result = fit(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 3)),
        DataLoader(augmented, batch_size=32, shuffle=True),
        "OAP",
        solver="cross_entropy",
        groups=augmented.groups,
        eval_dataset=augmented.without_augmentation(),
        label_names=augmented.label_names,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=3e-4, weight_decay=1e-2),
        epochs=8,
        progress=False,
    )
    images = CheXpertImages(table.take(test), image_size=24)
    with torch.no_grad():
        scores = result.model(torch.stack([image for image, _ in images])).numpy()
    for score, truth in zip(scores.T, images.labels.T, strict=True):
        order = np.argsort(np.argsort(score)) + 1
        positives = truth == 1
        num_pairs = positives.sum() * (~positives).sum()
        auroc = (order[positives].sum() - positives.sum() * (positives.sum() + 1) / 2) / num_pairs
        assert 0.65 < auroc < 0.98
