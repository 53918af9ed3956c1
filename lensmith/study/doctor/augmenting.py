"""Faults of augmentation: pictures that are changed until their label is no longer true."""

from lensmith.base.errors import in_short
from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

_SIDES = (("left", "right"), ("links", "rechts"))    # words of classes that a mirror exchanges
_MIRRORED = {"b": "d", "p": "q", "s": "z"}           # letters that look like another one in a mirror, or like none
_LEAST_PART = 0.3    # of a picture that a crop must leave, for its object to be likely there
_NOTHING = 0.08      # of a picture, in which no object is told
_LOST = 1.5          # times the valid loss, to which crops and erasing raise the loss of the training pictures


def mirrored(facts: Facts) -> Diagnosis | None:
    """Pictures are mirrored whose class a mirror changes: digits, letters, left and right."""
    if not facts.setting("augment.flip"):
        return None
    for target, names in (facts.data.get("classes") or {}).items():
        words = [name.lower() for name in names]
        if target not in ("label", "tags", "boxes") and target != facts.target:
            continue
        digits = len(words) >= 3 and set(words) <= {str(number) for number in range(10)} | set(_DIGITS)
        letters = len(words) >= 3 and all(len(word) == 1 and word.isalpha() for word in words)
        sides = next((pair for pair in _SIDES if all(any(side in word for word in words) for side in pair)), None)
        if not (sides or digits or letters):
            continue
        what = "left and right" if sides else "digits" if digits else "letters"
        return Diagnosis(
            f"augment.flip={in_short(facts.setting('augment.flip'))}, and the classes are {what} "
            f"({', '.join(names[:4])}, ...)",
            f"augmentation destroys the label: {what} are others, or none, in a mirror", "augment.flip=false",
            0.95 if sides else 0.85, grave=bool(sides), settings={"augment.flip": False})
    return None


_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def cut_away(facts: Facts) -> Diagnosis | None:
    """Crops or erased parts leave little of the object that the label names."""
    crop, erase = facts.setting("augment.resized_crop"), facts.number("augment.erase") or 0.0
    given = crop[0] if isinstance(crop, list) and crop else 1.0
    least = float(given) if isinstance(given, int | float) and 0 <= given <= 1 else 1.0
    padding, size = facts.number("augment.crop_padding") or 0.0, _edge(facts)
    shifted = padding / size if size else 0.0
    trained, held_out = facts.column("train/loss"), facts.column("valid/loss")
    harder = trained[-1] / held_out[-1] if trained and held_out and held_out[-1] > 0 else 1.0
    settings: dict[str, object] = {}
    words = []
    if least < _LEAST_PART:
        words.append(f"augment.resized_crop leaves as little as {least:.0%} of a picture")
        settings["augment.resized_crop"] = [0.6, 1.0]
    if erase > 0.5:
        words.append(f"augment.erase={erase:g}")
        settings["augment.erase"] = 0.0
    if shifted > 0.3:
        words.append(f"augment.crop_padding={padding:g} moves pictures of {size:.0f} pixels by {shifted:.0%}")
        settings["augment.crop_padding"] = max(1, int(size // 8))
    if not words:
        return None
    much = harder > _LOST
    if much:
        words.append(f"train/loss is {harder:.1f} times valid/loss")
    return Diagnosis("; ".join(words), "augmentation destroys the label: what it names is often cut away",
                     ", ".join(f"{place}={value}" for place, value in settings.items()),
                     0.92 if least < _NOTHING else 0.85 if much else 0.6 if least < 0.15 or shifted > 0.5 else 0.45,
                     grave=False, settings=settings)


def _edge(facts: Facts) -> float:
    form = facts.data.get("form") or {}
    return float(min(form.get("height") or 0, form.get("width") or 0))
