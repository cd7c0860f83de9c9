"""Other people's methods, called as they are: one a file, each with ``missing()``, the packages that it still wants.

A peer is of one of three kinds: it trains a model of its own (:mod:`~benchmarks.peers.tuned_threshold`), it is a solver
for :func:`metricopt.fit` (:mod:`~benchmarks.peers.cooper_proxy`, :mod:`~benchmarks.peers.soap`), or it sets the
threshold of a model that is trained already (:mod:`~benchmarks.peers.mapie_controller`). What others published and
cannot be run here is in :mod:`~benchmarks.peers.published`. None sees a test label.
"""
