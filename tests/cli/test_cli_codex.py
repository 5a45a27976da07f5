"""`grid-shim codex`, its parts by themselves and then with the real Codex; and our catalogue in the real Codex."""

import json
import os
import stat
import tomllib

import pytest
from scripted import scripted

from shim.cli.codex import PROVIDER, TOKEN_VARIABLE, Session, answers
from shim.cli.codex_link import (
    PROFILE_FILES_SINCE,
    catalogue,
    codex_version,
    embedded_mode,
    inline,
    overrides,
)
from shim.core.agent_prompt import AGENT_PROMPT
from shim.core.codex import models_body
from shim.core.profile import Instrument
from shim.upstream.catalog import GRID_FALLBACK

INSTRUMENTS = GRID_FALLBACK.instruments
NOTICE = "Reading additional input from stdin..."


def parsed(arguments):
    """`-c` overrides as Codex reads them."""
    assert arguments[::2] == ["-c"] * (len(arguments) // 2)
    return tomllib.loads("\n".join(arguments[1::2]))


class TestSession:
    def test_the_overrides_are_valid_toml_and_complete(self, tmp_path):
        file = tmp_path / 'odd "name' / "models.json"
        assert parsed(Session("http://h:1/v1", "code-max", file).arguments) == {
            "model": "code-max",
            "model_provider": PROVIDER,
            "web_search": "disabled",
            "model_catalog_json": str(file),
            "model_providers": {
                PROVIDER: {
                    "name": "The Grid",
                    "base_url": "http://h:1/v1",
                    "wire_api": "responses",
                    "env_key": TOKEN_VARIABLE,
                }
            },
        }

    def test_inline_values(self):
        assert inline({"a": "x\\y", "b": True, "c": {"d": 1}}) == '{a = "x\\\\y", b = true, c = {d = 1}}'
        assert overrides({"a": "b"}) == ["-c", 'a="b"']

    @pytest.mark.parametrize(
        ("version", "arguments", "expected"),
        [
            ((0, 169, 0), ["exec"], ["--no-daemon"]),
            ((0, 169, 0), ["--no-daemon"], []),
            ((0, 142, 0), [], []),
            (None, [], []),
        ],
    )
    def test_newer_versions_are_told_to_do_without_their_server(self, version, arguments, expected):
        assert embedded_mode(version, arguments) == expected


class TestCatalogue:
    def test_an_alias_gets_the_limits_of_what_it_stands_for(self):
        last = catalogue(INSTRUMENTS, "gpt-5.5", "code-max")["models"][-1]
        assert (last["slug"], last["context_window"]) == ("gpt-5.5", 1_000_000)

    def test_a_listed_model_is_not_repeated(self):
        assert len(catalogue(INSTRUMENTS, "code-max", None)["models"]) == len(INSTRUMENTS)

    @pytest.mark.parametrize(("version", "known"), [((0, 120, 0), False), ((0, 142, 0), True), (None, True)])
    def test_old_versions_are_spared_the_efforts_they_refuse(self, version, known):
        models = catalogue([Instrument("m", efforts=("low", "xhigh", "max"))], "m", None, version)["models"]
        assert ("max" in [level["effort"] for level in models[0]["supported_reasoning_levels"]]) == known


@pytest.fixture
def fake_codex(tmp_path, monkeypatch):
    """A `codex` on the PATH that writes down how it was called and exits with 7."""
    folder = tmp_path / "bin"
    folder.mkdir()
    said = tmp_path / "said.json"
    file = folder / "codex"
    file.write_text(
        "#!/usr/bin/env python3\nimport json, os, sys, urllib.request\nfrom pathlib import Path\n"
        "if '--version' in sys.argv: print('codex-cli 0.169.0'); sys.exit()\n"
        "import tomllib\n"
        "given = tomllib.loads('\\n'.join(a for b, a in zip(sys.argv, sys.argv[1:]) if b == '-c'))\n"
        "url = given['model_providers']['grid_shim']['base_url']\n"
        "with urllib.request.urlopen(url + '/models') as listed: models = json.load(listed)\n"
        f"Path({str(said)!r}).write_text(json.dumps({{'arguments': sys.argv[1:], 'token': os.environ['{TOKEN_VARIABLE}'],\n"
        "  'key': os.environ.get('THEGRID_API_KEY'), 'models': models,\n"
        "  'catalogue': json.loads(Path(given['model_catalog_json']).read_text())}))\n"
        "sys.exit(7)\n"
    )
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return lambda: json.loads(said.read_text())


class TestLauncher:
    def test_it_starts_the_endpoint_passes_arguments_and_returns_the_exit_code(self, run, grid, fake_codex):
        options = ["--upstream", grid.base_url, "--port", "0", "--set", "key=k"]
        code, _, err = run("codex", *options, "--", "exec", "--json", "-c", 'x="y"', "hi")
        assert (code, err) == (7, "")
        said = fake_codex()
        assert said["arguments"][-5:] == ["exec", "--json", "-c", 'x="y"', "hi"]
        assert said["token"] == "grid-shim"
        assert {entry["slug"] for entry in said["catalogue"]["models"]} >= {"code-prime", "code-max"}
        assert said["models"]["object"] == "list"

    def test_arguments_need_no_dashes(self, run, grid, fake_codex):
        run(
            "codex",
            "--upstream",
            grid.base_url,
            "--port",
            "0",
            "--set",
            "key=k",
            "-m",
            "o3",
            "exec",
            "-m",
            "x",
        )
        said = fake_codex()
        assert said["arguments"][-3:] == ["exec", "-m", "x"]
        assert 'model="o3"' in said["arguments"]
        assert said["catalogue"]["models"][-1]["slug"] == "o3"

    def test_it_uses_an_endpoint_that_already_answers(self, run, grid, fake_codex):
        with scripted(models_body(INSTRUMENTS)) as endpoint:
            port = endpoint.base_url.split(":")[-1].split("/")[0]
            code, _, err = run("codex", "--upstream", grid.base_url, "--port", port)
        assert code == 7
        assert "using the endpoint on" in err
        assert fake_codex()["models"] == json.loads(json.dumps(models_body(INSTRUMENTS)))

    def test_no_codex_is_one_sentence(self, run, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        code, _, err = run("codex")
        assert code == 1
        assert "npm install -g @openai/codex" in err

    def test_no_key_is_one_sentence(self, run, grid, fake_codex):
        code, _, err = run("codex", "--upstream", grid.base_url, "--port", "0")
        assert code == 1
        assert "THEGRID_API_KEY" in err

    def test_another_program_on_the_port_is_not_taken_for_ours(self):
        with scripted({"object": "list", "data": []}) as other:
            assert not answers(other.base_url, "t")
        assert not answers("http://127.0.0.1:9/v1", "t")


def tools(request):
    return [tool.get("name", tool["type"]) for tool in request["tools"]]


def problems(done):
    """Whatever the real Codex complained of."""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    warned = [event["item"] for event in events if event.get("item", {}).get("type") == "error"]
    return warned + [line for line in done.stderr.splitlines() if line.strip() and line != NOTICE]


@pytest.mark.e2e
class TestRealCodex:
    def test_it_accepts_the_catalogue_and_asks_as_wanted(self, codex, codex_binary, codex_home):
        if codex_version(codex_binary) < (0, 169, 0):
            pytest.skip("this Codex does not read model_catalog_url by default")
        with scripted(models_body(INSTRUMENTS)) as endpoint:
            (codex_home / "config.toml").write_text(
                f'model = "code-prime"\nmodel_provider = "grid"\nweb_search = "disabled"\n'
                f'[model_providers.grid]\nname = "The Grid"\nbase_url = "{endpoint.base_url}"\n'
                f'experimental_bearer_token = "t"\nmodel_catalog_url = "{endpoint.base_url}/models"\n'
            )
            done = codex()
        assert done.returncode == 0, done.stderr
        assert problems(done) == []
        [request] = endpoint.requests
        assert {"exec_command", "write_stdin", "apply_patch", "view_image"} <= set(tools(request))
        assert not [name for name in tools(request) if "agent" in name or "search" in name]
        assert request["reasoning"] == {"effort": "medium", "summary": "auto"}
        assert AGENT_PROMPT.strip() in json.dumps(request, ensure_ascii=False).encode().decode(
            "unicode_escape"
        )

    @pytest.mark.parametrize("model", ["text-standard", "code-max", "claude-opus-latest"])
    def test_every_kind_of_instrument_is_known_to_it(self, codex, codex_binary, tmp_path, monkeypatch, model):
        file = tmp_path / "models.json"
        file.write_text(json.dumps(catalogue(INSTRUMENTS, model, None, codex_version(codex_binary))))
        monkeypatch.setenv(TOKEN_VARIABLE, "t")
        with scripted({}) as endpoint:
            done = codex(*Session(endpoint.base_url, model, file).arguments)
        assert done.returncode == 0, done.stderr
        assert problems(done) == []
        assert endpoint.requests[0]["model"] == model
        assert endpoint.requests[0]["_authorization"] == "Bearer t"

    def test_the_profile_that_setup_writes_works(self, codex, codex_binary, run, grid, codex_home):
        if codex_version(codex_binary) < PROFILE_FILES_SINCE:
            pytest.skip("this Codex knows no profile files")
        with scripted({}) as endpoint:
            port = endpoint.base_url.split(":")[-1].split("/")[0]
            (codex_home / "config.toml").write_text('model = "gpt-5.5"\n')
            run("setup", "codex", "--upstream", grid.base_url, "--set", "key=k", "--port", port)
            done = codex("--profile", "grid")
        assert done.returncode == 0, done.stderr
        assert problems(done) == []
        assert endpoint.requests[0]["model"] == "code-prime"
        assert "apply_patch" in tools(endpoint.requests[0])

    def test_grid_shim_codex_from_end_to_end(
        self, codex_binary, run, grid, codex_home, tmp_path, monkeypatch
    ):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "codex").symlink_to(os.path.realpath(codex_binary))
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.chdir(tmp_path / "work")
        freedom = ["-c", 'approval_policy="never"', "-c", 'sandbox_mode="danger-full-access"']
        prompt = 'call exec_command {"cmd": "echo made > made.txt"}'
        options = ["--upstream", grid.base_url, "--port", "0", "--set", "key=k"]
        code, out, err = run(
            "codex", *options, "--", *freedom, "exec", "--skip-git-repo-check", "--json", prompt
        )
        assert code == 0, out + err
        assert [line for line in err.splitlines() if line.strip() and line != NOTICE] == []
        assert not [line for line in out.splitlines() if '"type":"error"' in line]
        assert (tmp_path / "work" / "made.txt").read_text() == "made\n"
        assert not [file for file in codex_home.glob("*.toml") if "model_provider" in file.read_text()]

    def test_its_version_is_read(self, codex_binary):
        assert codex_version(codex_binary) > (0, 80, 0)
