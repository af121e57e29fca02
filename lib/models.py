"""Which backend a model of a parameter set needs (`lib.model_base` says what a backend is)."""

from lib.specs import Model


def load(spec: Model):
    """The backend for `spec`; ParameterError if the model cannot be found."""
    if spec.server:
        from lib.server import Server

        return Server(spec)
    if spec.table:
        from lib.imported import Imported

        return Imported(spec)
    if spec.id.startswith("canned:"):
        from lib.canned import Canned

        return Canned(spec)
    from lib.transformer import Transformer

    return Transformer(spec)
