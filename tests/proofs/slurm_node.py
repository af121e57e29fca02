"""A Slurm cluster of one node on this machine, for proofs: started in a scratch folder, stopped at the end.

Root and Debian's packages are needed: `apt-get install --no-install-recommends slurm-wlm munge`. munged has a
key, a socket and a log of its own. Slurm reads its configuration from /etc/slurm only, as jobs lose the
variable SLURM_CONF: the two files are written there and removed, and where others are found nothing starts.
The accelerators are empty files: they show that jobs ask for them, and how many run at once.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ETC = Path("/etc/slurm")
CPU, GPU = "cpu", "gpu"  # the partitions
_MARK = "# written by tests/proofs/slurm_node.py, which removes it\n"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
_SLURM = """ClusterName=proof
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
ReturnToService=2
MinJobAge=3600
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 Gres=gpu:{cpus} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName={cpu} Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName={gpu} Nodes={host} MaxTime=INFINITE State=UP
"""


@contextmanager
def node(folder: Path, cpus: int = 2, memory: int = 6000) -> Iterator[str]:
    """Run the cluster within the block; yield the node's name.

    Args:
        folder: An empty scratch folder.
        cpus: CPUs of the node, and its accelerators.
        memory: Its memory in MB.

    Raises:
        SystemExit: If Slurm is configured or running here, is not installed, or the user is not root.
    """
    _check()
    host = socket.gethostname().partition(".")[0]
    _configure(folder, host, cpus, memory)
    try:
        _start(folder, host)
        yield host
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
            _stop(folder / f"{name}.pid")
        for path in _written():
            path.unlink(missing_ok=True)


def _written() -> list[Path]:
    return [ETC / "slurm.conf", ETC / "gres.conf"]


def _check() -> None:
    """SystemExit where a cluster cannot be set up, or must not."""
    if os.geteuid():
        raise SystemExit("Slurm's daemons need root: run this in a container or a virtual machine")
    if missing := [name for name in _PROGRAMS if not shutil.which(name)]:
        raise SystemExit(
            f"{', '.join(missing)}: not installed; apt-get install --no-install-recommends slurm-wlm munge"
        )
    for path in _written():
        if path.exists() and not path.read_text().startswith(_MARK):
            raise SystemExit(f"{path}: Slurm is configured here; run this on a machine without a cluster")
    names = {(path / "comm").read_text().strip() for path in Path("/proc").glob("[0-9]*") if _is_alive(path)}
    if running := sorted(names & {"slurmctld", "slurmd"}):
        raise SystemExit(f"{', '.join(running)}: running here; run this on a machine without a cluster")


def _is_alive(process: Path) -> bool:
    with suppress(OSError):
        return bool((process / "comm").read_text()) and bool((process / "cmdline").read_bytes())
    return False


def _configure(folder: Path, host: str, cpus: int, memory: int) -> None:
    """Write munge's key, the configuration and the files that stand for accelerators."""
    folder.chmod(0o755)  # munged refuses a folder that others can write to, clients must reach its socket
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for number in range(cpus):
        (folder / f"gpu{number}").touch()
    ETC.mkdir(exist_ok=True)
    text = _SLURM.format(host=host, folder=folder, cpus=cpus, memory=memory, cpu=CPU, gpu=GPU)
    (ETC / "slurm.conf").write_text(_MARK + text)
    (ETC / "gres.conf").write_text(f"{_MARK}NodeName={host} Name=gpu File={folder}/gpu[0-{cpus - 1}]\n")


def _start(folder: Path, host: str) -> None:
    """Start the three daemons and wait until the node takes jobs."""
    munged = {
        "key-file": "munge.key",
        "socket": "munge.socket",
        "pid-file": "munged.pid",
        "log-file": "munged.log",
        "seed-file": "munged.seed",
    }
    options = [f"--{option}={folder / name}" for option, name in munged.items()]
    for command in (["munged", "--force", *options], ["slurmctld"], ["slurmd"]):
        subprocess.run(command, check=True, capture_output=True)
    for _ in range(60):
        if state(host).startswith("IDLE"):
            return
        time.sleep(1)
    raise SystemExit(f"the node is {state(host) or 'unknown'} after a minute; see the logs in {folder}")


def state(host: str) -> str:
    """The node's state, such as IDLE or MIXED+DRAIN; empty while nothing answers."""
    done = subprocess.run(["scontrol", "show", "node", host], capture_output=True, text=True)
    return next((word[6:] for word in done.stdout.split() if word.startswith("State=")), "")


def _stop(pid_file: Path) -> None:
    """End a daemon by the number in its file, and wait for it."""
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        number = int(pid_file.read_text())
        os.kill(number, signal.SIGTERM)
        for _ in range(100):
            if not _is_alive(Path("/proc") / str(number)):
                return
            time.sleep(0.1)
        os.kill(number, signal.SIGKILL)
