"""Where the endpoint may listen, and how: tokens beyond loopback, TLS."""

import base64
import datetime as dt
import ipaddress
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from types import SimpleNamespace

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from waiting import PATIENCE, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from shim.cli import codex, server
from shim.cli.options import read_settings, warn_of_risks
from shim.cli.problem import Problem
from shim.http.routes import ROUTES
from shim.seal import SealKeys

TOKEN = "a-token-of-24-characters"
PASSWORD = "between-us"


def socket_at(address, family=socket.AF_INET):
    """A socket that says it is bound there; most of these addresses are not this machine's."""
    return SimpleNamespace(family=family, getsockname=lambda: (address, 4000))


def refused(listening, **settings):
    """The problem with listening so, None if there is none."""
    try:
        server.check_exposure(read_settings(**settings), listening)
    except Problem as problem:
        return problem
    return None


# -- beyond loopback ---------------------------------------------------------------------------------------------

BEYOND = [
    socket_at("0.0.0.0"),
    socket_at("192.168.1.5"),
    socket_at("203.0.113.7"),
    socket_at("::", socket.AF_INET6),
    socket_at("fe80::1", socket.AF_INET6),
    socket_at("::ffff:192.168.1.5", socket.AF_INET6),
]
WITHIN = [
    socket_at("127.0.0.1"),
    socket_at("127.3.2.1"),
    socket_at("::1", socket.AF_INET6),
    socket_at("::ffff:127.0.0.1", socket.AF_INET6),
    SimpleNamespace(family=socket.AF_UNIX, getsockname=lambda: "/run/shim.sock"),
]


@pytest.mark.parametrize("listening", BEYOND)
def test_beyond_loopback_clients_must_show_who_they_are(listening):
    problem = refused(listening, host="somewhere", key="k")
    assert "somewhere" in problem.message
    assert "GRID_SHIM_CLIENT_TOKENS" in problem.fix
    assert "GRID_SHIM_ALLOW_ANONYMOUS" in problem.fix
    assert refused(listening, host="somewhere") is not None
    assert refused(listening, key="k", client_tokens=TOKEN) is None
    assert refused(listening, key="k", allow_anonymous=True) is None
    assert refused(listening, key="k", ssl_certfile="c.pem", ssl_ca_certs="ca.pem") is None
    assert refused(listening, key="k", ssl_certfile="c.pem") is not None


def test_a_name_of_loopback_does_not_count_the_address_does():
    assert refused(socket_at("192.168.1.5"), host="localhost", key="k") is not None
    assert refused(socket_at("127.0.0.1"), host="somewhere", key="k") is None


@pytest.mark.parametrize("listening", WITHIN)
def test_on_this_machine_they_need_not(listening):
    assert refused(listening, key="k") is None


def test_serve_refuses_to_start_in_two_lines_and_announces_nothing(run):
    code, out, err = run("serve", "--host", "0.0.0.0", "--port", "0", "--set", "key=k", "--store", "off")
    assert code == 1
    assert out == ""
    assert "Listening on 0.0.0.0 without client tokens" in err
    assert len(err.strip().splitlines()) == 2


def test_a_name_that_leads_beyond_loopback_is_no_loopback_name(run, monkeypatch):
    monkeypatch.setattr(server, "bind", lambda *_: socket.create_server(("0.0.0.0", 0)))
    code, _, err = run("serve", "--host", "localhost", "--port", "0", "--set", "key=k", "--store", "off")
    assert code == 1
    assert "without client tokens" in err


def test_an_endpoint_on_a_thread_refuses_too():
    settings = read_settings(key="k", host="0.0.0.0", store="off")
    with (
        pytest.raises(Problem, match="without client tokens"),
        server.in_thread(settings, server.bind("0.0.0.0", 0)),
    ):
        pytest.fail("it started")


def test_with_a_token_it_starts_and_asks_for_it(grid):
    settings = read_settings(
        key="k", host="0.0.0.0", store="off", client_tokens=TOKEN, upstream=grid.base_url
    )
    with server.in_thread(settings, server.bind("0.0.0.0", 0)) as base_url:
        assert httpx.get(f"{base_url}/models").status_code == 401
        assert (
            httpx.get(f"{base_url}/models", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        )


OPEN = {"/", "/healthz", "/readyz", "/openapi.json"}
"""What SECURITY.md says can be read without a token."""


@pytest.mark.parametrize("key", [None, TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "k"])
def test_without_a_token_nothing_is_done_on_any_route(grid, key):
    settings = read_settings(key="k", store="memory", client_tokens=TOKEN, upstream=grid.base_url)
    headers = {} if key is None else {"authorization": f"Bearer {key}", "x-api-key": key}
    with server.in_thread(settings, server.bind("127.0.0.1", 0)) as base_url:
        root = base_url.removesuffix("/v1")
        answered = {}
        for route in ROUTES:
            path = re.sub(r"{[^}]*}", "resp_1", route.path)
            for method in route.methods - {"HEAD"}:
                for at in {path, f"/v1{path}"}:
                    answered[method, at] = httpx.request(
                        method,
                        root + at,
                        json={} if method == "POST" else None,
                        headers=headers,
                        trust_env=False,
                    ).status_code
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws{root.removeprefix('http')}/v1/responses", additional_headers=headers, proxy=None)
    assert refused.value.response.status_code == 401
    allowed = {(method, path) for method, path in answered if path.removeprefix("/v1") in OPEN}
    assert {asked for asked, status in answered.items() if status != 401} == allowed
    assert {path for _, path in allowed} >= OPEN
    # `/readyz` looks whether the upstream is there.
    assert {asked.method for asked in grid.journal} <= {"GET"}


def test_who_chose_to_be_open_is_warned(capsys):
    warn_of_risks(read_settings(key="k", host="0.0.0.0", allow_anonymous=True))
    assert "spends with your key" in capsys.readouterr().err
    warn_of_risks(read_settings(key="k", host="0.0.0.0", client_tokens=TOKEN))
    assert capsys.readouterr().err == ""


def test_a_short_token_is_one_sentence_that_does_not_show_it(run, monkeypatch):
    monkeypatch.setenv("GRID_SHIM_CLIENT_TOKENS", "hunter2")
    code, _, err = run("serve", "--port", "0", "--set", "key=k")
    assert code == 1
    assert "client_tokens" in err
    assert "16 characters" in err
    assert "hunter2" not in err


def test_a_session_of_codex_listens_on_loopback_whatever_the_settings_say(grid):
    settings = read_settings(key="k", host="0.0.0.0", port=0, store="off", upstream=grid.base_url)
    with codex.endpoint(settings) as base_url:
        assert base_url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{base_url}/models").status_code == 200


# -- TLS -----------------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of the test's own, and the files it hands out."""

    def __init__(self, folder):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        self.file = self._write("ca.pem", _pem(self._certify(self._name, self._key, authority=True)))

    def issue(self, name, password=None):
        """Certificate file and key file."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._write(f"{name}.pem", _pem(self._certify(_name(name), key)))
        return certificate, self._write(f"{name}.key", _key_pem(key, password))

    def _certify(self, subject, key, *, authority=False):
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if authority:
            builder = builder.add_extension(_SIGNS, critical=True)
        else:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name, content):
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


_SIGNS = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key, password):
    encryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def trusting(authority, client=None):
    context = ssl.create_default_context(cafile=authority.file)
    if client:
        context.load_cert_chain(*client)
    return context


def serving(grid, **settings):
    chosen = read_settings(key="k", store="off", upstream=grid.base_url, **settings)
    return server.in_thread(chosen, server.bind("127.0.0.1", 0))


def test_with_a_certificate_http_and_websocket_are_encrypted(grid, authority):
    certificate, key = authority.issue("server", PASSWORD)
    tls = {"ssl_certfile": certificate, "ssl_keyfile": key, "ssl_keyfile_password": PASSWORD}
    context = trusting(authority)
    with serving(grid, **tls) as base_url:
        assert base_url.startswith("https://127.0.0.1:")
        body = {"model": "code-prime", "input": "say hi"}
        assert httpx.post(f"{base_url}/responses", json=body, verify=context).json()["status"] == "completed"
        address = base_url.replace("https", "wss")
        with connect(f"{address}/responses", ssl=context, proxy=None) as socket_to_it:
            assert socket_to_it.ping().wait(10)
        with pytest.raises(httpx.TransportError):
            httpx.get(base_url.replace("https", "http"))


def cut_off(client):
    """Whether nothing more can be sent: a reset, or an end that TLS did not expect."""
    try:
        client.sendall(bytes(64 << 10))
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


@pytest.mark.parametrize("bound", [{"linger_seconds": 0.2}, {"linger_bytes": 1 << 20}], ids=["time", "bytes"])
@pytest.mark.parametrize("encrypted", [True, False], ids=["https", "http"])
def test_a_client_that_sends_on_after_a_refusal_hears_it_and_is_cut_off(
    grid, authority, bound, encrypted, caplog
):
    """With the event loop of a real process; TLS has its own way to close."""
    certificate, key = authority.issue("server")
    tls = {"ssl_certfile": certificate, "ssl_keyfile": key} if encrypted else {}
    bounds = {"linger_seconds": 3600, "linger_bytes": 1 << 40, **bound}
    with serving(grid, **tls, **bounds) as base_url:
        port = httpx.URL(base_url).port
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE / 2)
        context = trusting(authority)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain as client:
            client.sendall(
                b"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n"
            )
            assert client.recv(12) == b"HTTP/1.1 415"
            until(lambda: cut_off(client), patience=PATIENCE / 2)  # TLS would wait for 30 seconds more
    assert not [line for line in caplog.messages if "failed" in line]


def test_with_authorities_clients_need_a_certificate_of_theirs(grid, authority):
    certificate, key = authority.issue("server")
    with serving(grid, ssl_certfile=certificate, ssl_keyfile=key, ssl_ca_certs=authority.file) as base_url:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{base_url}/models", verify=trusting(authority))
        friend = trusting(authority, authority.issue("client"))
        assert httpx.get(f"{base_url}/models", verify=friend).status_code == 200


@pytest.mark.parametrize("further", [(), ("--workers", "2")], ids=["one-process", "two-workers"])
def test_seal_keys_may_come_through_a_pipe(tmp_path, grid, further):
    """As from a shell's `<(...)`: it can be read but once."""
    reading, writing = os.pipe()
    os.write(writing, b"s" * 32 + b"\n")
    os.close(writing)
    command = [sys.executable, "-c", "from shim.cli import main; main()", "serve", "--port", "0", *further]
    own = {
        "GRID_SHIM_UPSTREAM": grid.base_url,
        "GRID_SHIM_KEY": "k",
        "GRID_SHIM_SEAL_KEY_FILE": f"/dev/fd/{reading}",
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "PYTHONUNBUFFERED": "1",
    }
    log = tmp_path / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command,
            env={**os.environ, **own},
            pass_fds=[reading],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        os.close(reading)
        found = re.search(r"http://\S+/v1", process.stdout.readline())
        assert found, log.read_text()
        body = {"model": "code-prime", "input": "hi", "include": ["reasoning.encrypted_content"]}
        answer = httpx.post(f"{found.group()}/responses", json=body, timeout=PATIENCE, trust_env=False).json()
        process.terminate()
    sealed = next(item["encrypted_content"] for item in answer["output"] if item["type"] == "reasoning")
    keys = SealKeys.of([b"s" * 32])
    raw = base64.urlsafe_b64decode(sealed.removeprefix("gs."))
    assert raw[1:9] == keys.all[0].id
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("further", [(), ("--workers", "2")], ids=["one-process", "two-workers"])
def test_a_device_in_place_of_seal_keys_is_one_sentence(run, further):
    code, out, err = run(
        "serve", "--port", "0", "--set", "key=k", "--set", "seal_key_file=/dev/zero", *further
    )
    assert (code, out) == (1, "")
    assert "Setting seal_key_file is wrong: it has more than 64 KiB" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("wrong", [None, b"short"])
def test_a_file_of_seal_keys_that_cannot_be_used_is_one_sentence(run, tmp_path, wrong):
    path = tmp_path / "keys"
    if wrong:
        path.write_bytes(wrong)
    for further in ((), ("--workers", "2")):
        code, out, err = run(
            "serve", "--port", "0", "--set", "key=k", "--set", f"seal_key_file={path}", *further
        )
        assert (code, out) == (1, "")
        assert "Setting seal_key_file is wrong: " in err
        assert (f"mend {path}" if wrong else f"grid-shim seal rotate --seal-key-file {path} makes it") in err


@pytest.mark.parametrize("wrong", ["absent", "not PEM", "another key", "no password"])
def test_a_certificate_that_cannot_be_used_is_one_sentence(run, authority, tmp_path, wrong):
    certificate, key = authority.issue("server", PASSWORD if wrong == "no password" else None)
    if wrong == "absent":
        certificate = str(tmp_path / "absent.pem")
    if wrong == "not PEM":
        (tmp_path / "server.pem").write_text("nonsense")
    if wrong == "another key":
        key = authority.issue("other")[1]
    tls = ["--set", f"ssl_certfile={certificate}", "--set", f"ssl_keyfile={key}"]
    code, out, err = run("serve", "--port", "0", "--set", "key=k", *tls)
    assert (code, out) == (1, "")
    assert "The certificate cannot be used" in err
    assert "ssl_certfile" in err
    assert "Traceback" not in err


def test_a_session_of_codex_needs_no_certificate(grid, authority):
    certificate, key = authority.issue("server")
    settings = read_settings(
        key="k", port=0, store="off", upstream=grid.base_url, ssl_certfile=certificate, ssl_keyfile=key
    )
    with codex.endpoint(settings) as base_url:
        assert httpx.get(f"{base_url}/models").status_code == 200


def test_the_address_to_paste_says_https():
    assert (
        server.url_of("127.0.0.1", 1, read_settings(ssl_certfile="c.pem").scheme) == "https://127.0.0.1:1/v1"
    )


def test_nothing_is_left_running():
    assert not [thread for thread in threading.enumerate() if thread.name == "grid-shim"]


# -- idle connections --------------------------------------------------------------------------------------------


def test_the_server_keeps_idle_connections_longer_than_clients_do():
    reqwest = 90  # seconds; httpx 5, undici 4
    assert server.prepare(read_settings()).timeout_keep_alive > reqwest
