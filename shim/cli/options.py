"""Command-line options to `Settings`, and what is wrong with a setting said in one sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from shim.cli.problem import Problem, warn
from shim.hosts import is_loopback
from shim.settings import CONFIG_FILE_VARIABLE, PREFIX, Settings, config_file, exposed_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

OPTION_OF: dict[str, str] = {
    "upstream": "URL",
    "profile": "NAME",
    "default_model": "MODEL",
    "log_level": "LEVEL",
}
"""Settings that every command talking to the upstream has as options, with their placeholder."""

Command = Any


def settings_options(*names: str) -> Callable[[Command], Command]:
    """Add options for these settings, `--config` and `--set`; the command gets them as keyword arguments.

    Args:
        names: Fields of `Settings`; help texts are the fields' own descriptions.
    """

    def decorate(command: Command) -> Command:
        command = click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="NAME=VALUE",
            help="Any other setting, by its name; may be repeated.",
        )(command)
        command = click.option(
            "--config",
            type=click.Path(path_type=Path),
            help=f"TOML file of settings. [default: {CONFIG_FILE_VARIABLE}, else the user's config folder]",
        )(command)
        for name in reversed(names):
            command = _option(name)(command)
        return command

    return decorate


def _option(name: str) -> Callable[[Command], Command]:
    field = Settings.model_fields[name]
    default = "" if field.default is None else f" [default: {field.default}]"
    flag = "--" + name.replace("_", "-")
    metavar = OPTION_OF.get(name, name.rsplit("_", 1)[-1].upper())
    return click.option(flag, name, metavar=metavar, help=f"{field.description}{default}")


def read_settings(
    *, config: Path | None = None, assignments: tuple[str, ...] = (), **options: Any
) -> Settings:
    """Build the settings: options first, then environment, file, defaults.

    Args:
        config: The TOML file, if one was named.
        assignments: `name=value` pairs.
        options: Settings by name; None means not given.

    Raises:
        Problem: A setting is unknown or wrong; it says which, where it comes from and how to mend it.
    """
    if config is not None:
        os.environ[CONFIG_FILE_VARIABLE] = str(config)
    _check_file_exists(option=config is not None)
    options = {name: value for name, value in options.items() if value is not None}
    assigned = _assigned(assignments)
    try:
        return Settings(**{**options, **assigned})
    except ValidationError as error:
        raise _problem(error.errors()[0], options, assigned) from None
    except ValueError as error:  # of the file, as whatever is wrong with a setting is told by pydantic
        raise Problem(f"{config_file()} is not valid TOML: {error}.", "mend that line.") from None
    except OSError as error:
        raise Problem(
            f"{config_file()} cannot be read: {error.strerror}.", "name another file with --config."
        ) from None


def _check_file_exists(*, option: bool) -> None:
    if os.environ.get(CONFIG_FILE_VARIABLE) and not config_file().is_file():
        source = "--config" if option else CONFIG_FILE_VARIABLE
        raise Problem(f"{source} names {config_file()}, which is no file.", f"create it, or drop {source}.")


def _assigned(assignments: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in assignments]
    for name, separator, _ in pairs:
        if not separator:
            raise Problem(f"--set {name} has no value.", f"write --set {name}=VALUE.")
        _check_known(name.strip(), "--set")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _check_known(name: str, source: str) -> None:
    if name in Settings.model_fields:
        return
    import difflib  # noqa: PLC0415 -- for who mistypes

    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    fix = f"did you mean {close[0]}?" if close else f"one of: {', '.join(Settings.names())}."
    raise Problem(f"{source} has an unknown setting, {name}.", fix)


def _problem(error: ErrorDetails, options: dict[str, Any], assigned: dict[str, str]) -> Problem:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    if error["type"] == "extra_forbidden":
        try:
            _check_known(name, str(config_file()))
        except Problem as problem:
            return problem
    field = Settings.model_fields.get(name)
    about = (field.description or "").rstrip(".") if field else ""
    if about[1:2].islower():  # not an abbreviation
        about = about[0].lower() + about[1:]
    return Problem(
        f"Setting {name} is wrong: {_reason(error)}.",
        f"correct it {_source(name, options, assigned)}. It is: {about}.",
    )


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a number below infinity",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list, or text with commas",
    "dict": "a table, or text with commas",
    "too": "at least one character long",
}
"""What a setting must be, by the first word of the name that pydantic has for what is wrong."""


def _reason(error: ErrorDetails) -> str:
    """What is wrong with a value, which may be a secret, without quoting it."""
    subject = "it" if len(error["loc"]) == 1 else "each part of it"
    bound = error.get("ctx", {})
    match error["type"]:
        case "greater_than":
            return f"{subject} must be above {bound['gt']:g}"
        case "greater_than_equal":
            return f"{subject} must be at least {bound['ge']:g}"
        case "less_than_equal":
            return f"{subject} must be at most {bound['le']:g}"
        case "literal_error":
            return f"{subject} must be {bound['expected']}"
        case kind if (wanted := _KINDS.get(kind.partition("_")[0])) is not None:
            return f"{subject} must be {wanted}"
        case _:
            return error["msg"].removeprefix("Value error, ").rstrip(".")


def _source(name: str, options: dict[str, Any], assigned: dict[str, str]) -> str:
    if name in assigned:
        return f"in --set {name}=VALUE"
    if name in options:
        return f"in --{name.replace('_', '-')}"
    variable = f"{PREFIX}{name}".upper()
    return f"in the environment, {variable}" if variable in os.environ else f"in {config_file()}"


def warn_of_risks(settings: Settings) -> None:
    """Warn of what starts well and surprises later: no key, or one that others can spend with or read."""
    if settings.upstream_key is None and settings.preset.needs_key:
        warn(
            f"no upstream key: each client must bring its own as its API key; or set {settings.preset.key_variable}."
        )
    if settings.upstream_key is not None and not is_loopback(settings.host) and not authenticates(settings):
        warn(
            f"everyone who reaches {settings.host} spends with your key; set {PREFIX}CLIENT_TOKENS to let only "
            "known clients in."
        )
    if exposed := exposed_secrets():
        warn(
            f"others can read {config_file()}, or write it, and it holds {', '.join(exposed)}: chmod 600 it."
        )


def authenticates(settings: Settings) -> bool:
    """Whether clients must show who they are: by a token, or by a certificate."""
    return bool(settings.client_tokens or settings.ssl_ca_certs)
