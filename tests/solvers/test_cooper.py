"""What cooper-optim does, beyond its documentation, and the explicit-slack solvers rely on or step around."""

import copy

import cooper
import pytest
import torch
from cooper import CMPState, Constraint, ConstraintState, ConstraintType
from cooper.formulations import AugmentedLagrangian, Lagrangian, QuadraticPenalty
from cooper.multipliers import DenseMultiplier, IndexedMultiplier
from cooper.penalty_coefficients import (
    DensePenaltyCoefficient,
    IndexedPenaltyCoefficient,
    MultiplicativePenaltyCoefficientUpdater,
)
from torch.testing import assert_close

EQUALITY, INEQUALITY = ConstraintType.EQUALITY, ConstraintType.INEQUALITY
KINDS = pytest.mark.parametrize("kind", [EQUALITY, INEQUALITY])
FORMULATIONS = pytest.mark.parametrize("coefficient", [None, 2.0], ids=["Lagrangian", "AugmentedLagrangian"])


def links(multipliers, kind=EQUALITY, coefficient=None):
    """One constraint a (sample, label), as the solvers have it; with a coefficient, an augmented Lagrangian."""
    multiplier = IndexedMultiplier(init=torch.tensor(multipliers))
    if coefficient is None:
        return Constraint(kind, Lagrangian, multiplier)
    return Constraint(kind, AugmentedLagrangian, multiplier, DensePenaltyCoefficient(torch.tensor(coefficient)))


def bound(multiplier=0.0):
    return Constraint(INEQUALITY, Lagrangian, DenseMultiplier(init=torch.tensor([multiplier])))


def state(constraint, violation, index=None, **rest):
    index = None if index is None else torch.as_tensor(index)
    return CMPState(None, {constraint: ConstraintState(torch.as_tensor(violation), index, **rest)})


def primal(*args, **rest):
    return state(*args, **rest).compute_primal_lagrangian().lagrangian


def ascend(constraint, violation, index=None, rate=0.5, **rest):
    """One dual step, as a solver takes it; return the multipliers."""
    multiplier = constraint.multiplier
    optimizer = torch.optim.SGD(multiplier.parameters(), lr=rate, maximize=True)
    optimizer.zero_grad()
    state(constraint, violation, index, **rest).compute_dual_lagrangian().backward()
    optimizer.step()
    multiplier.post_step_()
    return multiplier.weight.detach().flatten()


class Problem(cooper.ConstrainedMinimizationProblem):
    def __init__(self, **constraints):
        super().__init__()
        for name, constraint in constraints.items():
            setattr(self, name, constraint)

    def compute_cmp_state(self):
        raise NotImplementedError


# What enters the primal Lagrangian


@KINDS
def test_the_lagrangian_is_a_sum_over_the_batch(kind):
    violation = torch.tensor([0.5, -0.25], requires_grad=True)
    value = primal(links([1.0, 2.0, 4.0], kind), violation, [2, 1])
    value.backward()
    assert_close(value.detach(), torch.tensor(4 * 0.5 - 2 * 0.25))
    assert_close(violation.grad, torch.tensor([4.0, 2.0]))


def test_the_augmented_lagrangian_of_equalities():
    violation = torch.tensor([0.5, -0.25], requires_grad=True)
    value = primal(links([1.0, -2.0], EQUALITY, 8.0), violation, [0, 1])
    value.backward()
    assert_close(value.detach(), torch.tensor(0.5 + 0.5 + 4 * (0.25 + 0.0625)))
    assert_close(violation.grad, torch.tensor([1 + 8 * 0.5, -2 - 8 * 0.25]))


def test_the_augmented_lagrangian_of_inequalities_goes_flat_where_the_next_multiplier_is_zero():
    """(relu(l + c g)^2 - l^2) / 2c, and not l g + c relu(g)^2 / 2 as the class documents."""
    violation = torch.tensor([0.5, -0.25, -0.01], requires_grad=True)
    value = primal(links([1.0, 1.0, 1.0], INEQUALITY, 8.0), violation, [0, 1, 2])
    value.backward()
    assert_close(value.detach(), torch.tensor((25.0 - 1 + 0 - 1 + 0.92**2 - 1) / 16))
    assert_close(violation.grad, torch.tensor([5.0, 0.0, 0.92]))


@FORMULATIONS
@KINDS
def test_primal_and_dual_gradients_are_apart(kind, coefficient):
    constraint, violation = links([1.0, 2.0], kind, coefficient), torch.tensor([0.5, 0.25], requires_grad=True)
    primal(constraint, violation, [0, 1]).backward()
    assert constraint.multiplier.weight.grad is None
    before = violation.grad.clone()
    state(constraint, violation, [0, 1]).compute_dual_lagrangian().backward()
    assert constraint.multiplier.weight.grad is not None
    assert_close(violation.grad, before)


def test_a_coefficient_of_zero_gives_nan_with_inequalities_alone():
    for kind, value, gradient in ((EQUALITY, 0.5, 1.0), (INEQUALITY, torch.nan, torch.nan)):
        violation = torch.tensor([0.5], requires_grad=True)
        lagrangian = primal(links([1.0], kind, 0.0), violation, [0])
        lagrangian.backward()
        assert_close(lagrangian.item(), value, equal_nan=True)
        assert_close(violation.grad, torch.tensor([gradient]), equal_nan=True)


def test_violations_need_the_precision_of_the_multipliers():
    constraint, violation = links([1.0, 2.0]), torch.tensor([0.5, 0.25])
    with pytest.raises(RuntimeError, match="expected scalar type Float but found Double"):
        primal(constraint, violation.double(), [0, 1])
    assert primal(constraint, violation, [0, 1]).item() == 1


# What moves the multipliers


@FORMULATIONS
@KINDS
def test_dual_steps_follow_the_raw_violation(kind, coefficient):
    """Without the coefficient, which a textbook's augmented Lagrangian multiplies in."""
    moved = ascend(links([1.0, 1.0], kind, coefficient), [0.5, -0.25], [0, 1], rate=0.5)
    assert_close(moved, torch.tensor([1.25, 0.875]))


@FORMULATIONS
def test_strict_violations_move_the_multipliers_and_nothing_else(coefficient):
    violation = torch.tensor([0.5], requires_grad=True)
    strict = {"strict_violation": torch.tensor([-0.25])}
    plain = primal(links([1.0], coefficient=coefficient), violation, [0])
    assert primal(links([1.0], coefficient=coefficient), violation, [0], **strict).item() == plain.item()
    assert ascend(links([1.0], coefficient=coefficient), violation, [0], **strict).item() == 1 - 0.125


def test_a_constraint_can_stay_out_of_either_lagrangian():
    violation = torch.tensor([0.5])
    assert primal(links([1.0]), violation, [0], contributes_to_primal_update=False) is None
    store = state(links([1.0]), violation, [0], contributes_to_dual_update=False).compute_dual_lagrangian()
    assert store.lagrangian is None
    store.backward()  # nothing to do, no error
    assert primal(links([1.0]), violation, [0], contributes_to_dual_update=False).item() == 0.5


def test_a_pure_penalty_must_stay_out_of_the_dual_lagrangian():
    penalty = Constraint(EQUALITY, QuadraticPenalty, None, DensePenaltyCoefficient(torch.tensor(2.0)))
    with pytest.raises(AttributeError, match="'float' object has no attribute 'backward'"):
        state(penalty, [0.5]).compute_dual_lagrangian().backward()
    state(penalty, [0.5], contributes_to_dual_update=False).compute_dual_lagrangian().backward()


def test_inequality_multipliers_are_projected_and_equality_multipliers_are_not():
    for kind, expected in ((EQUALITY, [-0.5, 0.5]), (INEQUALITY, [0.0, 0.5])):
        assert_close(ascend(links([0.5, 0.5], kind), [-2.0], [0]), torch.tensor(expected))
    assert ascend(bound(0.5), -2.0).item() == 0
    assert ascend(bound(0.5), 1.0).item() == 1


def test_the_projection_touches_all_multipliers_and_replaces_their_memory():
    """O(n) a step: a solver with many samples clamps the batch's own entries instead."""
    for kind, expected, is_replaced in ((EQUALITY, -1.0, False), (INEQUALITY, 0.0, True)):
        multiplier = links([0.0] * 5, kind).multiplier
        multiplier.weight.data[3] = -1.0
        before = multiplier.weight.data  # kept, so that its memory is not given out again
        multiplier.post_step_()
        assert multiplier.weight[3].item() == expected
        assert (multiplier.weight.data_ptr() != before.data_ptr()) == is_replaced


def test_gradients_add_up_until_they_are_zeroed():
    constraint = links([0.0, 0.0])
    for expected in (1.0, 2.0):
        state(constraint, [1.0], [1]).compute_dual_lagrangian().backward()
        assert constraint.multiplier.weight.grad.to_dense()[1].item() == expected


def test_a_sample_that_is_twice_in_a_batch_counts_twice():
    assert_close(ascend(links([0.0, 0.0]), [1.0, 2.0], [1, 1], rate=1.0), torch.tensor([0.0, 3.0]))


def test_dual_optimizers_have_to_maximize():
    """torch minimises by default, away from feasibility; only cooper's own optimizers refuse that."""
    constraint, weight = links([0.0]), torch.nn.Parameter(torch.zeros(1))
    problem, step = Problem(links=constraint), torch.optim.SGD([weight], lr=0.1)
    parameters = constraint.multiplier.parameters()
    with pytest.raises(ValueError, match="Dual optimizers must be set to carry out maximization steps"):
        cooper.optim.SimultaneousOptimizer(problem, step, torch.optim.SGD(parameters, lr=0.1))
    parameters = list(constraint.multiplier.parameters())
    cooper.optim.SimultaneousOptimizer(problem, step, torch.optim.SGD(parameters, lr=0.1, maximize=True))
    descending = torch.optim.SGD(parameters, lr=0.1)
    state(constraint, [1.0], [0]).compute_dual_lagrangian().backward()
    descending.step()
    assert constraint.multiplier.weight.item() < 0


# Sparse gradients


def test_gradients_of_indexed_multipliers_are_sparse():
    constraint = links([0.0] * 1000)
    state(constraint, [1.0, 2.0], [7, 3]).compute_dual_lagrangian().backward()
    gradient = constraint.multiplier.weight.grad
    assert gradient.layout is torch.sparse_coo
    assert gradient._values().numel() == 2
    dense = bound()
    state(dense, 1.0).compute_dual_lagrangian().backward()
    assert dense.multiplier.weight.grad.layout is torch.strided


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (torch.optim.Adam, "Adam does not support sparse gradients"),
        (torch.optim.AdamW, "Adam does not support sparse gradients"),
        (lambda *a, **k: torch.optim.SGD(*a, weight_decay=0.1, **k), r"add\(sparse, dense\) is not supported"),
        (torch.optim.SGD, None),
        (lambda *a, **k: torch.optim.SGD(*a, momentum=0.9, **k), None),
        (torch.optim.SparseAdam, None),
    ],
    ids=["Adam", "AdamW", "weight decay", "SGD", "momentum", "SparseAdam"],
)
def test_which_optimizers_take_them(make, message):
    constraint = links([0.0, 0.0])
    optimizer = make(constraint.multiplier.parameters(), lr=0.1, maximize=True)
    state(constraint, [1.0], [1]).compute_dual_lagrangian().backward()
    if message is None:
        optimizer.step()
        assert_close(constraint.multiplier.weight.detach().flatten(), torch.tensor([0.0, 0.1]))
    else:
        with pytest.raises(RuntimeError, match=message):
            optimizer.step()


# Memory


def test_an_indexed_multiplier_takes_four_bytes_an_entry_and_sgd_none():
    multiplier = IndexedMultiplier(num_constraints=1000)
    multiplier.set_constraint_type(INEQUALITY)
    held = [*multiplier.parameters(), *multiplier.buffers()]
    assert sum(tensor.untyped_storage().nbytes() for tensor in held) == 4 * 1000
    constraint = Constraint(INEQUALITY, Lagrangian, multiplier)
    optimizer = torch.optim.SGD(multiplier.parameters(), lr=0.1, maximize=True)
    state(constraint, [1.0], [5]).compute_dual_lagrangian().backward()
    optimizer.step()
    assert not optimizer.state[multiplier.weight]
    coefficient = DensePenaltyCoefficient(torch.tensor(2.0))
    assert coefficient.value.untyped_storage().nbytes() == 4


def test_a_multiplier_shares_memory_with_what_it_was_made_from():
    for make, shape in ((DenseMultiplier, (2,)), (IndexedMultiplier, (2, 1))):
        init = torch.zeros(2)
        multiplier = make(init=init)
        init[1] = 7.0
        assert multiplier.weight.shape == shape
        assert multiplier.weight[1].item() == 7


# Shapes


def test_labels_beside_each_other_broadcast_silently():
    """(B, K) violations with B indices share a multiplier across K; in a batch of one, K indices meet all K of them."""
    violation = torch.tensor([[1.0, 10.0], [100.0, 1000.0]])
    assert primal(links([1.0, 2.0]), violation, [0, 1]).item() == 11 + 2 * 1100
    assert primal(links([1.0, 2.0]), violation[:1], [[0, 1]]).item() == (1 + 2) * 11


def test_one_multiplier_serves_many_violations_silently():
    assert primal(bound(2.0), torch.tensor([1.0, 10.0])).item() == 22


@FORMULATIONS
def test_flattened_to_sample_times_labels_plus_label_they_do_not(coefficient):
    num_labels, index = 2, torch.tensor([2, 0])
    violation = torch.tensor([[1.0, 10.0], [100.0, 1000.0]])
    flat = (index[:, None] * num_labels + torch.arange(num_labels)).flatten()
    moved = ascend(links([0.0] * 6, coefficient=coefficient), violation.flatten(), flat, rate=1.0)
    assert_close(moved.reshape(3, num_labels), torch.tensor([[100.0, 1000.0], [0.0, 0.0], [1.0, 10.0]]))


def test_a_bound_takes_a_violation_without_dimensions():
    assert primal(bound(2.0), torch.tensor(0.5)).item() == 1
    assert ascend(bound(2.0), torch.tensor(0.5), rate=1.0).item() == 2.5


def test_indices_must_be_int64():
    with pytest.raises(ValueError, match=r"Indices must be of type torch\.long"):
        primal(links([1.0]), torch.tensor([0.5]), torch.tensor([0], dtype=torch.int32))
    assert primal(links([1.0]), torch.tensor([0.5]), torch.tensor([0])).item() == 0.5


# Penalty coefficients


def test_a_coefficient_for_all_has_no_dimension():
    """A single entry weighs a batch of any size too, but cannot grow; more entries pair with the batch by position."""
    updater = MultiplicativePenaltyCoefficientUpdater(growth_factor=2.0)
    for init, index, fault in (
        (torch.tensor(2.0), [0, 3], None),
        (torch.tensor([2.0]), [0, 3], "does not match existing shape"),
        (torch.tensor([2.0, 4.0]), [0, 3], None),
        (torch.tensor([2.0, 4.0]), [3, 0], None),
    ):
        coefficient = DensePenaltyCoefficient(init)
        constraint = Constraint(EQUALITY, AugmentedLagrangian, IndexedMultiplier(num_constraints=4), coefficient)
        observed = state(constraint, [1.0, 10.0], index)
        by_position = (init.expand(2) * torch.tensor([1.0, 100.0])).sum() / 2
        assert_close(observed.compute_primal_lagrangian().lagrangian.detach(), by_position)
        if fault:
            with pytest.raises(ValueError, match=fault):
                updater.step(observed.observed_constraints)
        else:
            updater.step(observed.observed_constraints)
            assert_close(coefficient.value, 2 * init)


def test_coefficients_by_index_restart_only_if_told_not_to():
    constraint = Constraint(
        INEQUALITY,
        AugmentedLagrangian,
        IndexedMultiplier(num_constraints=4),
        IndexedPenaltyCoefficient(torch.full((4,), 2.0)),
    )
    observed = state(constraint, [1.0, -1.0], [0, 3]).observed_constraints
    with pytest.raises(RuntimeError, match="The size of tensor"):
        MultiplicativePenaltyCoefficientUpdater(growth_factor=2.0).step(observed)
    MultiplicativePenaltyCoefficientUpdater(growth_factor=2.0, has_restart=False).step(observed)
    assert_close(constraint.penalty_coefficient.value, torch.tensor([4.0, 2.0, 2.0, 2.0]))


def test_coefficients_are_set_as_tensors_of_the_same_shape_and_may_be_nan():
    coefficient = DensePenaltyCoefficient(torch.tensor(2.0))
    for value, fault in ((torch.tensor([4.0]), "does not match existing shape"), (torch.tensor(-1.0), "non-negative")):
        with pytest.raises(ValueError, match=fault):
            coefficient.value = value
    given = torch.tensor(8.0)
    coefficient.value = given
    given += 1
    assert coefficient.value.item() == 8
    coefficient.value = torch.tensor(torch.nan)  # no complaint


# State


class _Ranked(DenseMultiplier):
    """With a hash of its own, so that the order of a set of them is known."""

    def __init__(self, rank):
        super().__init__(num_constraints=1)
        self._rank = rank

    def __hash__(self):
        return self._rank


def test_named_multipliers_keep_the_order_of_registration_and_dual_parameters_do_not():
    ranks = {"b": 2, "c": 1, "a": 0}
    constraints = {name: Constraint(INEQUALITY, Lagrangian, _Ranked(rank)) for name, rank in ranks.items()}
    problem = Problem(**constraints)
    assert [name for name, _ in problem.named_multipliers()] == ["b", "c", "a"]
    named = [multiplier.weight for _, multiplier in problem.named_multipliers()]
    assert [id(weight) for weight in named] == [id(constraints[name].multiplier.weight) for name in "bca"]
    assert [id(weight) for weight in problem.dual_parameters()] == [id(weight) for weight in reversed(named)]


def test_the_state_aliases_the_multipliers_until_a_projection():
    """A state that is kept has to be copied: it moves on with equalities and keeps a negative step of inequalities."""
    for kind, expected in ((EQUALITY, -1.0), (INEQUALITY, 0.0)):
        constraint = links([0.0], kind)
        kept = Problem(links=constraint).state_dict()["multipliers"]["links"]["weight"]
        assert kept.data_ptr() == constraint.multiplier.weight.data_ptr()
        moved = ascend(constraint, [-1.0], [0], rate=1.0)
        assert moved.item() == expected
        assert kept.item() == -1


def test_the_state_is_the_penalty_coefficient_itself_until_it_is_set():
    constraint = links([0.0], EQUALITY, 2.0)
    problem = Problem(links=constraint)
    kept = problem.state_dict()
    assert kept["penalty_coefficients"]["links"]["value"] is constraint.penalty_coefficient.value
    constraint.penalty_coefficient.value = torch.tensor(4.0)
    assert kept["penalty_coefficients"]["links"]["value"].item() == 2
    problem.load_state_dict(kept)
    assert constraint.penalty_coefficient.value is kept["penalty_coefficients"]["links"]["value"]


def test_a_copied_state_brings_everything_back():
    constraint = links([0.5, 0.0], INEQUALITY, 2.0)
    problem = Problem(links=constraint, bound=bound(0.25))
    kept = copy.deepcopy(problem.state_dict())
    ascend(constraint, [1.0], [1])
    ascend(problem.bound, 1.0)
    constraint.penalty_coefficient.value = torch.tensor(4.0)
    problem.load_state_dict(kept)
    assert_close(constraint.multiplier.weight.detach().flatten(), torch.tensor([0.5, 0.0]))
    assert problem.bound.multiplier.weight.item() == 0.25
    assert constraint.penalty_coefficient.value.item() == 2


def test_a_problem_cannot_be_copied_but_its_constraints_can():
    constraint = links([0.5])
    with pytest.raises(RecursionError):
        copy.deepcopy(Problem(links=constraint))
    twin = copy.deepcopy(constraint)
    ascend(twin, [1.0], [0])
    assert constraint.multiplier.weight.item() == 0.5
