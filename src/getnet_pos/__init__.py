"""Drive Getnet payment terminals, and list the terminals a merchant owns."""

from ._version import __version__ as __version__
from .connector import *
from .errors import *
from .journal import *
from .messages import *
from .profiles import *
