"""The networks of a run: which cases each one sees, and their training one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fiducial.errors import LabelError
from fiducial.records.files import atomic_path, sha256_json
from fiducial.records.plan import Member, Plan
from fiducial.records.progress import Progress, silent
from fiducial.study import Study
from fiducial.train.cache import Cached

if TYPE_CHECKING:
    from torch import Tensor


def members_of(study: Study, seed: int) -> tuple[Member, ...]:
    """One network per fold or per seed, or the only one; each has a seed of its own."""
    train = study.train
    if train.folds > 1:
        return tuple(Member(name=f"fold{k + 1}", seed=seed + k, fold=k) for k in range(train.folds))
    if train.seeds > 1:
        return tuple(Member(name=f"seed{k + 1}", seed=seed + k) for k in range(train.seeds))
    return (Member(seed=seed),)


def parts_of(
    member: Member, train: Sequence[Cached], validation: Sequence[Cached], folds: Mapping[str, int]
) -> tuple[list[Cached], list[Cached]]:
    """What one network is trained and validated on: the two parts, or the first one without and with its fold.

    Raises:
        LabelError: all cases that can be trained on lie in the network's own fold.
    """
    if member.fold < 0:
        return list(train), list(validation)
    seen, aside = ([c for c in train if (folds[c.image] == member.fold) is own] for own in (False, True))
    if not seen:
        raise LabelError(
            f"no labelled case outside {member.name}: all {len(aside)} lie in that fold",
            where="train.folds",
            legal="labelled cases in at least two folds",
            action="label more cases, ask for fewer folds, or use seeds in place of folds",
        )
    return seen, aside


def fit(
    out: Path,
    plan: Plan,
    train: Sequence[Cached],
    validation: Sequence[Cached],
    folds: Mapping[str, int],
    *,
    resume: bool = False,
    progress: Progress = silent,
) -> None:
    """Train every network of the plan; write ``model.safetensors`` (names begin with the member's) and the history.

    A network that was finished before an interruption is not trained again: its checkpoint stands at the last step.
    """
    import pandas as pd

    from fiducial.models.weights import prefix_of
    from fiducial.train.checkpoint import save_tensors
    from fiducial.train.loop import train_loop

    weights: dict[str, Tensor] = {}
    history = []
    for number, member in enumerate(plan.members):

        def shown(title: str, done: int, total: int, *, before: int = number * plan.n_steps) -> None:
            progress(title, before + done, total * len(plan.members))

        own = plan.model_copy(update={"seed": member.seed})
        seen, kept_aside = parts_of(member, train, validation, folds)
        trained = train_loop(
            own,
            seen,
            kept_aside,
            out / "checkpoint" / f"{member.name or 'state'}.safetensors",
            plan_digest=sha256_json(own.model_dump(mode="json")),
            resume=resume,
            progress=shown,
        )
        weights |= {prefix_of(member) + name: tensor for name, tensor in trained.weights.items()}
        history.append(pd.DataFrame(trained.history).assign(member=member.name))
    save_tensors(weights, out / "model.safetensors", {"plan": sha256_json(plan.model_dump(mode="json"))})
    with atomic_path(out / "history.parquet") as part:
        pd.concat(history, ignore_index=True).to_parquet(part, index=False)
