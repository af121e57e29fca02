"""What the tests of `lib.measure` share."""

from lib.config.specs import Model
from lib.measure import identify

CANNED = Model(name="canned", id="canned:leak-30", family="canned", tuning="instruct", mode="completion")


def asked(**given) -> Model:
    return identify.identify(identify.Request(**given))[0]
