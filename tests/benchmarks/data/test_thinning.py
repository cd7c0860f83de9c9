import numpy as np

from benchmarks.data.thinning import draw_patients, thin


def test_thin_keeps_a_class_whole_or_draws_from_it():
    labels = np.repeat([0.0, 1.0], [900, 100])
    np.testing.assert_array_equal(thin(labels), np.arange(1000))
    index = thin(labels, num_positives=10, num_negatives=50)
    assert (np.diff(index) > 0).all() and len(index) == 60 and labels[index].sum() == 10
    np.testing.assert_array_equal(index, thin(labels, num_positives=10, num_negatives=50))


def test_each_patient_is_drawn_once_and_in_one_part():
    patients = np.random.default_rng(1).integers(0, 400, 3000)
    parts = [draw_patients(patients, part, num_patients=100) for part in range(3)]
    drawn = patients[np.concatenate(parts)]
    assert len(np.unique(drawn)) == 300
    np.testing.assert_array_equal(parts[0], draw_patients(patients, 0, num_patients=100))


def test_neither_the_image_nor_the_patient_is_drawn_by_order_or_number_of_images():
    patients = np.repeat(np.arange(2000), np.arange(2000) % 2 * 9 + 1)  # odd patients have ten images each, even one
    rows = draw_patients(patients, 0, num_patients=1000)
    assert 420 < (patients[rows] % 2).sum() < 580
    first = np.searchsorted(patients, patients[rows])
    assert (rows > first)[patients[rows] % 2 == 1].mean() > 0.8  # not always the first image
