"""Asking another server of C2PA's Soft Binding Resolution API which manifests fit a soft binding.

What is sent is the value that was read from a clip, never the clip. What comes back is from a
stranger: sizes and times have limits, and a manifest is worth nothing until it was verified.
"""

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any, Self
from urllib.parse import quote, urlencode, urljoin, urlsplit

import obverse
from obverse.errors import ConfigError, ProvenanceError
from obverse.provenance.resolution import STORE_TYPE, WELL_KNOWN

__all__ = ["RemoteResolver"]

_MOST_JSON_BYTES = 1 << 20
_MOST_MANIFEST_BYTES = 8 << 20
_LONGEST_IN_ADDRESS = 2000  # characters of a value in a URL; servers refuse more than 2048 or so
_PIECE_BYTES = 1 << 16
_PORTS = {"http": 80, "https": 443}


class RemoteResolver:
    """A server that is asked by its URL."""

    def __init__(self, url: str, *, timeout_seconds: float = 30.0) -> None:
        """Take the server's URL; nothing is asked yet.

        Args:
            url: the API's base, such as `https://example.org/v1`.
            timeout_seconds: that one answer may take.

        Raises:
            ConfigError: it is no http or https URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
            raise ConfigError(
                f"{url!r} is no address of a resolver; give one such as https://example.org/v1."
            )
        self._base = url.rstrip("/")
        self._timeout = timeout_seconds
        self._opener = urllib.request.build_opener(_Redirects(self._may_go_to))

    @classmethod
    def at(cls, url: str, *, timeout_seconds: float = 30.0) -> Self:
        """Return the server of a URL; where only a host is named, it is asked where its API is.

        Raises:
            ConfigError: it is no http or https URL.
            ProvenanceError: the server cannot be reached.
        """
        resolver = cls(url, timeout_seconds=timeout_seconds)
        base = resolver._base
        if not urlsplit(base).path:
            found = resolver._json(base + WELL_KNOWN, absent_is_none=True)
            if isinstance(found, dict) and isinstance(found.get("apiEndpoint"), str):
                base = resolver._allowed(found["apiEndpoint"])
        return cls(base, timeout_seconds=timeout_seconds)

    @property
    def url(self) -> str:
        """The API's base."""
        return self._base

    def supported(self) -> frozenset[str] | None:
        """Return the algorithms whose values the server knows; None if it does not tell.

        Raises:
            ProvenanceError: the server cannot be reached, or its answer cannot be understood.
        """
        answer = self._json(f"{self._base}/services/supportedAlgorithms", absent_is_none=True)
        if answer is None:
            return None
        listed = [
            each for name in ("watermarks", "fingerprints") for each in self._list(answer, name)
        ]
        return frozenset(str(each["alg"]) for each in listed if "alg" in each)

    def by_binding(self, algorithm: str, value: bytes, most: int = 10) -> list[tuple[str, str]]:
        """Return the identifiers of the manifests that fit, the best first, and whose API has each.

        Raises:
            ProvenanceError: the server cannot be reached, or its answer cannot be understood.
        """
        query = {"alg": algorithm, "value": base64.b64encode(value).decode()}
        address = f"{self._base}/matches/byBinding"
        if len(query["value"]) <= _LONGEST_IN_ADDRESS:
            answer = self._json(f"{address}?{urlencode(query | {'maxResults': most})}")
        else:
            answer = self._json(f"{address}?maxResults={most}", json.dumps(query).encode())
        return [
            (
                str(each["manifestId"]),
                self._allowed(str(each["endpoint"])) if each.get("endpoint") else self._base,
            )
            for each in self._list(answer, "matches")
            if each.get("manifestId")
        ][:most]

    def manifest(self, manifest_id: str, endpoint: str) -> bytes | None:
        """Return a manifest store as it was sent; None where it is not there.

        Raises:
            ProvenanceError: the server cannot be reached.
        """
        address = f"{endpoint.rstrip('/')}/manifests/{quote(manifest_id, safe='')}"
        return self._ask(address, None, STORE_TYPE, _MOST_MANIFEST_BYTES, absent_is_none=True)

    def _list(self, answer: Any, name: str) -> list[dict[str, Any]]:
        """Return a list of objects out of an answer; what may be absent is []."""
        listed = answer.get(name, []) if isinstance(answer, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise ProvenanceError(
                f"{self._base} gave no list of {name}, as C2PA's Soft Binding Resolution API has "
                "it; give the address of such a server."
            )
        return listed

    def _may_go_to(self, address: str) -> bool:
        """Whether an address that a server named may be asked: https, or the server itself."""
        return urlsplit(address).scheme == "https" or _origin(address) == _origin(self._base)

    def _allowed(self, address: str) -> str:
        address = urljoin(self._base + "/", address)
        if not self._may_go_to(address):
            raise ProvenanceError(
                f"{self._base} points to {address[:200]!r}, which is neither https nor on the same "
                "server; ask that one yourself if you trust it."
            )
        return address

    def _json(
        self, address: str, body: bytes | None = None, *, absent_is_none: bool = False
    ) -> Any:
        content = self._ask(
            address, body, "application/json", _MOST_JSON_BYTES, absent_is_none=absent_is_none
        )
        if content is None:
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ProvenanceError(
                f"{self._base} answered with something other than JSON; give the address of a "
                "server of C2PA's Soft Binding Resolution API."
            ) from error

    def _ask(
        self, address: str, body: bytes | None, kind: str, most_bytes: int, *, absent_is_none: bool
    ) -> bytes | None:
        headers = {"Accept": kind, "User-Agent": f"obverse/{obverse.__version__}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        ends = time.monotonic() + self._timeout
        try:
            request = urllib.request.Request(address, body, headers)
            with self._opener.open(request, timeout=self._timeout) as answer:
                return self._read(answer, most_bytes, ends)
        except urllib.error.HTTPError as error:
            with error:
                if absent_is_none and error.code in (404, 501):
                    return None
                said = _sentence(error)
            raise ProvenanceError(f"{self._base} refused with {error.code}{said}.") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise ProvenanceError(
                f"{self._base} cannot be asked ({why}); give the address of a resolver that runs."
            ) from error

    def _read(self, answer: Any, most_bytes: int, ends: float) -> bytes:
        content = b""
        while piece := answer.read(_PIECE_BYTES):
            content += piece
            if len(content) > most_bytes:
                raise ProvenanceError(
                    f"{self._base} answered with more than {most_bytes} bytes; that is no answer."
                )
            if time.monotonic() > ends:
                raise TimeoutError(f"no whole answer within {self._timeout:g} s")
        return content


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to where it may go, and to no other scheme or host in the clear."""

    def __init__(self, may_go_to: Any) -> None:
        self._may_go_to = may_go_to

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if not self._may_go_to(newurl):
            fp.close()
            raise urllib.error.URLError(f"it sends on to {newurl[:200]!r}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _sentence(error: urllib.error.HTTPError) -> str:
    """Return what a refusal says, where it says it as the API's servers do."""
    try:
        said = json.loads(error.read(_PIECE_BYTES))["error"]
    except (ValueError, KeyError, TypeError, OSError):
        return ""
    text = "".join(each for each in str(said) if each.isprintable())
    return f": {text[:200].rstrip('.')}"
