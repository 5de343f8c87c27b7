"""Silence for libraries that log addresses, and with them patients' identifiers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("pynetdicom", "dicomweb_client", "retrying", "urllib3", "requests", "pydicom")


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that the libraries of a transfer log or warn of reaches a handler, whatever level somebody chose."""
    names = [name for name in logging.Logger.manager.loggerDict if name.partition(".")[0] in LOGGERS]
    loggers = [logging.getLogger(name) for name in dict.fromkeys([*LOGGERS, *names])]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level, disabled in before:
            logger.setLevel(level)
            logger.disabled = disabled
