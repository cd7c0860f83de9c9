import numpy as np
import pytest

from metricopt import InvalidInputError
from metricopt.data import CheXpertImages, check_images, read_chexpert_table
from metricopt.progress import Display


def cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def test_whole_images_pass(tree):
    table = read_chexpert_table(tree)
    check = check_images(table, num_threads=2)
    assert (check.num_images, check.faults) == (len(table), {}) and check.root == tree
    assert check.intact.tolist() == list(range(len(table)))
    assert str(check) == f"0 missing and 0 damaged of {len(table)} in {tree}"
    check.raise_if_any()


def test_missing_and_damaged_images_are_told_together(own_tree):
    table = read_chexpert_table(own_tree)
    missing, damaged, empty = table.paths[[1, 3, 4]]
    (own_tree / missing).unlink()
    cut(own_tree / damaged)
    cut(own_tree / empty, 0)
    check = check_images(table)
    assert list(check.faults) == [missing, damaged, empty] and check.faults[missing] == "missing"
    assert sorted({1, 3, 4} | set(check.intact)) == list(range(len(table))) and len(check.intact) == len(table) - 3
    with pytest.raises(InvalidInputError) as raised:
        check.raise_if_any()
    told = str(raised.value)
    assert told.startswith(f"the images must be there and whole, got 1 missing and 2 damaged of {len(table)} in ")
    assert all(f"\n  {path}: " in told for path in (missing, damaged, empty)) and "truncated" in told
    rest = table.take(check.intact)
    check_images(rest).raise_if_any()
    assert len(CheXpertImages(rest, image_size=8)) == len(rest)


def test_existence_alone_is_quick_and_partial(own_tree):
    table = read_chexpert_table(own_tree)
    cut(own_tree / table.paths[0])
    assert not check_images(table, decode=False).faults and len(check_images(table).faults) == 1


def test_a_long_list_is_cut_in_the_error_alone(tree, tmp_path):
    table = read_chexpert_table(tree)
    path = tmp_path / table.paths[-1]
    path.parent.mkdir(parents=True)
    path.write_bytes((tree / table.paths[-1]).read_bytes())
    check = check_images(table, tmp_path)
    num_missing = len(table) - 1
    assert num_missing > 100 and len(str(check).splitlines()) == 1 + num_missing
    with pytest.raises(InvalidInputError) as raised:
        check.raise_if_any()
    assert len(str(raised.value).splitlines()) == 22 and f"  and {num_missing - 20} more; restore" in str(raised.value)


def test_no_image_at_all_is_one_message_about_the_root(tree, tmp_path):
    table = read_chexpert_table(tree)
    for check in (check_images, lambda table, root: CheXpertImages(table, root=root)):
        with pytest.raises(InvalidInputError) as raised:
            check(table, tmp_path)
        assert str(raised.value) == (
            "root must be the folder with the images, laid out as they were published, "
            f"got {tmp_path}, where none of {len(table)} exists, such as {table.paths[0]}; "
            "pass the folder that holds train/"
        )
        check(table, tree)
    check_images(table.take(np.array([], dtype=int)), tmp_path).raise_if_any()


def test_progress_is_shown_where_wanted(tree, capsys, monkeypatch):
    table = read_chexpert_table(tree)
    watched = []
    watch = Display.watch
    monkeypatch.setattr(Display, "watch", lambda self, items, what: watched.append(what) or watch(self, items, what))
    check_images(table, progress=False)
    assert watched == ["checking images"] and capsys.readouterr().err == ""
    check_images(table, progress=True)
    assert capsys.readouterr().err != ""
