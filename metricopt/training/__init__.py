"""How a model is trained: the front door, the loop, the loss, what is held out, checkpoints."""
