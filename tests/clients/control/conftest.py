import os
import sys

# A user puts the fixture beside the tests; here it stays where it is shipped.
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "harness", "loops"))
from brownout_pytest import *  # noqa: E402, F403
