"""Relative paths of a settings file are relative to the file, not to the folder that a command is run in."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel


def anchored(content: dict[str, Any], model: type[BaseModel], folder: Path) -> dict[str, Any]:
    """`content` of a settings file with the fields that `model` says are paths put below `folder`.

    Absolute paths stay. What doesn't have the shape of the model is left for its validation.
    """
    found = dict(content)
    for name, field in model.model_fields.items():
        if name in found:
            found[name] = _below(found[name], field.annotation, folder)
    return found


def _below(value: Any, annotation: Any, folder: Path) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _below(value, kinds[0], folder) if len(kinds) == 1 else value
    if annotation is Path and isinstance(value, str):
        return folder / value
    if not isinstance(value, dict):
        return value
    if get_origin(annotation) is dict:
        _, kind = get_args(annotation)
        return {name: _below(one, kind, folder) for name, one in value.items()}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return anchored(value, annotation, folder)
    return value
