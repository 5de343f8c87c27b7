"""The resume ledger: one JSON line per finished case, readable after a kill at any moment."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from fiducial.errors import InputRefused

FORMAT = 1
HEAD = b'{"ledger": '


class Ledger:
    """Results of finished cases in a JSON-lines file; opens on ``with``, appends with `add`, closes after.

    The first line names the function, so that one function's results are never taken for another's. A torn last
    line (the process was killed while writing it) is dropped, and its case is run again. Results come back as JSON
    gives them (a tuple as a list, keys as text), whether read or just added, so a resumed run equals an unbroken one.
    """

    def __init__(self, path: Path, function: str) -> None:
        self.path = path
        self.function = function
        self.finished: dict[str, Any] = {}

    def __enter__(self) -> Ledger:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self.path.read_bytes() if self.path.exists() else b""
        end = whole.rfind(b"\n") + 1
        # Nothing is dropped from a file that is not ours.
        if end == 0 and not whole.startswith(HEAD[: len(whole)]):
            raise self._not_a_ledger(1)
        for number, line in enumerate(whole[:end].splitlines(), start=1):
            self._read(number, line)
        self._file = self.path.open("ab")
        self._file.truncate(end)
        if end == 0:
            self._write({"ledger": FORMAT, "function": self.function})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, key: str, result: Any) -> Any:
        """Write a finished case at once; return its result as a later reading would give it."""
        try:
            text = json.dumps(result)
        except (TypeError, ValueError) as error:
            raise InputRefused(
                f"the result of case {key!r} cannot be kept in a resume ledger ({error})",
                where=str(self.path),
                legal="results made of dict, list, str, int, float, bool and None",
                action="return such a result, or call map_cases without resume",
            ) from error
        self._write({"key": key, "result": json.loads(text)})
        self.finished[key] = json.loads(text)
        return self.finished[key]

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def _read(self, number: int, line: bytes) -> None:
        try:
            entry = json.loads(line)
            known = entry.get("ledger") == FORMAT if number == 1 else "key" in entry and "result" in entry
        except (ValueError, AttributeError):
            known = False
        if not known:
            raise self._not_a_ledger(number)
        if number == 1 and entry["function"] != self.function:
            raise InputRefused(
                f"the ledger holds results of {entry['function']}, not of {self.function}",
                where=str(self.path),
                action="name another ledger file, or delete this one to start anew",
            )
        if number > 1:
            self.finished[entry["key"]] = entry["result"]

    def _not_a_ledger(self, number: int) -> InputRefused:
        return InputRefused(
            "this is not a line of a resume ledger",
            where=f"{self.path}, line {number}",
            action="name another file, or delete this one to start anew",
        )
