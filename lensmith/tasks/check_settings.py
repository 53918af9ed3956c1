"""Settings of a task that are out of their range."""

from lensmith.base.errors import UserError


def check_settings(**settings: tuple[float, bool, str]) -> None:
    """Raises UserError for the first setting of task, each (value, whether it is right, what is accepted), that is not
    right."""
    for name, (value, right, accepted) in settings.items():
        if not right:
            raise UserError(f"task.{name}={value} cannot be: accepted is {accepted}")


def decoding(threshold: float, overlap: float, most: int) -> dict[str, tuple[float, bool, str]]:
    """The settings of decoding as `check_settings` takes them."""
    return {"threshold": (threshold, 0 <= threshold < 1, "0 <= threshold < 1"),
            "overlap": (overlap, 0 < overlap <= 1, "0 < overlap <= 1"), "most": (most, most >= 1, "1 or more")}
