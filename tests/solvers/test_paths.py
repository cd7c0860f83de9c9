import dataclasses
from itertools import pairwise

import pytest

from metricopt.solvers.paths import (
    FOLD_PATHS,
    LINEAR_PATHS,
    MIN_EPOCHS_A_STAGE,
    NETWORK_PATHS,
    PATHS,
    RANKING_PATHS,
    Path,
    Position,
    stages_of,
)
from metricopt.solvers.profiled import Profiled
from metricopt.solvers.profiled_ranking import ProfiledRanking
from metricopt.solvers.reformulation import tie_margin

EACH = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
ALONG = [0.0, 0.25, 0.5, 0.75, 1.0]


@EACH
def test_ramps_narrow_and_fall_to_one_error(path):
    slopes, heights = [path.slope(p) for p in ALONG], [path.height(p) for p in ALONG]
    assert slopes[0] == pytest.approx(path.steepness[0]) and slopes[-1] == pytest.approx(path.steepness[1])
    assert slopes == sorted(slopes) and slopes[0] < slopes[-1]
    assert heights == sorted(heights, reverse=True) and heights[-1] == pytest.approx(1)
    assert heights[0] == (path.cap[0] if path.surrogate == "hinge" else 1)
    ratios = [after / before for before, after in pairwise(slopes)]
    assert ratios == pytest.approx(ratios[:1] * 4)  # geometric


def test_steepness_grows_geometrically():
    path = Path("ramp", (0.5, 8.0))
    assert [path.slope(progress) for progress in (0, 0.5, 1)] == pytest.approx([0.5, 2.0, 8.0])


@EACH
def test_strengths_rise_and_margins_shrink(path):
    strengths, margins = [path.strength(p) for p in ALONG], [path.margin(p) for p in ALONG]
    assert strengths == sorted(strengths) and margins == sorted(margins, reverse=True) and margins[-1] > 0
    for progress, strength in zip(ALONG, strengths, strict=True):
        assert strength == pytest.approx(path.slope(progress) / path.height(progress))


def test_margins_of_ramps_centre_them_and_those_of_hinges_are_where_the_hinge_ends():
    ramp, hinge = Path("ramp", (2.0, 8.0), multiplier=1.0), Path("hinge", (2.0, 8.0), multiplier=1.0)
    for progress in ALONG:
        assert ramp.margin(progress) == pytest.approx(tie_margin(1.0, ramp.slope(progress)))
        assert hinge.slope(progress) * hinge.margin(progress) == pytest.approx(1)


GROUPS = pytest.mark.parametrize("paths", [LINEAR_PATHS, NETWORK_PATHS, RANKING_PATHS])


@GROUPS
def test_stages_divide_the_epochs_among_the_first_paths(paths):
    for epochs in range(1, 201):
        stages = stages_of(epochs, paths)
        assert sum(stage.epochs for stage in stages) == epochs and min(stage.epochs for stage in stages) >= 1
        assert [stage.name for stage in stages] == list(paths)[: len(stages)]
        assert len(stages) == min(max(1, epochs // MIN_EPOCHS_A_STAGE), len(paths))
        assert all(stage.start == paths[stage.name].start for stage in stages) and stages[0].start == "warm"


@GROUPS
def test_paths_have_epochs_relative_to_one_another(paths):
    stages = {stage.name: stage.epochs for stage in stages_of(1000, paths)}
    relative = {name: path.relative_epochs for name, path in paths.items()}
    for name, epochs in stages.items():
        assert epochs == pytest.approx(1000 * relative[name] / sum(relative.values()), abs=1)


def test_a_position_goes_from_0_to_1_and_stays_there():
    position = Position("ramp", num_steps=5)
    seen = []
    for _ in range(7):
        seen.append(position.progress)
        position.advance()
    assert seen == [0, 0.25, 0.5, 0.75, 1, 1, 1] and position.path is PATHS["ramp"]
    assert Position("ramp", num_steps=1).progress == 0
    assert Position().path is next(iter(PATHS.values()))


def test_a_position_comes_back():
    position = Position("hinge", num_steps=9)
    for _ in range(3):
        position.advance()
    back = Position.from_state(position.state_dict())
    assert (back.path, back.progress, back.num_steps) == (position.path, position.progress, 9)
    position.advance()
    assert back.progress == pytest.approx(3 / 8)


def test_paths_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PATHS["ramp"].relative_epochs = 5
    assert dataclasses.replace(PATHS["ramp"], relative_epochs=5).relative_epochs == 5


def test_models_of_folds_take_the_paths_that_are_averaged():
    assert Profiled().fold_stages(100) == stages_of(100, FOLD_PATHS)
    assert all(path.start == "warm" and PATHS[name] is path for name, path in FOLD_PATHS.items())
    network, named = Profiled(), Profiled(path="ramp")
    assert network.fold_stages(100, is_linear=False) == network.stages(100, is_linear=False)
    assert named.fold_stages(100) == named.stages(100)
    stages = ProfiledRanking().stages(100)
    assert ProfiledRanking().fold_stages(100) == [stage for stage in stages if stage.name != "polish"] != stages
