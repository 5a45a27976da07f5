"""`setup codex`: files of the user's are changed only as said, and given back."""

import json
import tomllib

import pytest

from shim.cli.codex_config import CATALOGUE_FILE, CONFIG, PROFILE_FILE, codex_home
from shim.cli.traps import traps

USERS = '# my Codex\nmodel = "gpt-5.5"  # the usual\n\n[tui]\ntheme = "dark"\n'
BASE_URL = "http://127.0.0.1:4000/v1"


@pytest.fixture(autouse=True)
def no_codex(monkeypatch):
    """Whatever Codex is installed here, if any, takes no part."""
    monkeypatch.setattr("shim.cli.setup.codex_version", lambda _: None)


@pytest.fixture
def set_up(run, grid, codex_home):
    def call(*options):
        return run("setup", "codex", "--upstream", grid.base_url, "--set", "key=secret-key", *options)

    return call


def files(home):
    return {file.name: file.read_bytes() for file in home.iterdir()}


def test_it_writes_provider_profile_and_catalogue(set_up, codex_home):
    (codex_home / CONFIG).write_text(USERS)
    code, out, err = set_up()
    assert (code, err) == (0, "")
    assert "codex --profile grid" in out
    config = (codex_home / CONFIG).read_text()
    assert config.startswith(USERS)
    assert tomllib.loads(config)["model_providers"]["grid"] == {
        "name": "The Grid",
        "base_url": BASE_URL,
        "wire_api": "responses",
        "experimental_bearer_token": "grid-shim",
    }
    profile = tomllib.loads((codex_home / PROFILE_FILE).read_text())
    assert profile == {
        "model": "code-prime",
        "model_provider": "grid",
        "web_search": "disabled",
        "model_catalog_json": str(codex_home / CATALOGUE_FILE),
    }
    slugs = [entry["slug"] for entry in json.loads((codex_home / CATALOGUE_FILE).read_text())["models"]]
    assert "code-prime" in slugs
    assert all("secret-key" not in text.decode() for text in files(codex_home).values())


@pytest.mark.parametrize("before", [None, "", USERS, USERS.replace("\n", "\r\n")])
@pytest.mark.parametrize("options", [(), ("--default",)])
def test_undo_leaves_the_folder_as_it_was(set_up, run, codex_home, before, options):
    if before is not None:
        (codex_home / CONFIG).write_bytes(before.encode())
    original = files(codex_home)
    set_up(*options)
    assert files(codex_home) != original
    assert run("setup", "codex", "--undo")[0] == 0
    assert files(codex_home) == original


def test_a_second_time_changes_nothing(set_up, codex_home):
    (codex_home / CONFIG).write_text(USERS)
    set_up()
    once = files(codex_home)
    code, out, _ = set_up()
    assert code == 0
    assert "Nothing to change." in out
    assert files(codex_home) == once


def test_setting_up_differently_can_still_be_undone(set_up, run, codex_home):
    (codex_home / CONFIG).write_text(USERS)
    set_up("--default", "--port", "4001")
    set_up("--model", "code-max")
    assert tomllib.loads((codex_home / CONFIG).read_text())["model"] == "gpt-5.5"
    assert tomllib.loads((codex_home / PROFILE_FILE).read_text())["model"] == "code-max"
    run("setup", "codex", "--undo")
    assert files(codex_home) == {CONFIG: USERS.encode()}


def test_undo_keeps_later_edits(set_up, run, codex_home):
    (codex_home / CONFIG).write_text(USERS)
    set_up("--default")
    edited = (codex_home / CONFIG).read_text().replace("code-prime", "code-max") + "\n[mine]\nlater = 1\n"
    (codex_home / CONFIG).write_text(edited)
    code, _, err = run("setup", "codex", "--undo")
    assert code == 0
    assert "config.toml: model was changed since setup" in err
    left = tomllib.loads((codex_home / CONFIG).read_text())
    assert left == {"model": "code-max", "tui": {"theme": "dark"}, "mine": {"later": 1}}


def test_undo_without_setup_changes_nothing(run, codex_home):
    (codex_home / CONFIG).write_text(USERS)
    assert run("setup", "codex", "--undo")[0] == 0
    assert files(codex_home) == {CONFIG: USERS.encode()}


def test_print_writes_nothing(set_up, codex_home):
    (codex_home / CONFIG).write_text(USERS)
    code, out, _ = set_up("--print")
    assert code == 0
    assert "+[model_providers.grid]" in out
    assert '+model = "code-prime"' in out
    assert files(codex_home) == {CONFIG: USERS.encode()}


def test_a_backup_is_kept_beside_the_original(set_up, codex_home):
    (codex_home / CONFIG).write_text(USERS)
    set_up()
    set_up("--port", "4001")
    assert (codex_home / "config.toml.before-grid-shim").read_text() == USERS


def test_mode_and_link_survive(set_up, codex_home, tmp_path):
    real = tmp_path / "dotfiles.toml"
    real.write_text(USERS)
    real.chmod(0o640)
    (codex_home / CONFIG).symlink_to(real)
    set_up()
    assert (codex_home / CONFIG).is_symlink()
    assert "[model_providers.grid]" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640


def test_broken_toml_is_left_alone(set_up, codex_home):
    (codex_home / CONFIG).write_text("model = ")
    code, _, err = set_up()
    assert code == 1
    assert "config.toml is not valid TOML" in err
    assert files(codex_home) == {CONFIG: b"model = "}


def test_without_a_key_codex_brings_its_own(run, grid, codex_home):
    _, _, err = run("setup", "codex", "--upstream", grid.base_url)
    provider = tomllib.loads((codex_home / CONFIG).read_text())["model_providers"]["grid"]
    assert provider["env_key"] == "THEGRID_API_KEY"
    assert "THEGRID_API_KEY is not set here" in err


def test_an_old_codex_without_profile_files_is_told(set_up, monkeypatch, codex_home):
    monkeypatch.setattr("shim.cli.setup.codex_version", lambda _: (0, 120, 0))
    assert "Codex 0.120.0 knows no profile files" in set_up()[2]
    assert "profile files" not in set_up("--default")[2]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"profile": "grid"}, "newer Codex refuses it"),
        ({"profiles": {"grid": {}}}, "Codex then refuses --profile grid"),
        ({"model_providers": {"grid": {}}}, "--undo brings it back"),
        ({"model_providers": {"old": {"wire_api": "chat"}}}, "refuses the whole file"),
        ({"model_providers": {"x": {"base_url": BASE_URL, "requires_openai_auth": True}}}, "ChatGPT token"),
        ({"model_providers": {"x": {"base_url": BASE_URL + "/", "name": "OpenAI"}}}, "another name"),
        ({"openai_base_url": BASE_URL}, "its own provider's wire"),
    ],
)
def test_each_trap_is_told_with_its_fix(config, said):
    [warning] = traps(config, BASE_URL, None, {})
    assert said in warning


def test_a_harmless_config_has_no_traps():
    config = {"model": "x", "model_providers": {"mine": {"name": "OpenAI", "base_url": "https://elsewhere"}}}
    assert traps(config, BASE_URL, "TOKEN", {"TOKEN": "t"}) == []


def test_the_folder_is_codex_home_or_the_usual_one():
    assert str(codex_home({"CODEX_HOME": "/x"})) == "/x"
    assert codex_home({}).name == ".codex"
    assert codex_home({}).is_absolute()
