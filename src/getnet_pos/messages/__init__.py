"""The vocabulary: commands, replies, progress and their enums. It imports nothing but errors and money."""

from .catalogue import *
from .cloud import *
from .commands import *
from .enums import *
from .intents import *
from .progress import *
from .replies import *
from .terminals import *
