"""Selection of the backend of a model in a parameter set (`lib.models.base` defines the interface)."""

from lib.config.specs import Model


def load(spec: Model):
    """Create the backend of `spec`.

    Raises:
        ParameterError: If the model cannot be found.
    """
    if spec.server:
        from lib.models.openai_api import Server

        return Server(spec)
    if spec.table:
        from lib.models.precomputed import Precomputed

        return Precomputed(spec)
    if spec.id.startswith("mock:"):
        from lib.models.mock import MockModel

        return MockModel(spec)
    from lib.models.huggingface import HuggingFaceModel

    return HuggingFaceModel(spec)
