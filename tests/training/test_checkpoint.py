"""Checkpoint files: what goes in comes out, and what is damaged is noticed."""

import copy
import json
import random
import warnings
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from metricopt import InvalidInputError
from metricopt.evidence.choice import ThresholdChoice
from metricopt.problem.ratios import Counts
from metricopt.training.checkpoint import Checkpoints, _checksum, claim_folder, flatten, has_checkpoints, put_together
from metricopt.training.state import Candidate, State

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.bool),
]
MINE = {"seed": "0"}


# Structures


def same(one, other):
    """Whether two structures are alike to the bit, the kinds of their parts included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and bytes_of(one) == bytes_of(other)
    if isinstance(one, (np.ndarray, np.generic)):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and one.tobytes() == other.tobytes()
    return repr(one) == repr(other)


def bytes_of(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_same_is_strict():
    """The judge of the tests below."""
    a = {"x": [1, (2.0, torch.zeros(2))]}
    assert same(a, copy.deepcopy(a))
    for other in (
        {"x": [1, (2, torch.zeros(2))]},
        {"x": [1, [2.0, torch.zeros(2)]]},
        {"x": [1, (2.0, -torch.zeros(2))]},
    ):
        assert not same(a, other)
    assert not same(np.float32(1), np.float64(1)) and not same(torch.zeros(1), torch.zeros(()))


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    values = torch.from_numpy(np.frombuffer(draw(st.binary(min_size=27 * 16, max_size=27 * 16)), np.uint8).copy())
    if dtype is torch.bool:
        values = values % 2
    return values.view(dtype)[: int(np.prod(shape))].reshape(shape)


NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(-(2**200), 2**200), st.floats(), st.text())
ARRAYS = arrays.arrays(
    st.sampled_from(["f8", "f4", "f2", "i8", "u4", "u1", "?", "c16"]).map(np.dtype),
    arrays.array_shapes(min_dims=0, min_side=0),
)
SCALARS = ARRAYS.filter(lambda array: array.size).map(lambda array: array.reshape(-1)[0])
KEYS = st.one_of(st.integers(-3, 3), st.sampled_from(["1", "a/b", "", "__metadata__", "skeleton"]), st.booleans(),
                 st.tuples(st.integers(0, 2), st.text(max_size=2)))  # fmt: skip
STRUCTURES = st.recursive(
    st.one_of(NUMBERS, tensors(), ARRAYS, SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4).map(OrderedDict),
        st.dictionaries(KEYS, st.integers(0, 5), max_size=4).map(Counter),
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STRUCTURES)
def test_structures_come_back_from_text_and_tensors(content):
    skeleton, flat = flatten(content)
    assert same(put_together(json.loads(json.dumps(skeleton)), flat), content)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=STRUCTURES, step=st.integers(0, 10**9 - 1))
def test_structures_come_back_from_disk(content, step, tmp_path_factory):
    checkpoints = Checkpoints(tmp_path_factory.mktemp("folder"), 1, MINE)
    checkpoints.write({"content": content}, step)
    assert same(checkpoints.read(), {"content": content})


def test_tensors_of_every_kind_come_back():
    base = torch.arange(24.0).reshape(2, 3, 4)
    weight = nn.Parameter(torch.randn(3, 2))
    content = {
        "transposed": base.transpose(0, 2),
        "part": base[:, 1:, ::2],
        "part again": base[0],  # shares memory
        "expanded": torch.ones(1).expand(3),
        "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "weight": weight,
        "array": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "reversed": np.arange(3)[::-1],
        "fixed": np.broadcast_to(np.arange(3), (2, 3)),
        "generator": torch.Generator().get_state(),
    }
    back = put_together(*flatten(content))
    assert same({**back, "weight": 0}, {**content, "weight": 0})
    assert same(back["weight"], weight.detach()) and not back["weight"].requires_grad


def test_a_copy_is_stored():
    tensor = torch.zeros(2)
    skeleton, flat = flatten([tensor])
    tensor += 1
    assert put_together(skeleton, flat)[0].tolist() == [0, 0]


def test_what_occurs_twice_is_stored_once():
    weights, other, array = {"w": torch.ones(1000)}, torch.ones(1000), np.ones(10)
    content = {"best": weights, "baseline": weights, "warm": dict(weights), "other": other, "arrays": [array, array]}
    skeleton, flat = flatten(content)
    assert sorted(map(len, flat.values())) == [10, 1000, 1000]
    back = put_together(skeleton, flat)
    assert same(back, content)
    assert back["best"]["w"] is back["baseline"]["w"] is back["warm"]["w"] is not back["other"]


def test_records_come_back():
    none = np.zeros(1)
    choice = ThresholdChoice(none + 0.5, none, None, Counts(none, none, none, none), none > 0)
    candidate = Candidate(choice, (0.5, -np.inf), {"w": torch.ones(2)}, "start", 0)
    state = State(candidate, candidate, candidate, candidate.weights, step=7)
    back = put_together(*flatten({"state": state}))["state"]
    assert isinstance(back, State) and isinstance(back.best, Candidate) and isinstance(back.best.choice.counts, Counts)
    assert repr(back) == repr(state)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (lambda: 0, "function at /scheduler/1"),
        ({1, 2}, "set at /scheduler/1"),
        (b"text", "bytes at /scheduler/1"),
        (object(), "object at /scheduler/1"),
        (np.array(["text"]), "ndarray of <U4 at /scheduler/1"),
        (np.array([None]), "ndarray of object at /scheduler/1"),
        (np.str_("text"), "str_ of <U4 at /scheduler/1"),
        (torch.zeros(2).to_sparse(), "Tensor of torch.float32 at /scheduler/1"),
        (torch.zeros(2, device="meta"), "Tensor of torch.float32 at /scheduler/1"),
        ({"deep": [slice(1)]}, "slice at /scheduler/1/deep/0"),
        ({"deep": [1]}, None),
    ],
)
def test_what_cannot_be_stored_is_named(value, part, tmp_path):
    checkpoints = Checkpoints(tmp_path, 1, MINE)
    content = {"model": torch.ones(1), "scheduler": [1, value]}
    if part is None:
        checkpoints.write(content, 0)
        return
    with pytest.raises(
        InvalidInputError, match=f"what a checkpoint stores must be made of .*, got {part}; keep it out"
    ):
        checkpoints.write(content, 0)
    assert not any(tmp_path.iterdir())


# Files


def content_of(step):
    return {"step": step, "weights": torch.arange(40.0) + step, "text": "word " * 20}


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, of steps 10 and 20."""
    checkpoints = Checkpoints(tmp_path, 10, MINE)
    for step in (10, 20):
        checkpoints.write(content_of(step), step)
    return tmp_path


def read(folder, fingerprint=None):
    return Checkpoints(folder, 10, MINE if fingerprint is None else fingerprint).read()


def newest(folder):
    return folder / "step-000000020.safetensors"


def test_the_newest_two_are_kept_and_the_newest_is_read(folder):
    assert same(read(folder), content_of(20))
    Checkpoints(folder, 10, MINE).write(content_of(30), 30)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("step-000000020.safetensors", "step-000000030.safetensors")
    ]
    assert same(read(folder), content_of(30))


def test_a_step_may_be_written_again(folder):
    Checkpoints(folder, 10, MINE).write("other", 20)
    assert read(folder) == "other" and len(list(folder.iterdir())) == 2


def test_later_files_go_when_a_run_goes_on_from_before(folder):
    Checkpoints(folder, 10, MINE).write(content_of(15), 15)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("step-000000010.safetensors", "step-000000015.safetensors")
    ]


def test_an_empty_folder_has_nothing_to_read(tmp_path):
    assert read(tmp_path) is None and not has_checkpoints(tmp_path)
    assert not has_checkpoints(tmp_path / "missing")


def damage(file, how):
    whole = file.read_bytes()
    if how == "empty":
        file.write_bytes(b"")
    elif how == "a folder":
        file.unlink()
        file.mkdir()
    elif how == "text":
        file.write_text("dear reader")
    elif how == "foreign":
        save_file({"weights": torch.zeros(2)}, file)
    elif how == "no checksum":
        save_file({"weights": torch.zeros(2)}, file, {"metricopt_checkpoint": "2"})
    elif how == "longer":
        file.write_bytes(whole + b"0")
    elif how == "huge header":
        file.write_bytes(b"\xff" * 8 + whole[8:])
    elif how == "another kind":  # of the same size, which safetensors does not notice
        assert whole.count(b'"F32"') == 1
        file.write_bytes(whole.replace(b'"F32"', b'"I32"'))
    elif how == "another name":
        file.write_bytes(whole.replace(b"/weights", b"/weighst"))
    elif how == "another format":
        assert whole.count(b'"metricopt_checkpoint":"4"') == 1
        file.write_bytes(whole.replace(b'"metricopt_checkpoint":"4"', b'"metricopt_checkpoint":"5"'))
    else:
        file.write_bytes(whole[: int(how * len(whole))])


DAMAGES = [
    *("empty", "a folder", "text", "foreign", "no checksum", "longer", "huge header"),
    *("another kind", "another name", "another format"),
    *(0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999),
]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_gives_way_to_the_one_before(folder, how):
    damage(newest(folder), how)
    with pytest.warns(UserWarning, match=f"The checkpoint .*{newest(folder).name} is damaged and left out: ."):
        assert same(read(folder), content_of(10))


@pytest.mark.parametrize("how", ["empty", "foreign", 0.5])
def test_without_a_readable_file_the_remedy_is_said(folder, how):
    for file in folder.iterdir():
        damage(file, how)
    with (
        pytest.warns(UserWarning, match="step-000000010.* is damaged"),
        pytest.warns(UserWarning, match="step-000000020.* is damaged"),
        pytest.raises(InvalidInputError, match="a folder with a readable checkpoint.*choose another folder"),
    ):
        read(folder)


def test_every_flipped_bit_is_noticed_or_means_nothing(folder):
    """Header, text and tensors: some bits of each byte."""
    whole = newest(folder).read_bytes()
    assert len(whole) < 3000
    draw = random.Random(0)
    noticed = 0
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << draw.randrange(8)
        newest(folder).write_bytes(flipped)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            back = read(folder)
        noticed += len(caught)
        assert same(back, content_of(10 if caught else 20)), position
    assert noticed > 0.95 * len(whole)


def test_another_format_is_said(folder):
    with safe_open(newest(folder), "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    assert metadata["metricopt_checkpoint"] == "4"
    later = {"metricopt_checkpoint": "5", "crc32": _checksum("5", tensors)}
    save_file(tensors, newest(folder), later)
    with pytest.raises(InvalidInputError, match="checkpoints of format 4, got format 5 in step-000000020.safetensors"):
        read(folder)
    save_file(tensors, newest(folder), metadata)
    assert same(read(folder), content_of(20))


@pytest.mark.parametrize(
    ("fingerprint", "part"),
    [
        ({"seed": "0"}, None),
        ({"seed": "1"}, r"which differs in seed \(0 there, 1 now\); resume with the same arguments"),
        ({}, r"which differs in seed \(0 there, none now\);"),
        ({"seed": "0", "epochs": "3"}, r"which differs in epochs \(none there, 3 now\);"),
        ({"seed": "0", **dict.fromkeys("abcde", "1")}, r"a \(none there, 1 now\), b \(.*\), c \(.*\) and 2 more;"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused(folder, fingerprint, part):
    if part is None:
        assert same(read(folder, fingerprint), content_of(20))
    else:
        with pytest.raises(InvalidInputError, match=f"checkpoint_dir must be of the training that is resumed.*{part}"):
            read(folder, fingerprint)


# Folders and atomicity


def test_a_write_that_fails_leaves_the_files_as_they_were(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", fail)
        with pytest.raises(OSError, match="no space left"):
            Checkpoints(folder, 10, MINE).write(content_of(30), 30)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".part"}
    assert after == before and same(read(folder), content_of(20))


def test_what_a_killed_run_left_half_written_is_ignored_and_removed(folder):
    half = folder / "step-000000030.safetensors.part"
    half.write_bytes(newest(folder).read_bytes()[:100])
    (folder / "mine.part").write_text("kept")
    assert same(read(folder), content_of(20))
    claim_folder(folder, resume=True)
    assert not half.exists() and (folder / "mine.part").exists()
    assert same(read(folder), content_of(20))


def test_a_folder_is_claimed(tmp_path, folder):
    claim_folder(tmp_path / "new" / "one", resume=False)
    claim_folder(tmp_path / "new" / "one", resume=False)
    assert (tmp_path / "new" / "one").is_dir()
    with pytest.raises(
        InvalidInputError, match="without checkpoints, got .*step-000000020.safetensors; pass resume=True"
    ):
        claim_folder(folder, resume=False)
    claim_folder(folder, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="checkpoint_dir must be a folder that can be made, got '.*file'"):
        claim_folder(tmp_path / "file", resume=True)


def test_when_checkpoints_are_due(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, 3, MINE)
    assert [checkpoints.is_due(step) for step in range(1, 7)] == [False, False, True, False, False, True]
    assert checkpoints.is_due_after_epoch()
    checkpoints.write(0, 0)
    assert not checkpoints.is_due_after_epoch()
    now[0] += 0.9
    assert not checkpoints.is_due_after_epoch()
    now[0] += 0.2
    assert checkpoints.is_due_after_epoch()
