"""The URI of a token (RFC 7512), as --vault takes it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.host import HostError
from joren.host.pkcs11_uri import Pkcs11Uri

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
PATHS = NAMES.map(lambda name: Path("/") / name)


@given(token=NAMES, module=PATHS, pin_file=st.none() | PATHS, conf=st.none() | PATHS)
def test_a_uri_parses_to_what_it_was_made_of(token: str, module: Path, pin_file: Path | None, conf: Path | None) -> None:
    uri = Pkcs11Uri(module, token, pin_file, conf)
    assert Pkcs11Uri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "pkcs11:token=my%20token?module-path=/lib/p11.so&pin-source=file:/run/pin",
        "pkcs11:module-path=/lib/p11.so;token=my%20token;pin-source=file:/run/pin",
        "PKCS11:;token=my%20token?pin-source=/run/pin&module-path=/lib/p11.so",
        "pkcs11:token=my%20token?module-path=%2Flib%2Fp11.so&pin-source=file:///run/pin",
        "pkcs11:token=my%20token?module-path=/lib/p11.so&pin-source=file://localhost/run/pin",
    ],
)
def test_attributes_stand_in_either_part(text: str) -> None:
    assert Pkcs11Uri.parse(text) == Pkcs11Uri(Path("/lib/p11.so"), "my token", Path("/run/pin"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a PKCS#11 URI expected"),
        ("keys.toml", "a PKCS#11 URI expected"),
        ("pkcs11:", "token is missing"),
        ("pkcs11:token=a", "module-path is missing"),
        ("pkcs11:token=?module-path=/m", "token is missing"),
        ("pkcs11:token=a;token=b?module-path=/m", "token is given twice"),
        ("pkcs11:token=a?module-path=/m&pin-value=sesame4711", "pin-value is refused"),
        ("pkcs11:token=a?module-path=/m&slot-id=3", "'slot-id' came"),
        ("pkcs11:token=a?module-path=/m&sesame4711", "something else came"),
        ("pkcs11:token=a%zz?module-path=/m", "token is no percent-encoded UTF-8"),
        ("pkcs11:token=a%ff?module-path=/m", "token is no percent-encoded UTF-8"),
        ("pkcs11:token=a%00?module-path=/m", "token has a zero byte"),
        ("pkcs11:token=" + 33 * "a" + "?module-path=/m", "up to 32 bytes expected, 33 came"),
        ("pkcs11:token=a?module-path=/m&pin-source=file:", "pin-source=file:FILE expected"),
        ("pkcs11:token=a?module-path=/m&pin-source=|echo sesame4711", "pin-source=file:FILE expected"),
        ("pkcs11:token=a?module-path=/m&pin-source=file://sesame4711/x", "a file of this machine expected"),
    ],
)
def test_a_uri_that_names_no_token_is_refused_and_no_value_is_repeated(text: str, words: str) -> None:
    with pytest.raises(HostError) as caught:
        Pkcs11Uri.parse(text)
    assert words in str(caught.value)
    assert "sesame4711" not in str(caught.value)
