"""Training as the tests of the loop want it: a part is held out, and the exact threshold asks for no confidence."""

from functools import partial

import metricopt

fit = partial(metricopt.fit, folds=None, confidence=None)
