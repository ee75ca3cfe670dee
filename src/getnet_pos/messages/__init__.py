"""The message types: commands, replies, progress, records, and their enums."""

from .catalogue import *
from .cloud import *
from .commands import *
from .enums import *
from .intents import *
from .progress import *
from .recovery import *
from .replies import *
from .terminals import *
