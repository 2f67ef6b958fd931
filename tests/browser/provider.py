"""A small OpenID Connect provider that logs in the person set by the test, without asking."""

import base64
import hashlib
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "slotlab", "a secret between app and provider"


class Provider:
    """Serves discovery, authorization, tokens and keys on a free local port."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        """Claims about the person who logs in, including `sub`."""
        self.key = RSAKey.generate_key(2048, {"kid": "test", "use": "sig", "alg": "RS256"})
        self.authorizations: dict[str, dict[str, str]] = {}
        """Parameters of each authorization, by code."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._get(self)

            def do_POST(self) -> None:
                provider._token(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def secrets(self, port: int) -> str:
        """The [auth] section of an app on `port`, as TOML."""
        return (
            f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\n'
            f'cookie_secret = "long enough to sign cookies with"\nclient_id = "{CLIENT}"\nclient_secret = "{SECRET}"\n'
            f'server_metadata_url = "{self.url}/.well-known/openid-configuration"\n'
        )

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        address = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        if address.path == "/.well-known/openid-configuration":
            _answer(request, {
                "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
            })  # fmt: skip
        elif address.path == "/keys":
            _answer(request, {"keys": [self.key.as_dict(private=False)]})
        elif address.path == "/authorize" and query.get("client_id") == CLIENT:
            code = f"code {len(self.authorizations)}"
            self.authorizations[code] = query
            back = urllib.parse.urlencode({"code": code, "state": query["state"]})
            request.send_response(302)
            request.send_header("Location", f"{query['redirect_uri']}?{back}")
            request.end_headers()
        else:
            request.send_error(404)

    def _token(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body))
        authorization = self.authorizations.pop(form["code"])  # a code is valid once
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if challenge.decode() != authorization["code_challenge"]:
            request.send_error(400)
            return
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 600,
            "nonce": authorization["nonce"],
        } | self.claims
        token = jwt.encode({"alg": "RS256", "kid": "test"}, claims, self.key)
        _answer(request, {"access_token": "x", "token_type": "Bearer", "expires_in": 600, "id_token": token})


def _answer(request: BaseHTTPRequestHandler, values: dict[str, Any]) -> None:
    body = json.dumps(values).encode()
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
