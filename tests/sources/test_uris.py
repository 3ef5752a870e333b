"""What a data: URI holds comes back; what is none is refused with words."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.errors import RejectError
from reembed.sources.uris import MAX_DATA_BYTES, decode_data


@given(st.binary(max_size=40))
def test_both_encodings_come_back(data):
    packed = base64.b64encode(data).decode()
    assert decode_data(f"data:image/png;base64,{packed}") == data
    assert decode_data(f"DATA:;BASE64,{quote(packed.rstrip('='))}") == data
    assert decode_data("data:text/plain;charset=x," + quote(data)) == data


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("data:text/plain", "bad_uri"),
        ("data:;base64,a", "bad_uri"),
        ("data:;base64,a$b=", "bad_uri"),
        ("data:," + "x" * (MAX_DATA_BYTES + 1), "too_large"),
        ("data:;base64," + "A" * (4 * MAX_DATA_BYTES), "too_large"),
    ],
)
def test_what_is_refused(uri, code):
    with pytest.raises(RejectError) as caught:
        decode_data(uri)
    assert caught.value.code == code
    assert len(caught.value.message) < 300
