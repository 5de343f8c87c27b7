"""The command line: help, exit codes, one message for a refusal, one object for --json."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys

import pytest

from fiducial.audit import CHECKS
from fiducial.cli.main import run
from fiducial.errors import CaseFailed
from fiducial.phantom.vendor import vendor_table

COMMANDS = ("demo", "ingest", "check", "describe", "train", "predict", "audit", "report", "run")
COMMANDS += (
    "deidentify",
    "export",
    "features",
    "feature-maps",
    "stability",
    "signature",
    "resample",
    "features-report",
)
COMMANDS += ("compare", "keys", "sign", "verify")
ACCEPTANCE = """
[study]
name = "acceptance"
intended_use = "test"
[task]
kind = "classification"
targets = ["malignant"]
[operating_point]
rule = "threshold"
value = 0.5
[[accept]]
metric = "auc"
statistic = "low"
at_least = {bound}
"""


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    """Every command runs in an empty folder, on a terminal of a known width."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def vendor(tmp_path):
    """A vendor's table of 150 patients."""
    path = tmp_path / "vendor.csv"
    vendor_table(150, seed=1)[0].to_csv(path, index=False)
    return path


def audited(*more: str) -> list[str]:
    """The arguments of a quick audit of the vendor's table."""
    return ["audit", "vendor.csv", "--out", "audit", "--replicates", "100", "--quiet", *more]


def study(tmp_path, bound: float, **changes: str) -> str:
    """A study file with one criterion."""
    text = ACCEPTANCE.replace("{bound}", str(bound))
    for old, new in changes.items():
        text = text.replace(old, new)
    (tmp_path / "study.toml").write_text(text)
    return "study.toml"


# help


def test_every_command_is_in_the_help_and_no_other(capsys):
    assert run(["--help"]) == 0
    listed = re.findall(r"^│ (\w[\w-]*) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert tuple(listed) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_reads_well(command, capsys):
    assert run([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert "--debug" in out
    assert re.search(r"[A-Z][^.]+\.", out), "no sentence says what it does"


def test_the_version_is_printed(capsys):
    from fiducial import __version__

    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


# exit codes


@pytest.mark.parametrize(
    "argv", [["audti"], ["audit", "--sturdy"], ["audit"], ["check"], ["train", "x.toml", "--seed", "-1"]]
)
def test_a_misused_command_is_2(argv, capsys):
    assert run(argv) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_verdict_does_not_change_the_exit_code(vendor, tmp_path, capsys):
    assert run(audited("--study", study(tmp_path, 0.999))) == 0
    assert "fail" in capsys.readouterr().out


def test_require_pass_makes_a_failed_verdict_2(vendor, tmp_path, capsys):
    assert run(audited("--study", study(tmp_path, 0.999), "--require-pass")) == 2
    assert "not passed: 1 fail" in capsys.readouterr().err


def test_require_pass_is_0_where_every_criterion_is_passed(vendor, tmp_path):
    assert run(audited("--study", study(tmp_path, 0.6), "--require-pass")) == 0


def test_require_pass_without_a_criterion_is_2(vendor, capsys):
    assert run(audited("--require-pass")) == 2
    assert "no criterion stated" in capsys.readouterr().err


def test_a_report_gates_as_its_audit_does(vendor, tmp_path):
    assert run(audited("--study", study(tmp_path, 0.6))) == 0
    assert run(["report", "audit", "--require-pass", "--quiet"]) == 0
    assert run(audited("--study", study(tmp_path, 0.999))) == 0
    assert run(["report", "audit", "--require-pass", "--quiet"]) == 2


def test_our_fault_is_1_and_says_where_the_traceback_is(vendor, monkeypatch, capsys):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("fiducial.flows.audit", broken)
    assert run(audited()) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: planted" in err
    (path,) = re.findall(r"the traceback is in (\S+)", err)
    with open(path) as file:  # noqa: PTH123
        assert "planted" in file.read()
    assert run(audited("--debug")) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_failure_of_many_cases_is_told_without_blame(vendor, monkeypatch, capsys):
    def broken(*_: object, **__: object) -> None:
        raise CaseFailed("every case failed")

    monkeypatch.setattr("fiducial.flows.audit", broken)
    assert run(audited()) == 1
    assert capsys.readouterr().err.startswith("failed: CaseFailed: every case failed")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_or_a_closed_folder_is_one_sentence(vendor, monkeypatch, capsys, number):
    import os

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "audit/evidence.json")

    monkeypatch.setattr("fiducial.flows.audit", full)
    assert run(audited()) == 2
    err = capsys.readouterr().err
    assert os.strerror(number) in err
    assert "audit/evidence.json" in err
    assert "Traceback" not in err


def test_an_interruption_is_130_with_one_sentence(vendor, monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fiducial.flows.audit", interrupted)
    assert run(audited()) == 130
    assert "nothing half-written" in capsys.readouterr().err


def test_ctrl_c_before_anything_was_loaded_is_one_sentence():
    """The interrupt comes with the first import of the command line, long before a command begins."""
    script = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'fiducial.cli.commands':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from fiducial.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    for command, action in (("train", "--resume"), ("ingest", "run the command again")):
        done = subprocess.run(
            [sys.executable, "-c", script, command, "--json"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 130, done.stderr
        assert "Traceback" not in done.stderr
        assert "interrupted: nothing half-written was left" in done.stderr
        assert action in json.loads(done.stdout)["error"]["action"]


# --json


def test_json_is_one_object_on_stdout_and_progress_is_on_stderr(vendor, capsys):
    argv = [part for part in audited("--json") if part != "--quiet"]
    assert run(argv) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["n_subjects"] == 150
    assert said["passed"] is False
    assert f"audit: {len(CHECKS)}/{len(CHECKS)}" in captured.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "--json"], "Missing argument"),
        (["train", "study.toml", "--json"], "Missing option '--out'"),
        (["audit", "a.csv", "--leval", "0.9", "--json"], "No such option"),
        (["audit", "a.csv", "--level", "2", "--json"], "is not in the range"),
        (["trian", "--json"], "No such command"),
    ],
)
def test_json_of_a_misuse_is_one_object_too(argv, said, capsys):
    assert run(argv) == 2
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert said in error["given"]
    assert "--help" in error["action"]
    assert said in captured.err


def test_json_beside_help_is_help(capsys):
    assert run(["train", "--help", "--json"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_json_of_a_refusal_is_one_object_too(capsys):
    assert run(["audit", "nothing.csv", "--out", "audit", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "TableError"
    assert error["where"] == "nothing.csv"


# torch-free


def test_audit_and_report_run_where_torch_cannot_be_imported(vendor, tmp_path):
    script = (
        "import sys\n"
        "for name in ('torch', 'monai', 'lightning_fabric', 'SimpleITK', 'safetensors'): sys.modules[name] = None\n"
        "from fiducial.cli.main import run\n"
        f"code = run({audited()!r}) or run(['report', 'audit', '--quiet'])\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "audit" / "report.html").is_file()


# refusals that reach the command line, each on its message


def refusal(argv: list[str], capsys) -> str:
    """The message of a command that must be refused with 2 and no traceback."""
    assert run([*argv, "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("refused: ")
    assert "Traceback" not in err
    return err


def test_a_misspelt_study_key_is_answered_with_the_nearest(vendor, tmp_path, capsys):
    name = study(tmp_path, 0.9, intended_use="intended_us")
    message = refusal(["audit", "vendor.csv", "--out", "a", "--study", name], capsys)
    assert "unknown key 'intended_us'" in message
    assert "intended_use" in message
    assert "study.toml, line" in message


def test_a_criterion_on_an_unknown_group_names_the_legal_ones(vendor, tmp_path, capsys):
    name = study(
        tmp_path, 0.9, at_least='group = "sex=X"\nat_least', **{"[task]": '[data]\nattributes = ["sex"]\n[task]'}
    )
    message = refusal(["audit", "vendor.csv", "--out", "a", "--study", name], capsys)
    assert "nobody has sex=X" in message
    assert "sex=F" in message


def test_a_table_of_one_class_is_refused(vendor, capsys):
    import pandas as pd

    frame = pd.read_csv("vendor.csv")
    frame[frame["truth"] == 0].to_csv("one.csv", index=False)
    assert "one class only" in refusal(["audit", "one.csv", "--out", "a"], capsys)


def test_a_probability_outside_0_and_1_says_what_to_do(vendor, capsys):
    import pandas as pd

    frame = pd.read_csv("vendor.csv")
    frame["value"] *= 100
    frame.to_csv("percent.csv", index=False)
    message = refusal(["audit", "percent.csv", "--out", "a"], capsys)
    assert "divide by 100" in message


def test_a_missing_column_is_named_with_the_ones_that_are_there(capsys, tmp_path):
    (tmp_path / "t.csv").write_text("image,target,score,truth\na,x,0.5,1\n")
    message = refusal(["audit", "t.csv", "--out", "a"], capsys)
    assert "missing column(s) value" in message
    assert "score" in message


def test_a_mask_folder_without_truth_is_told_of_truth(tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    assert "--truth" in refusal(["audit", "masks", "--out", "a"], capsys)


def test_a_table_needs_a_folder_to_write_to(vendor, capsys):
    assert "--out DIR" in refusal(["audit", "vendor.csv"], capsys)


def test_a_report_of_what_was_never_audited_says_so(tmp_path, capsys):
    assert "no run.json" in refusal(["report", str(tmp_path)], capsys)


def test_a_study_file_that_is_not_there(capsys):
    assert "cannot be read" in refusal(["check", "absent.toml"], capsys)
    assert "COHORT (a folder) or STUDY.toml" in refusal(["check", "absent"], capsys)


def test_evidence_that_was_changed_after_the_audit_is_refused(vendor, tmp_path, capsys):
    assert run(audited()) == 0
    capsys.readouterr()
    path = tmp_path / "audit" / "evidence.json"
    path.write_text(path.read_text().replace("0.9", "1.0", 1))
    assert re.search(r"row \d+ was edited after the audit", refusal(["report", "audit"], capsys))


def test_a_demo_never_writes_over_a_folder_that_is_not_a_demo(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert "the folder is not empty" in refusal(["demo", "--out", "mine"], capsys)
    assert (tmp_path / "mine" / "thesis.txt").is_file()


# evidence that exists: keys, sign, verify, compare


def test_signing_and_verifying_by_command(vendor, tmp_path, capsys, monkeypatch):
    assert run(audited()) == 0
    assert run(["keys", "--out", "keys"]) == 0
    assert "not locked: FIDUCIAL_KEY_PASSPHRASE was not set" in " ".join(capsys.readouterr().out.split())
    assert run(["verify", "audit", "--quiet"]) == 0
    assert "unsigned" in capsys.readouterr().out
    assert run(["verify", "audit", "--key", "keys/public.pem", "--quiet"]) == 2
    assert "not proven" in capsys.readouterr().out
    assert run(["sign", "audit", "--key", "keys/private.pem", "--name", "Dr. Ada [x]", "--quiet"]) == 0
    assert "Signed by Dr. Ada [x] on" in capsys.readouterr().out
    assert run(["verify", "audit", "--key", "keys/public.pem", "--quiet"]) == 0
    assert "proven: nothing was changed" in capsys.readouterr().out
    path = tmp_path / "audit" / "cases.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    assert run(["verify", "audit", "--key", "keys/public.pem", "--quiet", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["sound"]) == ("not_proven", False)
    assert said["changes"][0]["what"] == "cases.parquet"


def test_a_passphrase_comes_from_the_environment_only(vendor, capsys, monkeypatch):
    assert run(audited()) == 0
    monkeypatch.setenv("FIDUCIAL_KEY_PASSPHRASE", "sesame")
    assert run(["keys", "--out", "keys", "--json"]) == 0
    assert "sesame" not in capsys.readouterr().out
    assert run(["sign", "audit", "--key", "keys/private.pem", "--name", "Dr. Ada", "--quiet"]) == 0
    monkeypatch.delenv("FIDUCIAL_KEY_PASSPHRASE")
    message = refusal(["sign", "audit", "--key", "keys/private.pem", "--name", "Dr. Ada"], capsys)
    assert "no passphrase was given" in message


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sign", "audit", "--key", "absent.pem", "--name", "x"], "no such key file"),
        (["sign", "audit", "--key", "vendor.csv", "--name", "x"], "not a private key"),
        (["verify", "audit", "--key", "vendor.csv"], "not a public key"),
        (["verify", "absent"], "no run.json"),
        (["compare", "audit", "absent"], "no run.json"),
        (["compare", "audit", "audit"], "both are one folder"),
    ],
)
def test_refusals_of_signing_and_comparing(vendor, capsys, argv, message):
    assert run(audited()) == 0
    capsys.readouterr()
    assert message in refusal(argv, capsys)


def test_two_audits_are_compared_by_command(vendor, tmp_path, capsys):
    import pandas as pd

    assert run(audited()) == 0
    frame = pd.read_csv("vendor.csv")
    frame["value"] = 1 - frame["value"]
    frame.to_csv("worse.csv", index=False)
    assert run(["audit", "worse.csv", "--out", "other", "--replicates", "100", "--quiet"]) == 0
    capsys.readouterr()
    assert run(["compare", "audit", "other", "--out", "c", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "worse auc (malignant)" in " ".join(out.split())
    assert (tmp_path / "c" / "compare.html").is_file()
    assert run(["compare", "audit", "other", "--out", "c", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_images"] > 100


def test_raters_masks_beside_a_model_s_and_alone(tmp_path, capsys):
    """Three readers and a model of twelve discs; a folder of readers is audited without any model too."""
    import numpy as np
    from PIL import Image

    grid = np.stack(np.meshgrid(np.arange(24), np.arange(24), indexing="ij"))
    rng = np.random.default_rng(0)
    for k in range(12):
        centre = rng.uniform(9, 14, (2, 1, 1))
        for folder in ("truth", "model", "readers/A", "readers/B", "readers/C"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            moved = 2.5 if folder.endswith("C") else 0.3
            inside = np.linalg.norm(grid - centre - rng.normal(0, moved, (2, 1, 1)), axis=0) < 6
            Image.fromarray(inside.astype(np.uint8)).save(tmp_path / folder / f"disc_{k:02d}.png")
    more = ["--replicates", "100", "--quiet"]
    assert run(["audit", "model", "--truth", "truth", "--raters", "readers", "--out", "both", *more]) == 0
    assert "agreement: C disagrees with the others" in capsys.readouterr().out
    assert run(["audit", "readers", "--out", "alone", *more]) == 0
    out = capsys.readouterr().out
    assert "agreement: C disagrees with the others" in out
    assert "12 images audited" in out
    assert run(["report", "alone", "--quiet"]) == 0
    assert "Dice with the consensus" in (tmp_path / "alone" / "report.html").read_text()
    assert run(["audit", "model", "--raters", "readers", "--out", "x", *more]) == 2
    assert "raters without a folder of masks and its reference" in capsys.readouterr().err
    (tmp_path / "others").mkdir()
    for name in "AB":
        (tmp_path / "others" / name).mkdir()
        (tmp_path / "readers" / name / "disc_00.png").rename(tmp_path / "others" / name / "else.png")
    assert run(["audit", "model", "--truth", "truth", "--raters", "others", "--out", "x", *more]) == 2
    assert "no image of the raters is among the masks" in capsys.readouterr().err
