"""mistral-common's templates in Jinja, for programs that have no mistral-common: `mistral_template(version)`.

A conversation has the ids that mistral-common gives it, with tools, calls and results, for v1 to v15. What Jinja cannot do
is left to who asks: text must not spell a control token, JSON of calls and results is taken as it is written (with a
space behind each comma and colon), results stand in the order of the calls, and neighbours from the assistant are one.
"""

import json
from collections.abc import Mapping
from typing import Any

_VERSIONS = ("v1", "v2", "v3", "v7", "v11", "v13", "v15")

# The system prompt, and the first message of the first and of the last run of the user's, as `loop.index0`.
_SURVEY = (
    "{% set seen = namespace(system='', first=-1, last=-1) %}"
    "{% for message in messages %}{% if message.role == 'system' %}"
    "{% set seen.system = seen.system + ('\\n\\n' if seen.system else '') + message.content %}"
    "{% elif message.role == 'user' and (loop.first or messages[loop.index0 - 1].role != 'user') %}"
    "{% set seen.last = loop.index0 %}{% if seen.first < 0 %}{% set seen.first = loop.index0 %}{% endif %}"
    "{% endif %}{% endfor %}"
)
_TOOLS = (
    "{% if tools and loop.index0 == seen.PLACE %}{{ '[AVAILABLE_TOOLS][' }}{% for tool in tools %}"
    '{{ \'{"type": "function", "function": {"name": \' + tool.function.name|tojson + \', "description": \''
    " + (tool.function.description or '')|tojson + ', \"parameters\": ' + (tool.function.parameters or {})|tojson + '}}' }}"
    "{{ '' if loop.last else ', ' }}{% endfor %}{{ '][/AVAILABLE_TOOLS]' }}{% endif %}"
)
_USER = (
    "{% if loop.first or messages[loop.index0 - 1].role != 'user' %}{{ 'OPEN' }}SYSTEM{% else %}{{ '\\n\\n' }}{% endif %}"
    "{{ message.content }}"
    "{% if loop.last or messages[loop.index0 + 1].role != 'user' %}{{ 'CLOSE' }}{% endif %}"
)
_SYSTEM_BEFORE_QUESTION = "{% if seen.system and loop.index0 == seen.PLACE %}{{ seen.system + '\\n\\n' }}{% endif %}"
_ARGUMENTS = "(call.function.arguments if call.function.arguments is string else call.function.arguments|tojson)"
_LISTED_CALLS = (
    "{{ '[TOOL_CALLS][' }}{% for call in message.tool_calls %}"
    "{{ '{\"name\": ' + call.function.name|tojson + ', \"arguments\": ' + ARGUMENTS }}ID{{ '}' if loop.last else '}, ' }}"
    "{% endfor %}{{ ']' }}"
)
_LISTED_ID = "{% if call.id and call.id != 'null' %}{{ ', \"id\": ' + call.id|tojson }}{% endif %}"
_CALLS = "{% for call in message.tool_calls %}{{ '[TOOL_CALLS]' + call.function.name }}ID{{ '[ARGS]' + ARGUMENTS }}{% endfor %}"
_CALL_ID = "{% if call.id and call.id != 'null' %}{{ '[CALL_ID]' + call.id }}{% endif %}"
# JSON stands as it is in v2 and v3, and other text as a string.
_RESULT = (
    "{% set text = message.content or '{}' %}"
    "{% set is_json = text[0] in '{[\"' or text in ['true', 'false', 'null'] or text|int|string == text"
    " or text|float|string == text %}"
)
_RESULTS = {
    "v2": _RESULT
    + "{{ '[TOOL_RESULTS][{\"name\": ' + message.name|tojson + ', \"content\": ' + (text if is_json else text|tojson)"
    " + '}][/TOOL_RESULTS]' }}",
    "v3": _RESULT + "{{ '[TOOL_RESULTS]{\"content\": ' + (text if is_json else text|tojson) + ', \"call_id\": '"
    " + message.tool_call_id|tojson + '}[/TOOL_RESULTS]' }}",
    "v7": "{{ '[TOOL_RESULTS]' + message.tool_call_id + '[TOOL_CONTENT]' + (message.content or '{}') + '[/TOOL_RESULTS]' }}",
    "v13": "{{ '[TOOL_RESULTS]' + (message.content or '{}') + '[/TOOL_RESULTS]' }}",
}
_NO_TOOLS = "{{ raise_exception('This model has no place for tools.') }}"
_NO_BOTH = (
    "{% if message.content and message.tool_calls %}"
    "{{ raise_exception('An assistant of this model either says something or calls tools.') }}{% endif %}"
)
_OTHER_ROLE = (
    "{{ raise_exception('Messages are from system, user, assistant and tool, not from ' + message.role + '.') }}"
)


def mistral_template(version: str, settings: Mapping[str, Any] | None = None) -> str:
    """The chat template of one version of mistral-common's, "v1" to "v15".

    Args:
        version: of the templates, as tokenizer files name it; those of vision models (v7m1) are the same for text.
        settings: `model_settings_builder` of a tekken file of v15; its defaults are what the template asks for.

    Raises:
        ValueError: there is no such version.
    """
    plain = version.split("m")[0]
    if plain not in _VERSIONS:
        raise ValueError(f"templates of version {version}, of which Bise knows {', '.join(_VERSIONS)}")
    number = int(plain.removeprefix("v"))
    user = _user(number)
    if number >= 15:
        user = user.replace("SETTINGS", _settings(settings or {}))
    branches = [("user", user), ("assistant", _assistant(number)), ("tool", _tool(number))]
    if number >= 7:
        branches.append(("system", "{{ '[SYSTEM_PROMPT]' + message.content + '[/SYSTEM_PROMPT]' }}"))
    else:
        branches.append(("system", ""))
    chosen = "".join(
        f"{{% {'elif' if place else 'if'} message.role == '{role}' %}}{text}"
        for place, (role, text) in enumerate(branches)
    )
    return f"{{{{ bos_token }}}}{_SURVEY}{{% for message in messages %}}{chosen}{{% else %}}{_OTHER_ROLE}{{% endif %}}{{% endfor %}}"


def _user(number: int) -> str:
    tools = _TOOLS.replace("PLACE", "first" if number >= 13 else "last") if number > 1 else ""  # as v1 does: unseen
    tools += "SETTINGS" if number >= 15 else ""
    system = _SYSTEM_BEFORE_QUESTION.replace("PLACE", "first" if number == 1 else "last") if number < 7 else ""
    marks = ("[INST] ", " [/INST]") if number == 1 else ("[INST]", "[/INST]")
    return tools + _USER.replace("OPEN", marks[0]).replace("CLOSE", marks[1]).replace("SYSTEM", system)


def _assistant(number: int) -> str:
    if number == 1:  # what it says is cut apart from the question, so it begins with a blank
        return "{% if message.tool_calls %}" + _NO_TOOLS + "{% endif %}{{ ' ' + message.content + eos_token }}"
    if number < 11:
        calls = _LISTED_CALLS.replace("ID", _LISTED_ID if number >= 3 else "", 1)
    else:
        calls = _CALLS.replace("ID", _CALL_ID if number < 13 else "", 1)
    said = "{{ (message.content or '').rstrip(' ') }}{% if message.tool_calls %}" + calls.replace(
        "ARGUMENTS", _ARGUMENTS
    )
    said += "{% endif %}{{ eos_token }}"
    if number == 2:  # calls before the last question are forgotten
        said = "{% if not message.tool_calls or loop.index0 > seen.last %}" + said + "{% endif %}"
    return (_NO_BOTH if number < 7 else "") + said


def _tool(number: int) -> str:
    if number == 1:
        return _NO_TOOLS
    result = _RESULTS["v13" if number >= 13 else "v7" if number >= 7 else f"v{number}"]
    return "{% if loop.index0 > seen.last %}" + result + "{% endif %}" if number == 2 else result


def _settings(builder: Mapping[str, Any]) -> str:
    """What a model with settings is told when nobody asks for any."""
    defaults = {
        name: field["default"] for name, field in sorted(builder.items()) if field and field.get("default") is not None
    }
    if not defaults:
        return ""
    text = json.dumps(defaults, ensure_ascii=False)
    return (
        "{% if loop.index0 == seen.first %}{{ '[MODEL_SETTINGS]' + "
        + json.dumps(text, ensure_ascii=False)
        + " + '[/MODEL_SETTINGS]' }}{% endif %}"
    )
