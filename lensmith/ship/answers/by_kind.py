"""What is said of one picture, value by value: in words, as JSON and as the columns of a table; several under names."""

from collections.abc import Mapping, Sequence
from typing import Any

from lensmith.ship.answers import boxes as boxes_written
from lensmith.ship.answers import instance_masks as instances_written
from lensmith.ship.answers import semantic_mask as masks_written
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

# Targets that are called what they are: alone, nothing more has to be said of them.
_PLAIN = {"label": Label, "tags": Tags, "numbers": Numbers, "boxes": Boxes, "mask": Mask, "masks": Masks}


def several(values: Mapping[str, Value]) -> bool:
    """Whether the answers of a network go by names: there are more than one, or it has a name of its own."""
    return len(values) > 1 or any(not isinstance(value, _PLAIN.get(name, ())) for name, value in values.items())


def in_words(values: Mapping[str, Value], names: Mapping[str, Sequence[str]], k: int) -> str:
    """One line: `Ankle boot 97.1 %, Sneaker 2.5 %`, or `species: cat 97.1 %; head: face 93.0 %`."""
    named = several(values)
    return "; ".join((f"{name}: " if named else "") + _words(value, names[name], k) for name, value in values.items())


def _words(value: Value, names: Sequence[str], k: int) -> str:
    if isinstance(value, Label):
        return ", ".join(f"{names[i]} {100 * score:.1f} %" for i, score in value.top(k))
    if isinstance(value, Tags):
        return ", ".join(one for one, on in zip(names, value.present.tolist(), strict=True) if on) or "no tag"
    if isinstance(value, Boxes):
        return boxes_written.in_words(value, names, k)
    if isinstance(value, Mask):
        return masks_written.in_words(value, names, k)
    assert isinstance(value, Numbers)
    return ", ".join(f"{one} {number:.5g}" for one, number in zip(names, value.values.tolist(), strict=True))


def as_json(values: Mapping[str, Value], names: Mapping[str, Sequence[str]], top: int) -> dict[str, Any]:
    """Plain data; of a label the `top` likeliest classes. Several values are objects under their names."""
    shown = {name: _json(value, names[name], top) for name, value in values.items()}
    return shown if several(values) else {key: one for value in shown.values() for key, one in value.items()}


def _json(value: Value, names: Sequence[str], top: int) -> dict[str, Any]:
    if isinstance(value, Label):
        return {"label": names[int(value.index)],
                "scores": {names[i]: round(score, 6) for i, score in value.top(top)}}
    if isinstance(value, Masks):
        return instances_written.as_json(value, names)
    if isinstance(value, Boxes):
        return boxes_written.as_json(value, names)
    if isinstance(value, Mask):
        return masks_written.as_json(value, names)
    return value.as_json(names)


def as_row(values: Mapping[str, Value], names: Mapping[str, Sequence[str]], top: int) -> dict[str, Any]:
    """One line of a table: of a label the `top` likeliest classes as label, score, label2, score2, ...; several values
    with their names before: species, species_score; outline_pet, the share of the pixels."""
    row: dict[str, Any] = {}
    named = several(values)
    for name, value in values.items():
        before = f"{name}_" if named else ""
        if isinstance(value, Label):
            for i, (one, score) in enumerate(value.top(top), start=1):
                number = "" if i == 1 else str(i)
                row |= {f"{name if named else 'label'}{number}": names[name][one],
                        f"{before}score{number}": round(score, 6)}
        elif isinstance(value, Tags):
            pairs = zip(names[name], value.present.tolist(), strict=True)
            row[name if named else "tags"] = ";".join(one for one, on in pairs if on)
        elif isinstance(value, Numbers):
            row |= {f"{before}{one}": number for one, number in
                    zip(names[name], value.values.tolist(), strict=True)}
        elif isinstance(value, Boxes):
            row[f"{before}objects"] = len(value.classes)
        elif isinstance(value, Mask):
            row |= {f"{before}{names[name][number]}": round(share, 6) for number, _, share in
                    masks_written.shares(value, len(names[name]))}
    return row


def as_rows(file: str, value: Value, names: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of a table on boxes or a mask alone: one a box, one a class met."""
    if isinstance(value, Mask):
        return masks_written.as_rows(file, value, names)
    if isinstance(value, Masks):
        return instances_written.as_rows(file, value, names)
    assert isinstance(value, Boxes)
    return boxes_written.as_rows(file, value, names)
