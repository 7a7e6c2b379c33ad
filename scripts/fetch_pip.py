"""Gets pip from the package index, for systems whose Python comes without it. Standard library alone."""

import base64
import hashlib
import http.client
import io
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from configparser import Error as ConfigError
from configparser import RawConfigParser
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

__all__ = ["ADVICE", "FetchFailed", "Settings", "Wheel", "install", "newest", "read_settings"]

ADVICE = "  Check the network. PIP_INDEX_URL names another index, https_proxy a proxy, PIP_CERT a file of certificates."
PYPI = "https://pypi.org/simple"
SYSTEM_FILE = Path("/etc/pip.conf")
TIMEOUT_S = 30
WHEEL_NAME = re.compile(r"pip-(\d+(?:\.\d+)*)-(?:py2\.)?py3-none-any\.whl")


class FetchFailed(Exception):
    """The index could not be read, or what it gave is not what it promised."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how to ask: pip's own settings, as far as they matter for one file."""

    index_url: str
    cert: str | None
    proxy: str | None


@dataclass(frozen=True, slots=True)
class Wheel:
    version: tuple[int, ...]
    url: str
    sha256: str


def install(folder: Path, say: Callable[[str], None]) -> None:
    """Unpacks the newest pip that runs on this Python into `folder`, a site-packages.

    Raises FetchFailed where the index or the wheel cannot be had, before anything is unpacked.
    """
    settings = read_settings()
    page_url = settings.index_url.rstrip("/") + "/pip/"
    say(f"fetching pip from {shown(settings.index_url)}")
    opener = make_opener(settings)
    page = fetch(opener, page_url).decode("utf-8", "replace")
    wheel = newest(page, page_url)
    packed = fetch(opener, wheel.url)
    if hashlib.sha256(packed).hexdigest() != wheel.sha256:
        raise FetchFailed(f"{shown(wheel.url)} does not have the SHA-256 that the index gives")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(folder)


def read_settings() -> Settings:
    """pip's settings in pip's order: system files, the user's files, PIP_CONFIG_FILE, PIP_* variables; the last one wins."""
    named = os.environ.get("PIP_CONFIG_FILE", "")
    home = Path("~").expanduser()
    files = [Path(folder, "pip", "pip.conf") for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    files += [SYSTEM_FILE, home / ".pip" / "pip.conf"]
    files += [Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")]
    parser = RawConfigParser(strict=False)
    try:
        parser.read([] if named == os.devnull else [*files, *([named] if named else [])], encoding="utf-8")
    except (ConfigError, UnicodeDecodeError) as problem:
        where = f"{getattr(problem, 'source', 'no UTF-8')}, line {getattr(problem, 'lineno', '?')}"
        raise FetchFailed(f"a pip.conf cannot be read: {where}") from None  # its lines may hold a password

    def setting(name: str) -> str | None:
        names = (name, name.replace("-", "_"))
        filed = [parser.get(section, one, fallback=None) for section in ("install", "global") for one in names]
        return next((value for value in (os.environ.get("PIP_" + name.replace("-", "_").upper()), *filed) if value), None)

    return Settings(
        index_url=setting("index-url") or PYPI,
        cert=setting("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"),
        proxy=setting("proxy"),
    )


def make_opener(settings: Settings) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if settings.cert:
        try:
            context.load_verify_locations(*([None, settings.cert] if Path(settings.cert).is_dir() else [settings.cert]))
        except OSError as problem:
            raise FetchFailed(f"the certificates in {settings.cert} cannot be read: {problem}") from problem
    proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context))


def fetch(opener: urllib.request.OpenerDirector, url: str) -> bytes:
    """The bytes at `url`; a user name and password in it become the request's authorization and are never shown."""
    parts = urlsplit(url)
    user_info, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host, fragment="")), headers={"Accept": "text/html, */*;q=0.1"})
    if user_info:
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(unquote(user_info).encode()).decode())
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            content: bytes = response.read()
    except (OSError, ValueError, http.client.HTTPException) as problem:
        if isinstance(problem, urllib.error.HTTPError):
            problem.close()
        reason = problem.reason if isinstance(problem, urllib.error.URLError) else problem
        raise FetchFailed(f"{shown(url)} cannot be read: {reason}") from problem
    return content


def shown(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def newest(page: str, page_url: str) -> Wheel:
    """The newest released pip on the index page (PEP 503, 592) that runs on this Python. Raises FetchFailed when there is none."""
    anchors = Anchors()
    anchors.feed(page)
    wheels = [wheel for anchor in anchors.found if (wheel := as_wheel(anchor, page_url))]
    if not wheels:
        raise FetchFailed(f"{shown(page_url)} lists no pip with a SHA-256 for Python {sys.version_info[0]}.{sys.version_info[1]}")
    return max(wheels, key=lambda wheel: wheel.version)


class Anchors(HTMLParser):
    """The attributes of every link of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs))


def as_wheel(anchor: dict[str, str | None], page_url: str) -> Wheel | None:
    url = urljoin(page_url, anchor.get("href") or "")
    parts = urlsplit(url)
    name = WHEEL_NAME.fullmatch(unquote(parts.path).rpartition("/")[2])
    digest = re.fullmatch(r"sha256=([0-9a-f]{64})", parts.fragment)
    needed = re.findall(r">=\s*(\d+)\.(\d+)", anchor.get("data-requires-python") or "")
    too_new = any((int(major), int(minor)) > sys.version_info[:2] for major, minor in needed)
    if not name or not digest or too_new or "data-yanked" in anchor:
        return None
    return Wheel(tuple(map(int, name[1].split("."))), url, digest[1])
