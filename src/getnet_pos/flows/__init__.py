"""The procedures as generators: they decide and do no I/O. A driver performs the effects they yield."""
