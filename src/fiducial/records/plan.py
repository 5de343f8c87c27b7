"""Plans and contracts: what a run was trained as, and which images it accepts. Readable JSON, frozen records."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Triple = tuple[int, int, int]
TripleMm = tuple[float, float, float]


class Frozen(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalisation(Frozen):
    """How one channel's intensities become network input.

    ``window``: clip to [low, high], subtract mean, divide by std (all from training foreground; for absolute units).
    ``zscore``: subtract the image's own mean and divide by its own standard deviation (for arbitrary units).
    ``unit``: map [low, high] to [-1, 1] (for stored grey levels).
    """

    kind: Literal["window", "zscore", "unit"]
    low: float = 0.0
    high: float = 1.0
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)


class RegionPlan(Frozen):
    """Cut a box of the plan's grid, centred on a structure's bounding box."""

    mask: str
    margin_mm: float = 0.0


class Augmentation(Frozen):
    """Random changes of training samples; every one is a pure function of seed and step.

    ``mirror_axes`` of x, y, z (0, 1, 2); rotation up to ``rotate_degrees`` about each axis; scale by a factor in
    [1/(1+s), 1+s]; brightness and contrast changed by up to ``intensity`` (in units of the normalised image);
    Gaussian noise up to ``noise``; shift up to ``shift_voxels``.
    """

    mirror_axes: tuple[int, ...] = ()
    rotate_degrees: float = 0.0
    scale: float = 0.0
    intensity: float = 0.0
    noise: float = 0.0
    shift_voxels: int = 0
    spatial_probability: float = 0.5


class Member(Frozen):
    """One network of an ensemble: its name in tables and weights, its seed, and the fold that it never sees.

    A run of one network has the single member of no name; ``fold`` -1 leaves no fold out.
    """

    name: str = ""
    seed: int = 0
    fold: int = -1


class Mitigation(Frozen):
    """How training makes up for groups that it would otherwise serve less well.

    ``reweighing``: the loss of a case counts P(group) P(class) / P(group, class), so that group and class are
    independent. ``balanced``: every group (of one class, where cases have one) is drawn equally often.
    ``group_dro``: the loss is that of the groups, weighted towards those that fare worst.
    """

    method: Literal["reweighing", "balanced", "group_dro"]
    attribute: str
    groups: tuple[str, ...]


class Plan(Frozen):
    """Everything that training and prediction follow; written to ``plan.json`` before training starts.

    ``views`` and ``draws`` ask for further answers beside the final one: of that many mirrored or shifted views, or of
    networks whose ``dropout`` stays on. ``maps`` keeps the probability maps of structures. ``head`` is ``plain``
    (probabilities) or ``evidential`` (evidence for each class, from which probabilities and a doubt follow).
    """

    task: str
    dimensions: Literal[2, 3]
    inputs: tuple[str, ...]
    n_channels: int
    targets: tuple[str, ...]
    label_type: Literal["structures", "binary", "multiclass", "multilabel"]
    classes: tuple[str, ...]
    class_weights: tuple[float, ...] = ()
    spacing_mm: TripleMm
    normalisation: tuple[Normalisation, ...]
    patch: Triple
    region: RegionPlan | None = None
    model: str
    widths: tuple[int, ...]
    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    blocks: tuple[int, ...] = ()
    batch: int
    n_steps: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    average_decay: float
    foreground_fraction: float = 0.0
    augmentation: Augmentation = Augmentation()
    test_mirror_axes: tuple[int, ...] = ()
    members: tuple[Member, ...] = (Member(),)
    head: Literal["plain", "evidential"] = "plain"
    dropout: float = 0.0
    mitigation: Mitigation | None = None
    views: int = 0
    draws: int = 0
    embeddings: bool = False
    maps: bool = False
    overlap: float = 0.5
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    device: str
    n_threads: int
    seed: int
    minutes: float
    memory_gb: float
    seconds_per_step: float = 0.0
    reasons: dict[str, str] = {}

    @property
    def n_outputs(self) -> int:
        """Numbers that the network gives: one per class, or evidence for and against each class that stands alone."""
        pairs = self.head == "evidential" and self.label_type in ("binary", "multilabel")
        return len(self.classes) * (2 if pairs else 1)


class ChannelContract(Frozen):
    """What one input channel must look like.

    The 1st and 99th intensity percentile of an image must lie in ``p1`` and ``p99`` (inclusive).
    """

    modality: str
    unit: str
    p1: tuple[float, float]
    p99: tuple[float, float]


class InputContract(Frozen):
    """What an image must be to be scored by a run; learned from the training images, with stated slack."""

    dimensions: Literal[2, 3]
    channels: tuple[ChannelContract, ...]
    components: int = 1
    spacing_min_mm: TripleMm
    spacing_max_mm: TripleMm
    region_mask: str = ""
