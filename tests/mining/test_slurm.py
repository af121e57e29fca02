"""A job handed to Slurm from a folder with an awkward name, run by stand-ins for sbatch and srun."""

import shlex
import subprocess
import sys

import pytest

from lib.config.sections import Mining
from lib.mining import mining_job
from tests.mining.test_extract import wet_files

# as Slurm's, it reads its options from the lines of #SBATCH, by the quoting of a shell
SBATCH = """
import os, shlex, subprocess, sys
INSIDE = {"SLURM_NODELIST": "here"}
text = open(sys.argv[-1]).read()
lines = [line[8:] for line in text.splitlines() if line.startswith("#SBATCH ")]
options = dict(shlex.split(line)[0][2:].partition("=")[::2] for line in lines)
assert all(len(shlex.split(line[8:])) == 1 for line in text.splitlines() if line.startswith("#SBATCH ")), text
print("Submitted batch job 7")
for task in range(int(options["array"].split("-")[1].split("%")[0]) + 1):
    with open(options["output"].replace("%A", "7").replace("%a", str(task)), "a") as log:
        inside = os.environ | INSIDE | {"SLURM_ARRAY_TASK_ID": str(task)}
        subprocess.run(["bash", sys.argv[-1]], env=inside, stdout=log, stderr=log)
"""
SRUN = '#!/bin/bash\nwhile [[ $1 == -* ]]; do [[ $1 == -n ]] && shift; shift; done\nexec "$@"\n'
SCONTROL = "#!/bin/bash\necho here\n"


@pytest.mark.parametrize("name", ["plain", "a b/it's ö"])
def test_a_job_on_slurm_finds_its_files_whatever_the_folder_is_called(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    (folder / "bin").mkdir(parents=True)
    (folder / "sbatch.py").write_text(SBATCH)
    sbatch = (
        f'#!/bin/bash\nexec {shlex.quote(sys.executable)} {shlex.quote(str(folder / "sbatch.py"))} "$@"\n'
    )
    programs = {"sbatch": sbatch, "srun": SRUN, "scontrol": SCONTROL}
    for program, text in programs.items():
        (folder / "bin" / program).write_text(text)
        (folder / "bin" / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")  # no environment is active
    files = wet_files(folder, 2)
    told = Mining(executor="slurm", slurm={"partition": "p", "time": "1:00:00"})
    job = mining_job.prepare(folder / "job", files, told)
    mining_job.run(job)
    assert mining_job.finished(job) == 2, subprocess.check_output(
        ["tail", "-n", "+1", *(job / "slurm").iterdir()], text=True
    )
    assert len(mining_job.candidates(job)) == 2 * 4 * 30
    assert (job / "stats.json").exists(), "the counts of all tasks are added up"
