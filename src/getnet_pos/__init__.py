"""Drive Getnet payment terminals, and list the terminals a merchant owns."""

from ._version import __version__ as __version__
from .connector import *
from .equipment import AsyncEquipmentClient as AsyncEquipmentClient
from .equipment import EquipmentClient as EquipmentClient
from .errors import *
from .journal import *
from .messages import *
from .oauth import ClientCredentials as ClientCredentials
from .oauth import TokenProvider as TokenProvider
from .profiles import *
