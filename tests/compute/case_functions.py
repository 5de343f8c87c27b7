"""Functions for the tests of `map_cases`; worker processes import them by this module's name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from fiducial.compute import map_cases
from fiducial.errors import GeometryError


def double(value: int) -> int:
    return 2 * value


def scaled(value: int, *, factor: int) -> int:
    return factor * value


def fails_on_three(value: int) -> int:
    if value == 3:
        raise GeometryError("two grids differ", where="case 3", legal="one grid")
    if value == 4:
        raise KeyError("four")
    return value


def killed_on(value: tuple[int, tuple[int, ...]]) -> int:
    number, killers = value
    if number in killers:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return number * number


def killed_the_first_time(value: tuple[int, str]) -> int:
    number, marker = value
    if number == 5 and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def exits(value: int) -> int:
    if value == 1:
        os._exit(7)
    return value


def surroundings(value: int) -> dict[str, Any]:
    nested = map_cases(process_id, {"a": 1, "b": 2}, workers=2)
    return {"threads": os.environ["OMP_NUM_THREADS"], "pid": os.getpid(), "nested": list(nested.results.values())}


def process_id(value: int) -> int:
    return os.getpid()


def unsendable_result(value: int) -> Any:
    return (lambda: value) if value == 1 else value


class Unsendable:
    def __reduce__(self) -> Any:
        raise TypeError("this case stays here")


def noted(value: tuple[int, str]) -> int:
    number, folder = value
    with Path(folder, str(number)).open("a") as file:
        file.write("called\n")
    if number == 2 and not Path(folder, "mended").exists():
        raise ValueError("not yet")
    return number * 10


def slow(value: str) -> str:
    Path(value).touch()
    time.sleep(60)
    return value


def pair(value: int) -> tuple[int, int]:
    return value, value


def not_json(value: int) -> set[int]:
    return {value}


def where_it_ran(value: tuple[int, str, dict[int, float]]) -> int:
    """Leaves a line for each time it begins: the process that started this worker, which is its machine's."""
    number, folder, seconds = value
    machine = os.getppid()
    with Path(folder, str(number)).open("a") as file:
        file.write(f"{machine}\n")
    time.sleep(seconds.get(machine, 0.0))
    return number * number


def ends_in_every_way(value: int) -> Any:
    if value == 1:
        raise GeometryError("two grids differ", where="case 1", legal="one grid")
    if value == 2:
        raise KeyError("two")
    if value == 3:
        os._exit(7)
    return (lambda: value) if value == 4 else [value] * 200_000


def tells_a_name(value: str) -> int:
    raise ValueError(f"of {value}")
