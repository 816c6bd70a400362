"""A FHIR R4 server that nobody here wrote (`sekmet-fhir`), as a process of its own on loopback, for demo and tests."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fhir_source.errors import IessError
from fhir_source.source import Auth, Kind, Source
from synthetic.loading import LoadReport, load_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

SmartAlgorithm = Literal["RS384", "ES384"]

_PORT_ATTEMPTS = 3  # a port found free can be taken before the server binds it
_CLIENT_ID = "iess-referral-watch"


class FhirServerFailed(IessError):
    """The FHIR server of the demo or a test did not start, or stopped."""

    exit_code = 51


@dataclass
class FhirServer:
    """`with FhirServer(folder, smart="RS384") as server:` - started, ready, and gone afterwards.

    `folder` holds everything it writes: settings, database, log, key. Started again on the same folder, it serves what
    was loaded before, at another port. `extra` is merged over the settings, section by section:
    `{"server_behaviour": {"absolute_references": True}, "validation": {"inbound": "off"}}`.
    """

    folder: Path
    smart: SmartAlgorithm | None = None
    token_lifetime: int = 3600  # seconds
    # GET needs rs; DELETE of a finished export needs d. A client gets only what it asks for among these.
    scopes: str = "system/*.rsd"
    extra: dict[str, Any] = field(default_factory=dict)
    start_timeout: float = 60.0  # seconds
    port: int = 0
    client_id: str = _CLIENT_ID
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _loader_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.root_url}/fhir"

    @property
    def token_url(self) -> str:
        return f"{self.root_url}/auth/token"

    @property
    def private_key_path(self) -> Path:
        """PEM of the registered client's private key, mode 600. Only there with `smart`."""
        return self.folder / "client_key.pem"

    @property
    def log_path(self) -> Path:
        return self.folder / "server.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def source(self, name: str, kind: Kind = "search", **fields: Any) -> Source:
        """This server as a source to pull from, with the credentials that it accepts."""
        auth = Auth()
        if self.smart:
            auth = Auth(
                kind="smart",
                client_id=self.client_id,
                token_url=self.token_url,
                private_key=self.private_key_path.read_text(),
            )
        return Source(name=name, kind=kind, url=self.base_url, auth=auth, **fields)

    def start(self) -> FhirServer:
        """Start and wait until it answers. Raises FhirServerFailed when it doesn't within `start_timeout`."""
        if self.running:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(_PORT_ATTEMPTS):
            self.port = _free_port()
            self._launch()
            if self._wait_until_ready():
                return self
            self.stop()
            if attempt == _PORT_ATTEMPTS - 1:
                break
        raise FhirServerFailed(
            "The FHIR server ended before it was ready", next_step=f"read its log in {self.log_path.name}"
        )

    def load(self, folder: Path, progress: Callable[[int], None] | None = None) -> LoadReport:
        """PUT every resource of the NDJSON files in `folder` (not of its subfolders); see `synthetic.loading`.

        `progress` is called with the number of resources sent since the last call.
        """
        headers = {"Authorization": f"Bearer {self._loader_token}"} if self.smart else {}
        return load_folder(self.base_url, folder, headers=headers, progress=progress)

    def stop(self) -> None:
        """End the server and everything in its process group; harmless when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()  # the guard inside leaves on this
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)

    def __enter__(self) -> FhirServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        settings = self.folder / "settings.yaml"
        settings.touch(mode=0o600)
        settings.write_text(yaml.safe_dump(self._settings()))
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "synthetic.guarded_server", settings.name],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own: Ctrl-C reaches us first, and we end it whole
            )

    def _wait_until_ready(self) -> bool:
        """True when it answers, False when it ended; raises when it does neither in time."""
        deadline = time.monotonic() + self.start_timeout
        with httpx.Client(trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                if not self.running:
                    return False
                try:
                    if client.get(f"{self.base_url}/metadata").status_code == httpx.codes.OK:
                        return True
                except httpx.TransportError:
                    pass  # not listening yet: that is what is being waited for
                time.sleep(0.1)
        self.stop()
        raise FhirServerFailed(
            f"The FHIR server did not answer within {self.start_timeout:.0f} seconds",
            next_step=f"read its log in {self.log_path.name}",
        )

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "host": "127.0.0.1",  # its default listens on every interface
            "port": self.port,
            "base_url": self.base_url,
            "data_dir": "data",
            "log_inbound": False,  # its traffic log keeps every body in the database
            # It would answer our orders with reports and appointments of its own, and so change the truth.
            # The delay is also how long it lets an export look unfinished.
            "simulator": {"enabled": False, "delay_seconds": 0.2},
        }
        if self.smart:
            settings["server_auth"] = {
                "types": ["smart", "bearer"],
                "tokens": [self._loader_token],
                "token_lifetime": self.token_lifetime,
                "smart_clients": [{"client_id": self.client_id, "jwks": self._register_key(), "scopes": self.scopes}],
            }
        for section, values in self.extra.items():
            known = settings.get(section)
            settings[section] = {**known, **values} if isinstance(known, dict) else values
        return settings

    def _register_key(self) -> dict[str, Any]:
        """JWKS of the client's public key; makes the private key on the first start."""
        if not self.private_key_path.exists():
            self.private_key_path.touch(mode=0o600)
            self.private_key_path.write_bytes(_new_key(self.smart or "RS384"))
        key: Any = serialization.load_pem_private_key(self.private_key_path.read_bytes(), password=None)
        algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
        jwk = algorithm.to_jwk(key.public_key(), as_dict=True)
        jwk = {name: value for name, value in jwk.items() if name not in ("key_ops", "alg")}
        return {"keys": [{**jwk, "alg": self.smart, "use": "sig", "kid": self.client_id}]}


def _new_key(algorithm: SmartAlgorithm) -> bytes:
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if algorithm == "ES384":
        key = ec.generate_private_key(ec.SECP384R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    """Ours, without what would override the settings, and with this package importable from another folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEKMET_")}
    here = str(Path(__file__).resolve().parent.parent)
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [here, kept.get("PYTHONPATH")]))
    return kept
