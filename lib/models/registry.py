"""Which backend a model of a parameter set needs (`lib.models.base` says what a backend is)."""

from lib.config.specs import Model


def load(spec: Model):
    """The backend for `spec`; ParameterError if the model cannot be found."""
    if spec.server:
        from lib.models.openai_api import Server

        return Server(spec)
    if spec.table:
        from lib.models.precomputed import Precomputed

        return Precomputed(spec)
    if spec.id.startswith("canned:"):
        from lib.models.mock import Canned

        return Canned(spec)
    from lib.models.huggingface import HuggingFaceModel

    return HuggingFaceModel(spec)
