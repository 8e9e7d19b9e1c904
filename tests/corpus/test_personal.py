"""Personal data goes, figures stay; masking twice changes nothing and never takes long."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.examine import have_signs
from bise.corpus.personal import KINDS, PersonalData
from bise.corpus.texts import pack

ALL = PersonalData(addresses="all")
PIECES = [
    "anna.meier+x@post.example.org", "@", "a@b", "8.8.4.199", "1.2.3.4", "2a02:908:1:2::17", "::", "a::b",
    "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "4111 1111 1111 1111", "378282246310005",
    "+49 30 1234567", "(212) 555-0182", "01 42 68 53 00", "612 34 56 78", "347 1234567", "0171/1234567",
    "2024-01-31", "31.12.1999", "978-3-16-148410-0", "tel", "v", " ", ".", "-", "/", "(", "+", "\u00a0", "0", "12", "x7",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to anna.meier+x@post.example.org.", "write to <EMAIL>."),
        ("Ünal.Çelik@büro.example.de, please", "<EMAIL>, please"),
        ("<a@b.org>;c_d@e-f.co.uk", "<<EMAIL>>;<EMAIL>"),
        ("from 203.0.114.77 and 198.41.0.4:53", "from <IP> and <IP>:53"),
        ("at 2a02:908:1:2::17 or [2001:470:1:18::1]", "at <IP> or [<IP>]"),
        ("IBAN DE89 3704 0044 0532 0130 00, Betrag", "IBAN <IBAN>, Betrag"),
        ("GB82WEST12345698765432 and FR1420041010050500013M02606", "<IBAN> and <IBAN>"),
        ("IT60 X054 2811 1010 0000 0123 456.", "<IBAN>."),
        ("card 4111 1111 1111 1111, amex 3782-822463-10005", "card <CARD>, amex <CARD>"),
        ("5555555555554444", "<CARD>"),
        ("+49 (0)30 1234567, 0049 30 1234567", "<PHONE>, <PHONE>"),
        ("Tel.: 030/1234567 oder 0171 1234567", "Tel.: <PHONE> oder <PHONE>"),
        ("call (212) 555-0182 or 212-555-0182 x12", "call <PHONE> or <PHONE>"),
        ("London 020 7946 0958, mobile 07700 900123", "London <PHONE>, mobile <PHONE>"),
        ("01 42 68 53 00 ou 01.42.68.53.00 ou 06\u00a012\u00a034\u00a056\u00a078", "<PHONE> ou <PHONE> ou <PHONE>"),
        ("llame al 612 34 56 78 o 91 123 45 67", "llame al <PHONE> o <PHONE>"),
        ("cell. 347 1234567, ufficio 06 69821234", "cell. <PHONE>, ufficio <PHONE>"),
        ("phone: 5550182", "phone: <PHONE>"),
    ],
)
def test_personal_data_is_replaced(text: str, masked: str) -> None:
    assert ALL.mask(text)[0] == masked


@pytest.mark.parametrize(
    "text",
    [
        "On 2024-01-31, 31.12.1999 and 01/02/2003 12:30:45",
        "ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, 9783161484100",
        "version 1.2.3.4, section 3.10.2.3, 127.0.0.300, v10.0.19041.1",
        "The years 1914-1918 1939-1945, pages 1234-1240",
        "He had 123 456 789 euros, 1,234,567.89 dollars and 1.234.567,89 marks",
        "π is 3.14159265358979, e is 2.718281828459045",
        "std::vector<a::b>, 12:30:45, a@b, @handle, user@localhost, key=4761284597514240",
        "DE88 3704 0044 0532 0130 00 and 4111 1111 1111 1112 fail their checks",
        "SSN 054-28-6917; order 1234567890; 59 61 65 67 71 73 77 79 83 85",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "0.1234567 01234.5678 -0123456789 $0123 456 789",
    ],
)
def test_other_figures_stay(text: str) -> None:
    assert PersonalData().mask(text) == (text, {})


def test_only_addresses_of_the_internet_are_masked_unless_all_are_asked_for() -> None:
    text = "192.168.178.20, 10.0.0.1, fe80::1ff:fe23:4567, 93.184.216.34"
    assert PersonalData().mask(text) == ("192.168.178.20, 10.0.0.1, fe80::1ff:fe23:4567, <IP>", {"ip": 1})
    assert ALL.mask(text) == ("<IP>, <IP>, <IP>, <IP>", {"ip": 4})


def test_only_the_kinds_asked_for_are_masked_and_counted() -> None:
    text = "a@b.org a@c.org 4111 1111 1111 1111 +49 30 1234567"
    assert PersonalData(("email",)).mask(text)[1] == {"email": 2}
    assert ALL.mask(text)[1] == {"email": 2, "card": 1, "phone": 1}
    assert PersonalData(("card",)).mask(text)[0] == "a@b.org a@c.org <CARD> +49 30 1234567"


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=12).map("".join))
def test_masking_twice_changes_nothing(text: str) -> None:
    masked, counts = ALL.mask(text)
    assert ALL.mask(masked) == (masked, {})
    assert sum(counts.values()) >= 0
    assert (masked == text) == (not counts)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join), st.sampled_from(KINDS))
def test_spans_are_ordered_and_apart(text: str, kind: str) -> None:
    spans = ALL.find(text)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(spans))
    assert all(0 <= span.start < span.stop <= len(text) for span in spans)


@pytest.mark.timeout(20)  # each takes well under a second; an expression that tries every split would take hours
@pytest.mark.parametrize(
    "unit",
    ["a@", "@", "a.", "a.b@c.", "1.1.1.", "1", "1 ", "12 (", ":", "a:", "1:1:", "+1", "0 0-", "DE89 ", "A1", "4111 ", "x@a-", "1.2.3.4", "tel 1", "0171/1234567:", "4111 1111 1111 1111 ", "4111111111111111 ", "tel 1234567  ", "a@b.org_", "8.8.4.199:"],
)  # fmt: skip
def test_hostile_texts_cost_time_in_proportion(unit: str) -> None:
    ALL.mask(unit * (100_000 // len(unit)))


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.lists(st.sampled_from([*PIECES, ":", "a.b", "1.2.3"]), max_size=8).map("".join), max_size=6))
def test_texts_with_personal_data_have_signs_of_it(texts: list[str]) -> None:
    signs = have_signs(*pack(texts))
    assert all(sign or not ALL.find(text) for sign, text in zip(signs.tolist(), texts, strict=True))


def test_texts_without_figures_and_marks_have_no_signs_of_personal_data() -> None:
    texts = ["In 1914, at 10: none of chapter 3.", "", "a 123456 b " + 40 * "c" + " 123456", "e.g. 1.5 and 2.5"]
    assert not have_signs(*pack(texts)).any()
    assert have_signs(*pack(["12 34 56 7", "@", "1.1.1.1", "::", "a:b:c"])).tolist() == [True] * 5
    assert np.array_equal(have_signs(*pack(["x 123456", "7 8"])), [False, False])
