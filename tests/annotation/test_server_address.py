"""The server of the notebooks, with the annotation form and the lab, listens on the loopback alone."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import ROOT

OPTION = "--ServerApp.ip=127.0.0.1"


def _command() -> str:
    """What `make lab` calls."""
    makefile = (ROOT / "Makefile").read_text()
    (line,) = re.findall(r"^\t(.* jupyter lab .*)$", makefile, re.MULTILINE)
    return line


def test_make_lab_names_the_loopback_and_no_other_address():
    command = _command()
    assert OPTION in command.split()
    assert not re.search(r"0\.0\.0\.0|--ip\b|allow_origin|allow_remote|token=|disable_check_xsrf", command)
    assert not re.search(r"0\.0\.0\.0", "".join(path.read_text() for path in (ROOT / "lib").rglob("*.py")))


@pytest.mark.slow
def test_it_listens_there_even_if_the_users_configuration_names_every_address(tmp_path):
    (tmp_path / "jupyter_server_config.py").write_text("c.ServerApp.ip = '0.0.0.0'\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        *re.findall(r"--ServerApp\.ip=\S+", _command()),
        f"--port={port}",
        "--no-browser",
        "--allow-root",
    ]
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        addresses = _listening(process.pid, port)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert addresses == {"127.0.0.1"}, (tmp_path / "log").read_text()


def _listening(pid: int, port: int, seconds: float = 120) -> set[str]:
    """The addresses on which a process or its children listen at a port, once they do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        connections = [each for process in family for each in _connections(process)]
        if found := {
            each.laddr.ip for each in connections if each.status == "LISTEN" and each.laddr.port == port
        }:
            return found
        time.sleep(0.2)
    return set()


def _connections(process: psutil.Process) -> list:
    try:
        return process.net_connections("inet")
    except (psutil.NoSuchProcess, FileNotFoundError):  # it has ended meanwhile
        return []
