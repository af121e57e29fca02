"""A Slurm executor of datatrove for folders of any name: spaces and quotes in paths are escaped.

datatrove's own executor writes paths into its scripts unquoted.
"""

import re
import shlex
import sys

from datatrove.executor import SlurmPipelineExecutor

_PROGRAMS = ("launch_pickled_pipeline", "merge_stats")


class Slurm(SlurmPipelineExecutor):
    """SlurmPipelineExecutor with quoted paths; without an environment it uses the calling Python."""

    def get_launch_file_contents(self, sbatch_args: dict, run_script: str) -> str:
        """The batch script, with quoted paths."""
        folder = self.logging_dir.resolve_paths("").rstrip("/")
        script = run_script.replace(folder, shlex.quote(folder))
        if not (self.env_command or self.condaenv or self.venv_path):
            for name in _PROGRAMS:
                script = script.replace(
                    f"{name} ", f"{shlex.quote(sys.executable)} -m datatrove.tools.{name} ", 1
                )
        return super().get_launch_file_contents(
            {key: _directive(value) for key, value in sbatch_args.items()}, script
        )


def _directive(value) -> str:
    """A value as sbatch reads it in an #SBATCH line, where quotation marks hold words together."""
    text = str(value)
    return '"' + text.replace('"', '\\"') + '"' if re.search(r"[\s\"']", text) else text
