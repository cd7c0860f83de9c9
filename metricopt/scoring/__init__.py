"""From inputs to scores: how a model is called on a batch and on whatever data a user has at hand."""
