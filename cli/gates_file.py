"""`--gates FILE`: requirements for an evaluation, in the words of a profile's `eval` part."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..evals.config import GateConfig
from .config import PROFILES, load_config, profile_names, refuse_senseless
from .config_sources import Sources
from .validation import validate


class GatesFile(BaseModel):
    """A list of gates, and what else decides the verdict."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gates: tuple[GateConfig, ...]
    max_invalid_share: Annotated[float, Field(ge=0, le=1)] | None = None
    inconclusive: Literal["fail", "warn"] | None = None
    probe: Literal["show", "check"] | None = None


def load_gates(file_or_profile: str) -> dict[str, Any]:
    """The `eval` settings that a gates file, or a shipped profile, declares.

    Raises:
        InputError: names file, line and field.
    """
    if file_or_profile in profile_names():
        found: BaseModel = load_config(file_or_profile).eval
    else:
        sources = Sources(PROFILES)
        sources.start(file_or_profile)
        file = validate(GatesFile, sources)
        for index, gate in enumerate(file.gates):
            refuse_senseless(gate, ("gates", index), sources)
        found = file
    return {key: value for key, value in found.model_dump(mode="json", include=set(GatesFile.model_fields)).items() if value is not None}
