"""A project whose site "south" sends weights that are not finite in round 2, and is killed in round 3."""

import os
import signal

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from metricopt.federated import Message, Server, Site


def new_model():
    return torch.nn.Linear(2, 1)


def new_server():
    return Server(new_model(), "FPOR", alpha=0.6, rounds=4, confidence=None, retries=20)


def new_site(name):
    generator = torch.Generator().manual_seed(len(name))
    x = torch.randn(400, 2, generator=generator)
    y = (x[:, 0] + 0.5 * torch.randn(400, generator=generator) > 1).float()
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    return {"south": Faulty}.get(name, Site)(name, new_model, loader)


class Faulty(Site):
    def answer(self, question):
        answer = super().answer(question)
        if question.kind == "train" and question.info["round"] == 1:
            arrays = {name: np.full_like(array, np.nan) for name, array in answer.arrays.items()}
            return Message(answer.kind, arrays, answer.info)
        if question.kind == "train" and question.info["round"] == 2:
            self.be_killed()
        return answer

    def be_killed(self):
        os.kill(os.getpid(), signal.SIGKILL)
