"""Templates of strangers: rendered as `transformers` renders them, within bounds of time, memory, text and reach."""

import time
from typing import Any

import pytest

from bise.errors import InputError
from bise.tokenizer.template import Template


def rendered(source: str, **variables: Any) -> str:
    return Template(source, "the model").render(variables)


def test_it_renders() -> None:
    assert rendered("{% for m in messages %}{{ m | tojson }}\n{% endfor %}", messages=[{"a": "é<"}]) == '{"a": "é<"}\n'
    assert rendered("{% generation %}{{ x }}{% endgeneration %}", x=1) == "1"
    assert rendered("{% for i in x %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", x=[1, 2]) == "1"
    assert len(rendered("{{ strftime_now('%Y') }}")) == 4


def test_one_process_renders_many_and_comes_back() -> None:
    template = Template(
        "{% if x == 0 %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}{% endif %}{{ x }}",
        "the model",
        2.0,
    )
    assert [template.render({"x": x}) for x in (1, 2)] == ["1", "2"]
    began = time.monotonic()
    with pytest.raises(InputError, match="took more than 2 s"):
        template.render({"x": 0})
    assert time.monotonic() - began < 10
    assert template.render({"x": 3}) == "3"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__['os'].system('id') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ (1).__class__ }}{{ raise_exception('no') }}",
        "{{ range(10 ** 9) }}",
        "{{ 1 // 0 }}",
        "{{ x.y.z }}",
        "{% for %}",
        "{{ '%d' % 'x' }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_reaching_out_is_a_sentence(source: str) -> None:
    with pytest.raises(InputError, match=r"chat template of the model fails: ."):
        rendered(source, messages=[])


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x'.ljust(4000000000) }}",
        "{% set n = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
    ],
)
def test_huge_texts_are_a_sentence(source: str) -> None:
    with pytest.raises(InputError, match=r"chat template of the model (fails|ended its process)"):
        rendered(source)


def test_a_huge_template_is_a_sentence() -> None:
    with pytest.raises(InputError, match="has 2,000,000 characters"):
        Template("x" * 2_000_000, "the model")


def test_a_long_conversation_passes_through() -> None:
    assert rendered("{{ x }}", x="é" * 1_000_000) == "é" * 1_000_000
