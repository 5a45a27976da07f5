"""Every setting once: its name, type, default and what it is for.

Each comes from the command line, the environment (`GRID_SHIM_<NAME>`), a TOML file or the default, in this
order. The environment is read here and nowhere else. Those that are limits stand in `shim.limits`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from shim.core.profile import PRESETS, Profile
from shim.hosts import normalised
from shim.limits import Limits

PREFIX = "GRID_SHIM_"
CONFIG_FILE_VARIABLE = "GRID_SHIM_CONFIG"

STORES = ("sqlite", "memory", "off")
STORE_SCHEMES = ("sqlite", "postgresql", "postgres")

SHORTEST_TOKEN = 16
"""Characters of a client token: what a person makes up in fewer can be guessed over the network."""

SECRETS = ("key", "client_tokens", "ssl_keyfile_password", "seal_key", "seal_keys_accepted")
"""Settings that are never shown; `store` may hold one, too."""

_OTHERS = 0o066
_PASSWORD = re.compile("://[^@]*:[^@]+@|[?&](ssl)?password=")
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]+")
_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://(\*|[^/?#*\s]*)")


def config_file() -> Path:
    """The TOML file that is read, if it exists: `GRID_SHIM_CONFIG`, else the user's config folder."""
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_config_dir("grid-shim")) / "config.toml"


def data_directory() -> Path:
    """Where the shim keeps what must outlive it, such as the key that seals reasoning."""
    return Path(platformdirs.user_data_dir("grid-shim"))


class Settings(Limits):
    """The shim's configuration; immutable once made."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,  # timers take no such number
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(4000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        1, ge=1, le=256, description="Processes that serve; limits of one process hold for each of them."
    )
    upstream: str | None = Field(None, description="Base URL of the upstream; the profile's own by default.")
    key: SecretStr | None = Field(
        None,
        description="The upstream's key; by default from the profile's own variable (THEGRID_API_KEY). "
        "It serves every client; without it each client's own key passes through.",
    )
    profile: str = Field("grid", description="What the upstream accepts: " + ", ".join(PRESETS) + ".")
    default_model: str | None = Field(
        None, description="What aliases stand for; the profile's own by default."
    )
    aliases: dict[str, str] = Field(
        default_factory=dict,
        description='Model names that stand for others, exact or glob: JSON or "gpt-*=code-max,o3=agent-max".',
    )
    keepalive_seconds: float = Field(
        15.0, ge=0, description="Silence after which a stream repeats response.in_progress; 0 never does."
    )
    websocket: bool = Field(
        default=True, description="Serve WebSockets on /v1/responses; else they are refused with 426 at once."
    )
    store: str = Field(
        "sqlite",
        repr=False,  # a URL may hold a password
        description="Where responses are kept: sqlite (a file in the user's data folder), memory, off, or a URL: "
        "sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME.",
    )
    store_upgrade: bool = Field(
        default=False,
        description="Upgrade a PostgreSQL's schema at start; else `grid-shim db upgrade` does. SQLite's always is.",
    )
    store_connections: int = Field(
        10, ge=1, le=1000, description="Most connections to PostgreSQL of one process."
    )
    retention_days: int = Field(
        30, ge=0, description="Days after which a purge deletes what is stored; 0 keeps it for ever."
    )
    drain_seconds: float = Field(
        5.0, ge=0, description="Time that requests and streams get to end when the process is stopped."
    )
    background_lease_seconds: int = Field(
        15,
        ge=1,
        description="Time after which another replica takes the background responses of one that fell silent.",
    )
    background_drain_seconds: float = Field(
        10.0, ge=0, description="Time that background responses get to end when the process is stopped."
    )
    client_tokens: tuple[SecretStr, ...] = Field(
        (),
        description="Tokens of at least 16 characters, separated by commas, of which clients must present one; "
        "empty lets every client in.",
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Listen beyond loopback without client tokens, which is refused otherwise, as whoever reaches the "
        "address could spend with the key: for those behind a proxy that authenticates.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Host names, separated by commas, under which clients may ask, besides this machine's own: exact, "
        "*.suffix or * for any. With client tokens and none named, any.",
    )
    allowed_origins: tuple[str, ...] = Field(
        (),
        description="Origins of the web pages and apps, separated by commas, that may ask and read (CORS): "
        "https://app.example, vscode-webview://*, null, or * for any.",
    )
    ssl_certfile: str | None = Field(
        None, description="PEM file of a certificate with its chain; with it the endpoint serves https."
    )
    ssl_keyfile: str | None = Field(
        None, description="PEM file of the certificate's key; by default it is in the same file."
    )
    ssl_keyfile_password: SecretStr | None = Field(None, description="What the key file is encrypted with.")
    ssl_ca_certs: str | None = Field(
        None,
        description="PEM file of authorities; with it clients must present a certificate of one of them.",
    )
    trusted_hosts: tuple[str, ...] = Field(
        (), description="Further hosts, separated by commas, to which a redirect may carry the key."
    )
    reasoning_output: Literal["auto", "summary", "content"] = Field(
        "auto", description="Where reasoning appears: auto puts it in summary if the client asked for one."
    )
    reasoning_replay: Literal["turn", "all", "none"] = Field(
        "turn", description="Which reasoning goes back upstream: that of the current tool loop, all, or none."
    )
    midway_system: Literal["auto", "tagged", "system"] = Field(
        "auto", description="Later system messages: as the profile says, as tagged user text, or as they are."
    )
    obfuscation: bool = Field(
        default=True, description="Pad deltas with random text, as the real API does by default."
    )
    seal_key: SecretStr | None = Field(
        None,
        min_length=1,
        description="Secret that seals encrypted_content and tells owners apart; by default the first of seal_key_file.",
    )
    seal_keys_accepted: tuple[Annotated[SecretStr, Field(min_length=1)], ...] = Field(
        (),
        description="Further secrets, separated by commas, the newest first: what they sealed opens, but they seal nothing.",
    )
    seal_key_file: str | None = Field(
        None,
        description="File of such secrets, one a line, of at least 32 characters: the first seals, all open. By default "
        "seal.key in the user's data folder, which is made if there is none.",
    )
    retry_attempts: int = Field(
        4, ge=1, le=20, description="Attempts at one upstream request, the first included."
    )
    retry_seconds: float = Field(30.0, ge=0, description="Time that all waits between attempts may take.")
    catalog_seconds: float = Field(300.0, ge=0, description="How long the list of instruments is kept.")
    log_format: Literal["text", "json"] = Field("text", description="How a request is logged.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    def __init__(self, **given: Any) -> None:
        """Read every source; what is given, as on the command line, goes before the environment, and that before the file.

        Raises:
            ValidationError: A setting is unknown or wrong.
            TOMLDecodeError, UnicodeDecodeError, OSError: The file cannot be read.
        """
        super().__init__(**{**_filed(), **_exported(type(self).model_fields), **given})

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, name: str) -> str:
        if name not in PRESETS:
            raise ValueError(f"unknown profile {name!r}; one of {', '.join(PRESETS)}")
        return name

    @field_validator("store")
    @classmethod
    def _known_store(cls, store: str) -> str:
        scheme = store.partition("://")[0].partition("+")[0]
        if store not in STORES and ("://" not in store or scheme not in STORE_SCHEMES):
            raise ValueError(
                "write sqlite, memory, off, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
            )
        return store

    @field_validator("aliases", mode="before")
    @classmethod
    def _read_aliases(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("{"):
            return json.loads(value)
        pairs = [pair.split("=", 1) for pair in _split(value)]
        if any(len(pair) == 1 for pair in pairs):
            raise ValueError("write aliases as name=instrument, separated by commas")
        return {name.strip(): model.strip() for name, model in pairs}

    @field_validator(
        "client_tokens",
        "allowed_hosts",
        "allowed_origins",
        "trusted_hosts",
        "seal_keys_accepted",
        mode="before",
    )
    @classmethod
    def _read_list(cls, value: Any) -> Any:
        return _split(value) if isinstance(value, str) else value

    @field_validator("client_tokens", mode="before")
    @classmethod
    def _some_token(cls, value: Any) -> Any:
        if isinstance(value, str) and value and not _split(value):
            raise ValueError("there is no token in it")
        return value

    @field_validator("client_tokens")
    @classmethod
    def _long_tokens(cls, tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(token.get_secret_value()) < SHORTEST_TOKEN for token in tokens):
            raise ValueError(
                f"a token needs at least {SHORTEST_TOKEN} characters; openssl rand -hex 24 makes one"
            )
        return tokens

    @field_validator("allowed_hosts")
    @classmethod
    def _readable_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(map(normalised, hosts))
        for name in names:
            if not _HOST.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no host; write name, address or *.suffix, without scheme and port"
                )
        return names

    @field_validator("allowed_origins")
    @classmethod
    def _readable_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(origin.lower() for origin in origins)
        for name in names:
            if not _ORIGIN.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no origin; write scheme://host or scheme://host:port, without a path"
                )
        return names

    @field_validator("ssl_keyfile", "ssl_keyfile_password", "ssl_ca_certs")
    @classmethod
    def _with_certificate(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("ssl_certfile") is None:
            raise ValueError("it needs an ssl_certfile")
        return value

    @classmethod
    def names(cls) -> list[str]:
        """Every setting as people read them: those that are limits last."""
        return sorted(cls.model_fields, key=lambda name: name in Limits.model_fields)

    @property
    def upstream_key(self) -> SecretStr | None:
        """The key that serves every client. Another upstream's variable is never read."""
        if self.key is not None:
            return self.key
        value = os.environ.get(self.preset.key_variable)
        return SecretStr(value) if value else None

    @property
    def tokens(self) -> tuple[bytes, ...]:
        """The clients' tokens as they are sent; the environment may hold any bytes."""
        return tuple(
            token.get_secret_value().encode(errors="surrogateescape") for token in self.client_tokens
        )

    @property
    def scheme(self) -> str:
        """How the endpoint is reached."""
        return "https" if self.ssl_certfile else "http"

    @property
    def preset(self) -> Profile:
        """The profile by its name."""
        return PRESETS[self.profile]

    @property
    def base_url(self) -> str:
        """The upstream's base URL as configured, not yet normalised."""
        return self.upstream or self.preset.base_url

    @property
    def model(self) -> str | None:
        """What aliases stand for."""
        return self.default_model or self.preset.default_model


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def exposed_secrets() -> list[str]:
    """The secrets in the TOML file, by the settings' names, if others than its owner can read or write it (POSIX only)."""
    file = config_file()
    if not (file.is_file() and is_open_to_others(file)):
        return []
    return [
        name for name, value in _filed().items() if value and (name in SECRETS or _has_password(name, value))
    ]


def is_open_to_others(file: Path) -> bool:
    """Whether others than its owner can read a file, or write it (POSIX only)."""
    return os.name == "posix" and bool(file.stat().st_mode & _OTHERS)


def _has_password(name: str, value: Any) -> bool:
    return name == "store" and not str(value).startswith("sqlite") and bool(_PASSWORD.search(str(value)))


def _filed() -> dict[str, Any]:
    """What the TOML file says, if there is one."""
    file = config_file()
    if not file.is_file():
        return {}
    import tomllib  # noqa: PLC0415 -- half a megabyte, and most have no such file

    return tomllib.loads(file.read_text(encoding="utf-8"))


def _exported(names: Iterable[str]) -> dict[str, str]:
    """What the environment says, in capitals or not; an empty variable says nothing."""
    exported = {name.upper(): value for name, value in os.environ.items() if value}
    found = {name: exported.get(f"{PREFIX}{name}".upper()) for name in names}
    return {name: value for name, value in found.items() if value is not None}
