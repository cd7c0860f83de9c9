"""Two launches of two processes each, one after the other: ``python -m tests.launches KILLED FOLDER``.

The first is torchrun's, in which one process is killed; the second is accelerate's, which runs all that does not end a
launch. Both launchers do all that they do as commands, but they fork their processes from this one, which has imported
everything once, where the commands would start an interpreter for each.
"""

import shutil
import signal
import sys
import traceback
from pathlib import Path

import matplotlib.figure
import pandas  # noqa: F401
import torch._dynamo  # noqa: F401 - optimizers import it
import torch.distributed.run as torchrun
from accelerate.commands.launch import launch_command, launch_command_parser
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

import metricopt.cli.commands
import metricopt.estimator  # noqa: F401
from tests import launched, launched_loops
from tests.undrawn import savefig

MODULE = ("-m", launched.__name__)


def run_as_a_program(*arguments):
    """Run in a fork what a new interpreter would run, which prints the error that ends it.

    A launcher that has lost one process ends the others by a signal, which may come before they have said why they end.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        launched.main(*arguments)
    except Exception:
        traceback.print_exc()
        raise


def fork_instead(config_from_args):
    """Let torchrun fork :func:`run_as_a_program` where it would start an interpreter."""

    def config_of(args):
        config, _, command = config_from_args(args)
        config.start_method = "fork"
        return config, run_as_a_program, command[command.index(launched.__name__) + 1 :]

    return config_of


def main(killed, folder):
    matplotlib.figure.Figure.savefig = savefig
    torchrun.config_from_args = fork_instead(torchrun.config_from_args)
    own = ["--standalone", "--nproc_per_node", "2", *MODULE, killed, "command", "killed"]
    try:
        torchrun.run(torchrun.parse_args(own))
    except ChildFailedError as error:
        print(error, flush=True)
    print(launched.BETWEEN, flush=True)
    shutil.copytree(Path(killed) / "checkpoints", Path(folder) / "checkpoints")
    launched_loops.import_lightning()
    options = ["--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    names = (*launched.CASES, "whole", "faults", "resumed", "loops")
    launch_command(launch_command_parser().parse_args([*options, *MODULE, folder, *names]))


if __name__ == "__main__":
    main(*sys.argv[1:])
