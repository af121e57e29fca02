"""What the tests of `lib.measure` share."""

from lib.config.specs import Model
from lib.measure import identify

CANNED = Model(name="mock", id="mock:leak-30", family="mock", tuning="instruct", mode="completion")


def asked(**given) -> Model:
    return identify.identify(identify.Request(**given))[0]
