"""A real OpenID provider on loopback: oidc-provider-mock, which is Authlib's authorization server, with PKCE demanded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flask
import httpx
import oidc_provider_mock
import werkzeug.serving
from authlib.oauth2.rfc7636 import CodeChallenge
from oidc_provider_mock._app import AuthorizationCodeGrant, OpenIDCode


class DemandingGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """Keeps the challenge of each code; public clients may come, too."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")
    challenges: dict[str, tuple[str, str]]

    def save_authorization_code(self, code: str, request: Any) -> None:
        self.challenges[code] = (flask.request.args["code_challenge"], flask.request.args["code_challenge_method"])
        super().save_authorization_code(code, request)


class KeptChallenge(CodeChallenge):  # type: ignore[misc]
    """Compares a verifier with the challenge that its code was asked with."""

    def __init__(self, challenges: dict[str, tuple[str, str]]) -> None:
        super().__init__(required=True)
        self._challenges = challenges

    def get_authorization_code_challenge(self, authorization_code: Any) -> str:
        return self._challenges[authorization_code.code][0]

    def get_authorization_code_challenge_method(self, authorization_code: Any) -> str:
        return self._challenges[authorization_code.code][1]


@contextmanager
def running_provider(port: int = 0) -> Iterator[str]:
    """Run a provider with keys of its own; gives its issuer."""
    application = oidc_provider_mock.app(require_nonce=True)
    kept: dict[str, tuple[str, str]] = {}
    demanding = type("Grant", (DemandingGrant,), {"challenges": kept})
    lock, prepared = threading.Lock(), []

    @application.before_request
    def demand_pkce() -> None:
        with lock:
            if not prepared:
                server = flask.g._authlib_authorization_server
                server._authorization_grants.clear()
                server._token_grants.clear()
                config = flask.g.oidc_provider_mock_config
                ids = OpenIDCode(require_nonce=True, token_max_age=config.access_token_max_age)
                server.register_grant(demanding, [ids, KeptChallenge(kept)])
                prepared.append(True)

    server = werkzeug.serving.make_server("127.0.0.1", port, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def say_yes(address: str, subject: str, **claims: object) -> str:
    """What somebody does at the provider: sign in as a subject. Returns where the provider sends the browser."""
    root = address.partition("/oauth2/")[0]
    assert httpx.put(f"{root}/users/{subject}", json=claims).status_code == 204
    response = httpx.post(address, data={"sub": subject})
    assert response.status_code == 302, response.text
    return response.headers["location"]


def say_no(address: str) -> str:
    """Somebody declines. Returns where the provider sends the browser."""
    return httpx.post(address, data={"action": "deny"}).headers["location"]
