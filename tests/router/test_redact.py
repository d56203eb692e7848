"""What may not be shown is not shown, in whatever form it comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import redact as redaction
from router.redact import Redactor, Secret, redact
from router.urls import checked_url

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
SIGNATURE = "ab" * 32


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"type": "auth", "params": {"hmac": {"signature": SIGNATURE, "public_key": "p"}}}),
        json.dumps({"err": {"incoming_message": json.dumps({"params": {"signature": SIGNATURE}})}}),
        json.dumps({"err": {"incoming_message": json.dumps({"x": json.dumps({"signature": SIGNATURE})})}}),
        json.dumps({"data": {"r": SIGNATURE, "s": SIGNATURE, "v": 27}}),
        json.dumps({"accessToken": SIGNATURE}),
        f'{{"signature" : "{SIGNATURE}"}}',
        f"wss://host/?api_key={SIGNATURE}&x=1",
        f"wss://host/?x=1&jwt={SIGNATURE}",
        f"Authorization: Bearer {SIGNATURE}",
        f"token {JWT} was refused".replace(JWT, JWT.replace("c2lnbmF0dXJl", SIGNATURE)),
        f"key qfex_secret_{SIGNATURE}",
    ],
)
def test_secrets_go_and_the_rest_stays(text):
    shown = redact(text)
    assert SIGNATURE not in shown
    assert "[redacted]" in shown


def test_ordinary_frames_are_left_as_they_are():
    frame = json.dumps({"order_response": {"order_id": "5b309929", "symbol": "AAPL-USD", "price": 1.5}})
    assert redact(frame) == frame


def test_a_known_value_goes_wherever_it_stands():
    redactor = Redactor(["hunter22"])
    redactor.learn(Secret("swordfish"))
    assert redactor("the venue said hunter22 and swordfish") == "the venue said [redacted] and [redacted]"


def test_a_secret_does_not_show_itself():
    secret = Secret("hunter22")
    assert "hunter22" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter22"


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("wss://trade.qfex.com/", True),
        ("wss://trade.qfex.com/?api_key=k", True),
        ("ws://127.0.0.1:9/", True),
        ("ws://localhost:9/", True),
        ("ws://[::1]:9/", True),
        ("ws://trade.qfex.com/", False),
        ("http://127.0.0.1/", False),
        ("wss://user:secret@host/", False),
        ("wss://", False),
        ("wss://host:port/", False),
        ("wss://ho st/", False),
        ("nonsense", False),
    ],
)
def test_only_tls_or_this_machine(url, good):
    if good:
        assert checked_url(url, "qfex", scheme="wss") == url
    else:
        with pytest.raises(ValueError, match="qfex: url was") as caught:
            checked_url(url, "qfex", scheme="wss")
        assert "secret" not in str(caught.value)


@given(
    st.lists(
        st.sampled_from(
            [
                '"signature"', '"r"', '\\"s\\"', '"api_Key"', "r=", "s: ", "?token=", "&jwt=", "://", "user:pw@", "eyJhbGciOi.x.y",
                "qfex_secret_x", "Bearer abcdefghij", "ab12" * 16, ":", '"', '\\"', "é", "\u212a", " ",
            ]
        )
        | st.text(max_size=8),
        max_size=8,
    ).map("".join)
)  # fmt: skip
def test_what_is_tried_only_where_it_may_be_found_is_found_all_the_same(text):
    assert redact(text) == redaction._remove_all(text)


@pytest.mark.parametrize("spelt", [r"se\u0063ret\u002BA\/b", r"secret+A\/b", r"secret\\u002BA\\/b"])
def test_a_secret_that_is_echoed_with_escapes_is_the_same_secret(spelt):
    assert Redactor(["secret+A/b"])(f'{{"error":"no {spelt}"}}') == '{"error":"no [redacted]"}'
