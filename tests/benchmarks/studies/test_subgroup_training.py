import pandas as pd

from benchmarks.studies.subgroup_training import PLAIN, TRAINED, paired


def test_training_is_compared_split_by_split():
    frame = pd.DataFrame(
        [
            {"dataset": name, "split": split, "thresholds": "one threshold", "model": model}
            | dict.fromkeys(("allowed", "delivered", "net"), 0.1 * split + gain * (model == TRAINED))
            for name, gain in (("a", 0.2), ("b", -0.1))
            for split in range(3)
            for model in (TRAINED, PLAIN)
        ]
    )
    table = paired(frame)
    assert table.loc[("one threshold", "a"), "allowed"] == "+0.200 +- 0.000"
    assert table.loc[("one threshold", "b"), "net"] == "-0.100 +- 0.000"
