"""The command line: the table of verbs, and what each ending of a verb becomes for the shell. Results go to stdout,
progress to stderr; nothing heavy is imported before a verb needs it."""

import io
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Annotated, Any

import typer

from lensmith.base.errors import INTERRUPTED, Question, UserError, as_user_error
from lensmith.cli.benchmark import benchmark
from lensmith.cli.check import check_data
from lensmith.cli.compress import compress
from lensmith.cli.convert import convert
from lensmith.cli.doctor import doctor
from lensmith.cli.explain import explain
from lensmith.cli.export import export
from lensmith.cli.habits import is_first_process, our_words
from lensmith.cli.info import info
from lensmith.cli.inspect import inspect
from lensmith.cli.lesson_convolution import lesson_convolution
from lensmith.cli.lesson_numpy import lesson_numpy
from lensmith.cli.lesson_training import lesson_training
from lensmith.cli.lists import data_get, data_list, data_show, list_
from lensmith.cli.measure import compare, val
from lensmith.cli.options import options_of, with_flags
from lensmith.cli.play import play
from lensmith.cli.predict import predict
from lensmith.cli.terminal import show, tell_error, teller, wrong_argument
from lensmith.cli.train import train
from lensmith.engine.distributed.launch import is_distributed

# What is typed -> the function, whose signature is the verb's arguments and whose docstring is its help.
VERBS: dict[str, Callable[..., None]] = {
    "train": train,
    "val": val,
    "compare": compare,
    "predict": predict,
    "play": play,
    "convert": convert,
    "explain": explain,
    "export": export,
    "compress": compress,
    "inspect": inspect,
    "benchmark": benchmark,
    "check": check_data,
    "doctor": doctor,
    "list": list_,
    "info": info,
    "data list": data_list,
    "data get": data_get,
    "data show": data_show,
    "lesson convolution": lesson_convolution,
    "lesson numpy": lesson_numpy,
    "lesson training": lesson_training,
}
# Other words for a verb, which --help does not list.
ALIASES = {"validate": "val", "test": "val", "summary": "inspect", "checks": "info"}
# The first word of verbs of two, and what --help says of it.
GROUPS = {"data": "Data sets: what is known, what is here, and getting one.",
          "lesson": "Lessons: what a network computes, number by number, with a page to try it on."}

# What click raises for wrong arguments; typer brings click along under a name of its own that has changed before.
_REFUSED: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def application(verbs: Mapping[str, Callable[..., Any]]) -> typer.Typer:
    """The command with these verbs, their aliases and groups."""
    app = typer.Typer(name="lensmith", no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False,
                      rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
                      help="From pictures to a convolutional network that works: train, test, predict, inspect.")
    app.callback()(_before_any_verb)
    groups = {name: typer.Typer(no_args_is_help=True, help=text) for name, text in GROUPS.items()}
    for name, group in groups.items():
        app.add_typer(group, name=name)
    for words, verb in verbs.items():
        first, _, second = words.partition(" ")
        group, name = (groups[first], second) if second else (app, first)
        group.command(name=name)(verb)
    for alias, words in ALIASES.items():
        if words in verbs:
            app.command(name=alias, hidden=True)(verbs[words])
    return app


def command_with(verbs: Mapping[str, Callable[..., Any]]) -> Any:
    """The same as click has it: its verbs with their parameters."""
    return typer.main.get_command(application(verbs))


def _show_version(wanted: bool) -> None:
    if wanted:
        show(f"lensmith {version('lensmith')}")
        raise typer.Exit


def _before_any_verb(_: Annotated[bool, typer.Option("--version", "-V", help="The version, and nothing else.",
                                                     callback=_show_version, is_eager=True)] = False) -> None:
    """From pictures to a convolutional network that works: train, test, predict, inspect."""


def main(verbs: Mapping[str, Callable[..., Any]] = VERBS) -> None:
    """Run the verb that was typed; a user's mistake, or the system's, is one line on stderr and its exit code."""
    for stream in (sys.stdout, sys.stderr):    # letters that the terminal's encoding lacks, or no encoding has
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        command = command_with(verbs)
        sys.argv[1:] = _in_our_words(command, sys.argv[1:])    # which processes that are started here get too
        code = command(standalone_mode=False, prog_name="lensmith")
        sys.stdout.flush()    # a full device says so here
    except UserError as error:
        _end(error)
    except typer.Abort:
        _ignore_ctrl_c()
        tell_error("interrupted")
        sys.exit(INTERRUPTED)
    except _REFUSED as error:
        tell_error(wrong_argument(error, sys.argv[1:]))
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()    # the reader of our output has gone, as `| head` does; nothing is wrong
        sys.exit(0)
    except Exception as error:
        known = as_user_error(error)
        if known is None:
            raise
        _end(known)
    sys.exit(code if isinstance(code, int) else 0)


def _in_our_words(command: Any, words: list[str]) -> list[str]:
    """The words of a command with other programs' names and forms as ours; each is told once."""
    verb = ALIASES.get(words[0], words[0]) if words else ""
    if verb not in getattr(command, "commands", {}) or verb in GROUPS:
        return words
    translated, said = our_words(words[1:], verb, options_of(command.commands[verb]))
    tell = teller(bool({"-q", "--quiet"} & set(words)) or not is_first_process())
    for line in said:
        tell(line)
    return [words[0], *translated]


def _command_with_settings() -> list[str]:
    """The command that was typed, where its verb takes settings; else none."""
    takes_settings = sys.argv[1:2] in (["train"], ["check"]) or sys.argv[1:3] == ["data", "show"]
    return ["lensmith", *sys.argv[1:]] if takes_settings else []


def _end(error: UserError) -> None:
    """Say the error that ended a verb, and leave with its code."""
    if error.code == INTERRUPTED:
        _ignore_ctrl_c()
    if _is_for_this_process(error):
        tell_error(error.text(_command_with_settings()) if isinstance(error, Question) else with_flags(str(error)))
    try:
        sys.stdout.flush()
    except OSError:    # as on a full device: Python would say so again, and end with another code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.at_once:
        os._exit(error.code)
    sys.exit(error.code)


def _ignore_ctrl_c() -> None:
    """What ends already for a Ctrl-C is not interrupted by the next ones, which would be a traceback."""
    with suppress(ValueError):    # in another thread than the main one
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _is_for_this_process(error: UserError) -> bool:
    """Whether this process prints the error that ended it. Of several processes one prints each sentence."""
    if not is_distributed():
        return True
    from lensmith.engine.distributed.rendezvous import should_report

    return should_report(error)
