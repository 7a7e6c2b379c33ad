"""Getting pip from a package index, against an index on this machine."""

import hashlib
import io
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import fetch_pip

PAGE = "https://index.example/simple/pip/"
DIGEST = "0" * 64


def link(file: str, attributes: str = "", digest: str = DIGEST) -> str:
    return f'<a href="../../files/{file}#sha256={digest}" {attributes}>{file}</a>'


def wheel_bytes() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("pip/__init__.py", "__version__ = '26.3'\n")
    return packed.getvalue()


class Index:
    """A package index on the loopback address: pages by path, and the authorization that came with each request."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.authorizations: list[str | None] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.authorizations.append(self.headers["Authorization"])
                content = index.pages.get(self.path)
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the base class
                """Keeps requests out of the test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    index = Index()
    thread = threading.Thread(target=index.server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://{index.host}/simple/")
    for name in ("http_proxy", "HTTP_PROXY", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield index
    index.server.shutdown()
    thread.join()
    index.server.server_close()


def test_the_newest_release_that_runs_here_is_taken() -> None:
    too_new = f'data-requires-python="&gt;={sys.version_info[0]}.{sys.version_info[1] + 1}"'
    page = "\n".join(
        [
            link("pip-9.0.3-py2.py3-none-any.whl"),
            link("pip-26.3-py3-none-any.whl", 'data-requires-python="&gt;=3.10"'),
            link("pip-26.10-py3-none-any.whl"),
            link("pip-27.0-py3-none-any.whl", 'data-yanked="broken"'),
            link("pip-28.0-py3-none-any.whl", too_new),
            link("pip-29.0rc1-py3-none-any.whl"),
            link("pip-30.0.tar.gz"),
            '<a href="pip-31.0-py3-none-any.whl">without a digest</a>',
            '<a href="pip-32.0-py3-none-any.whl#md5=00">with a weak digest</a>',
            "<a>nothing</a>",
        ]
    )
    wheel = fetch_pip.newest(page, PAGE)
    assert wheel.version == (26, 10)
    assert wheel.url == f"https://index.example/files/pip-26.10-py3-none-any.whl#sha256={DIGEST}"
    assert wheel.sha256 == DIGEST


def test_a_page_without_a_usable_pip_is_refused() -> None:
    with pytest.raises(fetch_pip.FetchFailed, match=r"https://index\.example/simple/pip/ lists no pip with a SHA-256"):
        fetch_pip.newest("<html></html>", PAGE)


def test_pip_is_unpacked_and_a_password_is_sent_but_never_shown(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:s%40cret@{index.host}/simple")
    index.pages["/simple/pip/"] = link("pip-26.3-py3-none-any.whl", digest=hashlib.sha256(wheel_bytes()).hexdigest()).encode()
    index.pages["/files/pip-26.3-py3-none-any.whl"] = wheel_bytes()
    said: list[str] = []
    fetch_pip.install(tmp_path, said.append)
    assert (tmp_path / "pip" / "__init__.py").read_text() == "__version__ = '26.3'\n"
    assert said == [f"fetching pip from http://{index.host}/simple"]
    assert index.authorizations == ["Basic bWU6c0BjcmV0"] * 2


def test_a_wheel_with_another_digest_is_refused(index: Index, tmp_path: Path) -> None:
    index.pages["/simple/pip/"] = link("pip-26.3-py3-none-any.whl").encode()
    index.pages["/files/pip-26.3-py3-none-any.whl"] = wheel_bytes()
    with pytest.raises(fetch_pip.FetchFailed, match="does not have the SHA-256 that the index gives"):
        fetch_pip.install(tmp_path, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_an_index_that_cannot_be_read_is_named_without_its_password(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:secret@{index.host}/elsewhere")
    with pytest.raises(fetch_pip.FetchFailed, match="cannot be read: Not Found") as failure:
        fetch_pip.install(tmp_path, lambda _: None)
    assert "secret" not in str(failure.value)


def test_settings_come_from_files_and_then_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "PIP_CERT", "PIP_PROXY", "PIP_CONFIG_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetch_pip, "SYSTEM_FILE", tmp_path / "none")
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    for folder, text in (
        ("system", "[global]\nindex-url = https://system.example/%20x\nproxy = http://proxy.example\ncert = /c.pem\n"),
        ("user", "[global]\nindex-url = https://user.example\n[install]\nproxy = http://install.example\n"),
    ):
        (tmp_path / folder / "pip").mkdir(parents=True)
        (tmp_path / folder / "pip" / "pip.conf").write_text(text)
    assert fetch_pip.read_settings() == fetch_pip.Settings("https://user.example", "/c.pem", "http://install.example")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example")
    assert fetch_pip.read_settings().index_url == "https://variable.example"


def test_without_settings_it_is_the_public_index(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "PIP_CERT", "PIP_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert fetch_pip.read_settings() == fetch_pip.Settings("https://pypi.org/simple", None, None)


def test_a_broken_settings_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "pip.conf"
    broken.write_text("index-url = outside any section\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(broken))
    with pytest.raises(fetch_pip.FetchFailed, match=r"pip\.conf"):
        fetch_pip.read_settings()


def test_missing_certificates_are_named(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "none.pem"))
    with pytest.raises(fetch_pip.FetchFailed, match=r"certificates in .*none\.pem cannot be read"):
        fetch_pip.install(tmp_path, lambda _: None)


@pytest.mark.parametrize("text", [b"index-url = https://user:HUNTER2@host/simple\n", b"[global]\nindex-url = https://h\xe9/HUNTER2\n"])
def test_a_pip_conf_that_can_not_be_read_shows_none_of_it(text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_bytes(text)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    with pytest.raises(fetch_pip.FetchFailed, match=r"pip\.conf cannot be read") as caught:
        fetch_pip.read_settings()
    assert "HUNTER2" not in str(caught.value) + repr(caught.value.__cause__)
