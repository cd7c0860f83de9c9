"""Runs of a project by NVIDIA FLARE: on this machine, or on the machines that it connects.

This file decides how a run begins and what comes back. It leaves what happens in it to
:mod:`metricopt.federated.flare`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from metricopt._validation import Faults, reject
from metricopt.federated.folder import (
    ENDED_BY_FLARE,
    KEPT,
    SERVER,
    TAKEN,
    WORKSPACE,
    has_state,
    last_of_log,
    read_state,
)
from metricopt.federated.project import Project
from metricopt.federated.result import FederatedResult
from metricopt.federated.server import Server

if TYPE_CHECKING:
    from nvflare.collab import CollabRecipe

DEFAULT_TIMEOUT = 600.0
_SECONDS_TO_BEGIN = 600.0


class FederationStoppedError(RuntimeError):
    """A run ended before the federation was finished."""


def simulate(
    project: str | Path,
    sites: Sequence[str],
    folder: str | Path,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    resume: bool = False,
) -> FederatedResult:
    """Run a project on this machine, with a process for each site that talks to the server over the loopback.

    Parameters
    ----------
    project : str or Path
        The file of the project; see :mod:`metricopt.federated.project`.
    sites : sequence of str
        The names of the sites, each of which ``new_site`` gets.
    folder : str or Path
        Where the server and each site write what they keep.
    timeout : float
        How many seconds a question waits for the answer of a site. The round then goes on without it.
    resume : bool
        Go on from the state in the folder.

    Raises
    ------
    InvalidInputError
        If an argument cannot be used.
    FederationStoppedError
        If the run ended early, for instance because too few sites answered.
    """
    from nvflare.recipe import SimEnv

    here, folder = str(Path.cwd()), Path(folder).absolute()
    server = _checked(project, sites, timeout)
    if not sites:
        reject("sites", "the names of one or more sites", "none", "give e.g. ['north', 'south']")
    if resume and not has_state(folder / SERVER):
        reject("folder", "one with the state of a server, to resume", str(folder), "begin anew without resume")
    recipe = _recipe(project, str(folder), timeout, resume, working_folder=here)
    try:
        recipe.run(SimEnv(clients=list(sites), workspace_root=str(folder / WORKSPACE), log_config="concise"))
    except RuntimeError as error:
        raise FederationStoppedError(last_of_log(folder / SERVER) or str(error)) from error
    finally:
        os.chdir(here)  # FLARE leaves it
    return _result(server, folder / SERVER)


def submit(
    project: str | Path,
    startup_kit: str | Path,
    folder: str | Path,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    resume: bool = False,
) -> FederatedResult:
    """Run a project on the machines that FLARE connects now, and fetch what the server kept.

    Each machine keeps what is its own in ``metricopt``, in the folder of its startup kit. Where FLARE loses a site's
    process but not itself, it ends the run for all; the run is then begun again from where it was, with that site, as
    long as it gets further each time.

    Parameters
    ----------
    project, timeout, resume
        The same as for :func:`simulate`.
    startup_kit : str or Path
        The folder that FLARE's provisioning made for you.
    folder : str or Path
        Where to put what the server kept.

    Raises
    ------
    InvalidInputError
        If an argument cannot be used.
    FederationStoppedError
        If the run ended early, for instance because too few sites answered.
    """
    server, own = _checked(project, (), timeout), Path(folder) / SERVER
    if not Path(startup_kit).is_dir():
        remedy = "give the one that FLARE's provisioning made for you"
        reject("startup_kit", "a folder", repr(str(startup_kit)), remedy)
    before = None
    while True:
        _run_on_machines(project, startup_kit, own, timeout, resume)
        state = read_state(own) if has_state(own) else None
        now = None if state is None else state.to_bytes()
        if ENDED_BY_FLARE not in last_of_log(own) or now is None or now == before:
            return _result(server, own)
        before, resume = now, True


def _run_on_machines(project: str | Path, startup_kit: str | Path, own: Path, timeout: float, resume: bool) -> None:
    """Run a project until FLARE ends the run, and put what the server kept into a folder."""
    from nvflare.recipe import ProdEnv

    recipe = _recipe(project, os.path.join(KEPT, Path(project).stem), timeout, resume, working_folder="")
    run = recipe.run(ProdEnv(startup_kit_location=str(startup_kit)))
    fetched = run.get_result()
    found = next(Path(fetched).rglob(KEPT), None) if fetched else None
    if found is None:
        raise FederationStoppedError(f"The run {run.get_job_id()} ended as {run.get_status()}, and nothing was kept.")
    shutil.copytree(found, own, dirs_exist_ok=True)


def _checked(project: str | Path, sites: Sequence[str], timeout: float) -> Server:
    """Return a server of the project, before any process begins."""
    if find_spec("nvflare") is None:
        reject("the environment", "one with NVIDIA FLARE", "none", "pip install 'metricopt[federated]'")
    faults = Faults()
    faults.check(
        len(set(sites)) == len(sites), "sites", "of different names", list(sites), "give each a name of its own"
    )
    for site in sites:
        rule = f"letters, digits and hyphens, and none of {', '.join(TAKEN)}"
        is_sound = isinstance(site, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", site) is not None
        holds = is_sound and site.lower() not in TAKEN  # some file systems take them for the same
        faults.check(holds, "the name of a site", rule, repr(site), "give e.g. 'north'")
    faults.check(timeout > 0, "timeout", "a positive number of seconds", timeout, "give e.g. 600")
    faults.raise_if_any()
    return Project.at(project).new_server()


def _recipe(project: str | Path, folder: str, timeout: float, resume: bool, *, working_folder: str) -> CollabRecipe:
    from nvflare.collab import CollabRecipe

    from metricopt.federated.flare import FlareServer, FlareSite

    path = Path(project).absolute()
    recipe = CollabRecipe(
        path.stem,
        server=FlareServer(path.stem, folder, timeout, resume),
        client=FlareSite(path.stem, folder, resume, working_folder),
        min_clients=1,  # FLARE ends a run with fewer; how many are needed is for the server of the project to say
        sync_task_timeout=_SECONDS_TO_BEGIN,
    )
    job = recipe.finalize()
    job.set_app_packages(["metricopt"])  # each machine has its own
    for add in (job.add_file_to_server, job.add_file_to_clients):
        add(str(path), app_folder_type="custom")
    return recipe


def _result(server: Server, own: Path) -> FederatedResult:
    """Return what the server that ran led to, by the state that it kept."""
    if has_state(own):
        server.load_state(read_state(own))
    if not server.finished:
        raise FederationStoppedError(last_of_log(own) or "The server stopped before the first answers.")
    return server.result
