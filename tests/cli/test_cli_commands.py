"""The command line itself: help, settings and what is wrong with them, ports, risks, doctor, models."""

import json
import os
import socket
import subprocess
import sys
import threading

import click
import httpx
import pytest

from shim import __version__
from shim.cli import server
from shim.cli.checks import findings
from shim.cli.commands import COMMANDS
from shim.cli.hints import Endpoint
from shim.cli.options import read_settings, warn_of_risks
from shim.cli.problem import Problem
from shim.settings import SECRETS, Settings
from shim.simulator import Failure, SimulatorConfig, run_in_thread

KEY = "consumption-key"
SECRET_LINES = (
    'key = "sk-secret"',
    'client_tokens = ["sk-secret-of-more-than-16"]',
    'client_tokens = "sk-secret-of-more-than-16"',
    'seal_key = "sk-secret"',
    'seal_keys_accepted = ["sk-secret"]',
    'ssl_keyfile_password = "sk-secret"\nssl_certfile = "c.pem"',
    'store = "postgresql://me:sk-secret@db.example/x"',
    'store = "postgresql://me:sk-secret/2@db.example/x"',
    'store = "postgresql://db.example/x?user=me&password=sk-secret"',
)
HARMLESS_LINES = (
    "port = 4001",
    "client_tokens = []",
    'seal_key_file = "f"',
    'store = "sqlite:///a:b.db"',
    'store = "sqlite:///a:b@c.db"',
    'store = "postgresql://me@db.example:5432/x"',
)


class TestHelp:
    def test_help_lists_every_command_with_its_line(self, run):
        code, out, _ = run("--help")
        assert code == 0
        for name, (_, line) in COMMANDS.items():
            assert name in out
            assert line in out

    def test_help_imports_no_command(self):
        script = (
            "import sys\nfrom shim.cli.commands import run\n"
            "try: run(['--help'])\nexcept SystemExit: pass\n"
            "heavy = {'pydantic', 'httpx', 'uvicorn', 'starlette', 'rich', 'tomlkit'} & set(sys.modules)\n"
            "sys.exit(f'imported: {heavy}' if heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("name", [name for name in COMMANDS if name != "schemas"])
    def test_each_command_has_help(self, run, name):
        code, out, _ = run(name, "--help")
        assert code == 0
        assert "Usage: grid-shim " + name in out

    def test_serve_help_has_the_settings_own_words(self, run):
        _, out, _ = run("serve", "--help")
        said = " ".join(out.split())
        for name in ("host", "port", "upstream", "default_model", "store"):
            assert Settings.model_fields[name].description in said

    def test_version(self, run):
        assert run("--version")[1].strip() == f"grid-shim {__version__}"

    def test_an_unknown_command_is_a_usage_error(self, run):
        code, _, err = run("sevre")
        assert code == 2
        assert "No such command" in err


class TestSettings:
    def test_options_win_over_the_environment_and_that_over_the_file(self, tmp_path, monkeypatch):
        file = tmp_path / "shim.toml"
        file.write_text('port = 1\nstore = "off"\nprofile = "vllm"\n')
        monkeypatch.setenv("GRID_SHIM_PORT", "2")
        monkeypatch.setenv("GRID_SHIM_PROFILE", "ollama")
        monkeypatch.setenv("GRID_SHIM_CONFIG", "")
        settings = read_settings(config=file, port="3")
        assert (settings.port, settings.profile, settings.store) == (3, "ollama", "off")

    def test_set_reaches_any_setting(self):
        settings = read_settings(assignments=("retry_attempts=2", "aliases=gpt-*=code-max"))
        assert settings.retry_attempts == 2
        assert settings.aliases == {"gpt-*": "code-max"}

    @pytest.mark.parametrize("value", ["inf", "nan"])
    @pytest.mark.parametrize("name", ["body_seconds", "idle_seconds", "drain_seconds"])
    def test_no_time_is_infinite_or_no_number(self, name, value):
        with pytest.raises(Problem, match=f"Setting {name} is wrong: it must be"):
            read_settings(assignments=(f"{name}={value}",))

    def test_the_fix_names_what_can_be_written(self):
        with pytest.raises(Problem) as caught:
            read_settings(assignments=("max_tools=0",))
        assert caught.value.fix.startswith("correct it in --set max_tools=VALUE.")

    @pytest.mark.parametrize(
        ("arguments", "environment", "said", "fix"),
        [
            (["--port", "many"], {}, "Setting port is wrong: it must be a whole number.", "in --port."),
            (
                ["--set", "max_tools=0"],
                {},
                "it must be above 0.",
                "in --set max_tools=VALUE. It is: tools of",
            ),
            (["--set", "max_json_depth=191"], {}, "it must be at most 190.", "--set max_json_depth"),
            (["--set", "drain_seconds=-1"], {}, "it must be at least 0.", "--set drain_seconds"),
            (["--set", "drain_seconds=abc"], {}, "it must be a number.", "--set drain_seconds"),
            (["--set", "obfuscation=often"], {}, "it must be true or false.", "--set obfuscation"),
            (["--log-format", "xml"], {}, "it must be 'text' or 'json'.", "in --log-format. It is: how"),
            (["--set", "seal_key="], {}, "it must be at least one character long.", "--set seal_key"),
            (["--set", "ssl_keyfile=k"], {}, "it needs an ssl_certfile.", "It is: PEM file"),
            (["--profile", "grit"], {}, "unknown profile 'grit'", "--profile"),
            (["--set", "prot=1"], {}, "unknown setting, prot", "did you mean port?"),
            (["--set", "port"], {}, "--set port has no value", "--set port=VALUE"),
            (["--set", "zzz=1"], {}, "unknown setting, zzz", "one of: host, port"),
            ([], {"GRID_SHIM_PORT": "-1"}, "Setting port is wrong", "GRID_SHIM_PORT"),
            ([], {"GRID_SHIM_ALIASES": "gpt"}, "write aliases as name=instrument", "GRID_SHIM_ALIASES"),
            (
                [],
                {"GRID_SHIM_CONFIG": "absent.toml"},
                "absent.toml, which is no file",
                "drop GRID_SHIM_CONFIG",
            ),
        ],
    )
    def test_a_wrong_setting_is_named_with_its_source_and_fix(
        self, run, monkeypatch, arguments, environment, said, fix
    ):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code, _, err = run("serve", *arguments)
        assert code == 1
        assert said in err
        assert "Fix: " in err
        assert fix in err
        assert "Traceback" not in err
        assert len(err.strip().splitlines()) == 2

    @pytest.mark.parametrize(
        ("text", "said", "fix"),
        [
            ("port = 'x'", "Setting port is wrong", "shim.toml"),
            ("seal_keys_accepted = 5", "it must be a list, or text with commas.", "shim.toml"),
            (
                "seal_keys_accepted = ['']",
                "each part of it must be at least one character long.",
                "shim.toml",
            ),
            ("allowed_hosts = [5]", "each part of it must be text.", "shim.toml"),
            ("aliases = 5", "it must be a table, or text with commas.", "shim.toml"),
            ("prot = 1", "unknown setting, prot", "did you mean port?"),
            ("port = ", "is not valid TOML", "mend that line"),
            ("\udcff", "is not valid TOML", "mend that line"),
        ],
    )
    def test_a_wrong_file_is_named(self, run, tmp_path, monkeypatch, text, said, fix):
        monkeypatch.setenv("GRID_SHIM_CONFIG", "")
        file = tmp_path / "shim.toml"
        file.write_bytes(text.encode(errors="surrogateescape"))
        code, _, err = run("serve", "--config", file)
        assert code == 1
        assert said in err
        assert fix in err

    def test_an_unexpected_error_is_one_sentence_and_debug_shows_more(self, run, monkeypatch):
        def broken(**_):
            raise RuntimeError("the sky\nfell")

        monkeypatch.setattr("shim.cli.models.read_settings", broken)
        code, _, err = run("models")
        assert code == 1
        assert "Unexpected RuntimeError: the sky fell." in err
        assert "--debug" in err
        assert "Traceback" not in err
        assert "Traceback" in run("--debug", "models")[2]


class TestServe:
    def test_a_taken_port_is_one_sentence(self, run):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            code, _, err = run("serve", "--port", taken.getsockname()[1], "--set", "key=k")
        assert code == 1
        assert "is already in use" in err
        assert "--port" in err
        assert len(err.strip().splitlines()) == 2

    @pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
    def test_an_address_that_is_not_ours_is_one_sentence(self, run, host):
        code, _, err = run("serve", "--host", host, "--port", "0")
        assert code == 1
        assert f"Cannot listen on {host}" in err

    def test_client_tokens_without_a_key_are_refused(self, run):
        code, _, err = run("serve", "--port", "0", "--set", "client_tokens=token-number-one")
        assert code == 1
        assert "THEGRID_API_KEY" in err

    def test_a_base_url_that_cannot_be_used_is_one_sentence(self, run):
        code, _, err = run("serve", "--port", "0", "--upstream", "ftp://x")
        assert code == 1
        assert "base URL must begin with https://" in err
        assert len(err.strip().splitlines()) <= 3

    @pytest.mark.parametrize("store", ["postgresql://u:secret@127.0.0.1:1/x", "sqlite:////proc/nope/x.db"])
    def test_a_store_that_cannot_be_opened_is_one_sentence_before_anything_is_announced(self, run, store):
        if store.startswith("postgresql"):
            pytest.importorskip("asyncpg")
        code, out, err = run("serve", "--port", "0", "--set", "key=k", "--store", store)
        assert code == 1
        assert out == ""
        assert "Fix: see the setting store" in err
        assert "Traceback" not in err
        assert "secret" not in err

    def test_a_store_that_cannot_be_opened_is_told_by_an_endpoint_on_a_thread(self):
        settings = read_settings(key="k", store="sqlite:////proc/nope/x.db")
        with (
            pytest.raises(Problem, match="cannot be opened"),
            server.in_thread(settings, server.bind("127.0.0.1", 0)),
        ):
            pytest.fail("it started")

    def test_it_prints_what_to_paste_and_serves(self, grid):
        command = [sys.executable, "-c", "from shim.cli import main; main()", "serve", "--port", "0"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            [*command, "--upstream", grid.base_url, "--set", "key=k"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            timer = threading.Timer(60, process.kill)
            timer.start()
            base_url = process.stdout.readline().split()[3]
            body = httpx.get(f"{base_url}/models").json()
            process.terminate()
            out, err = process.stdout.read(), process.stderr.read()
            timer.cancel()
        assert body["object"] == "list"
        assert 'model_provider = "grid"' in out
        assert f'base_url = "{base_url}"' in out
        assert "OPENAI_BASE_URL=" in out
        assert "Traceback" not in err

    def test_no_key_is_one_warning(self, capsys):
        warn_of_risks(read_settings())
        warned = capsys.readouterr().err
        assert "THEGRID_API_KEY" in warned
        assert len(warned.splitlines()) == 1

    def test_a_key_open_to_the_network_is_one_warning(self, capsys):
        warn_of_risks(read_settings(key="k", host="0.0.0.0"))
        assert "GRID_SHIM_CLIENT_TOKENS" in capsys.readouterr().err

    @pytest.mark.skipif(os.name != "posix", reason="files have no such modes")
    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o711, 0o640, 0o604, 0o620, 0o602, 0o644])
    @pytest.mark.parametrize("line", [*SECRET_LINES, *HARMLESS_LINES])
    def test_a_file_of_secrets_that_others_can_read_is_one_warning(
        self, monkeypatch, tmp_path, capsys, line, mode
    ):
        file = tmp_path / "config.toml"
        file.write_text(f'profile = "ollama"\n{line}\n')
        file.chmod(mode)
        monkeypatch.setenv("GRID_SHIM_CONFIG", str(file))
        warn_of_risks(read_settings())
        warned = capsys.readouterr().err
        if line in SECRET_LINES and mode & 0o066:
            assert len(warned.splitlines()) == 1
            assert str(file) in warned
            assert "chmod 600" in warned
            assert line.partition(" ")[0] in warned
            assert "sk-secret" not in warned
        else:
            assert warned == ""

    def test_every_secret_is_among_those_that_are_warned_of(self):
        kept = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
        assert kept == set(SECRETS)

    def test_a_usual_set_up_warns_of_nothing(self, capsys):
        warn_of_risks(read_settings(key="k"))
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize(
        ("host", "expected"),
        [("0.0.0.0", "http://127.0.0.1:1/v1"), ("::1", "http://[::1]:1/v1"), ("::", "http://[::1]:1/v1")],
    )
    def test_the_url_shown_is_one_that_works_here(self, host, expected):
        assert server.url_of(host, 1) == expected


class TestHints:
    def test_the_endpoint_with_a_key_takes_a_placeholder(self):
        hint = Endpoint.of(read_settings(key="secret-key"), "http://h/v1")
        assert "experimental_bearer_token" in hint.codex_toml
        assert "secret-key" not in hint.text()

    def test_without_a_key_the_client_brings_its_own(self):
        hint = Endpoint.of(read_settings(), "http://h/v1")
        assert 'env_key = "THEGRID_API_KEY"' in hint.codex_toml
        assert "$THEGRID_API_KEY" in hint.sdk_environment


class TestDoctor:
    async def report(self, config, **options):
        with run_in_thread(config) as grid:
            settings = read_settings(upstream=grid.base_url, retry_attempts=1, **options)
            return {finding.name: finding async for finding in findings(settings)}

    async def test_all_is_well(self):
        found = await self.report(SimulatorConfig(), key=KEY)
        assert {name: finding.good for name, finding in found.items()} == dict.fromkeys(
            ["key", "base URL", "models", "streamed call", "redirect", "tool call", "schema call"], True
        )
        assert "307" in found["redirect"].detail

    async def test_a_missing_key(self):
        found = await self.report(SimulatorConfig())
        assert not found["key"].good
        assert "THEGRID_API_KEY" in found["key"].fix
        assert not found["tool call"].good

    async def test_a_trading_key(self):
        found = await self.report(SimulatorConfig(), key="trading-key")
        assert found["models"].good
        assert "Consumption" in found["streamed call"].fix

    async def test_no_credit(self):
        found = await self.report(SimulatorConfig(always_fail=Failure(402)), key=KEY)
        assert "credit" in found["streamed call"].fix

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ftp://x"])
    def test_an_upstream_that_is_not_there(self, run, url):
        code, out, err = run("doctor", "--upstream", url, "--set", "key=k", "--set", "retry_attempts=1")
        assert code == 1
        assert "✗" in out
        assert "Fix: " in out
        assert "Traceback" not in out + err

    def test_exit_code_0_when_all_is_green(self, run, grid):
        code, out, _ = run("doctor", "--upstream", grid.base_url, "--set", "key=k")
        assert code == 0
        assert "✗" not in out


class TestModels:
    def test_a_table(self, run, grid):
        code, out, err = run("models", "--upstream", grid.base_url)
        assert (code, err) == (0, "")
        assert "code-prime *" in out
        assert "196,608" in out
        assert max(map(len, out.splitlines())) <= 80

    def test_json(self, run, grid):
        body = json.loads(run("models", "--json", "--upstream", grid.base_url)[1])
        assert "code-prime" in [entry["id"] for entry in body["data"]]

    def test_the_built_in_list_is_said_to_be_one(self, run):
        code, out, err = run("models", "--upstream", "http://127.0.0.1:9")
        assert code == 0
        assert "built-in list" in err
        assert "code-prime" in out


def test_a_problem_shows_sentence_and_fix(capsys):
    with pytest.raises(click.ClickException) as raised:
        raise Problem("It is so.", "do this.")
    raised.value.show()
    assert capsys.readouterr().err == "grid-shim: It is so.\n  Fix: do this.\n"
