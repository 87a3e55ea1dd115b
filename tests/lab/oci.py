# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container images as the OCI specifications lay them out, and pushing them to a registry.

Layers stay uncompressed: they never leave the machine, where packing and unpacking would take longer than copying.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Final, Self

from tests.lab.errors import LabError
from tests.lab.http import Answer, request

_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"


class Layer:
    """Writes one layer: a tar file whose content depends on nothing but what is added.

    Args:
        file: Where to write it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._tar = tarfile.open(file, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by __exit__
        self._folders = {PurePosixPath("/")}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Add a folder and those above it."""
        target = PurePosixPath(path)
        if target in self._folders:
            return
        self.folder(str(target.parent))
        self._folders.add(target)
        self._tar.addfile(_entry(target, tarfile.DIRTYPE, mode))

    def content(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file with this content."""
        entry = self._prepare(path, tarfile.REGTYPE, mode)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))

    def copy(self, path: str, source: Path, mode: int = 0o644) -> None:
        """Add a file with the content of one of this machine."""
        entry = self._prepare(path, tarfile.REGTYPE, mode)
        entry.size = source.stat().st_size
        with source.open("rb") as stream:
            self._tar.addfile(entry, stream)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        entry = self._prepare(path, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        self._tar.addfile(entry)

    def _prepare(self, path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        target = PurePosixPath(path)
        self.folder(str(target.parent))
        return _entry(target, kind, mode)


def _entry(path: PurePosixPath, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(str(path.relative_to("/")))
    entry.type = kind
    entry.mode = mode
    return entry


@dataclass(frozen=True)
class Config:
    """How containers of an image start.

    Attributes:
        entrypoint: Program and first arguments.
        command: Arguments that a pod's `args` replace.
        user: Who they run as, unless the pod says.
        path: Folders in which programs are found.
        directory: Working directory.
        environment: More variables.
    """

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    directory: str = "/"
    environment: Mapping[str, str] = field(default_factory=dict)


class Layout:
    """An image in a folder (OCI image layout, one manifest).

    Args:
        directory: The folder; it need not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def digest(self) -> str:
        """Digest of the manifest: the name by which the image is used."""
        index = json.loads((self.directory / "index.json").read_text(encoding="utf-8"))
        digest: str = index["manifests"][0]["digest"]
        return digest

    def write(self, layers: Sequence[Path], config: Config) -> None:
        """Make the image of these layers, which are moved into it."""
        shutil.rmtree(self.directory, ignore_errors=True)
        (self.directory / "blobs" / "sha256").mkdir(parents=True)
        descriptors = [self._take(layer) for layer in layers]
        path = {"PATH": config.path, **config.environment}
        image = {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": config.user,
                "Env": [f"{name}={text}" for name, text in path.items()],
                "Entrypoint": list(config.entrypoint),
                "Cmd": list(config.command),
                "WorkingDir": config.directory,
            },
            "rootfs": {"type": "layers", "diff_ids": [descriptor["digest"] for descriptor in descriptors]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._store(image, _CONFIG),
            "layers": descriptors,
        }
        index = {"schemaVersion": 2, "manifests": [self._store(manifest, _MANIFEST)]}
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
        (self.directory / "index.json").write_text(json.dumps(index), encoding="utf-8")

    def push(self, registry: str, name: str) -> None:
        """Bring the image into a registry that does not have it yet.

        Args:
            registry: Host and port; plain HTTP, as only a lab's own registry speaks.
            name: Name of the repository in it.
        """
        base = f"http://{registry}/v2/{name}"
        if request("HEAD", f"{base}/manifests/{self.digest}", headers={"Accept": _MANIFEST}).status == HTTPStatus.OK:
            return
        body = self._blob(self.digest).read_bytes()
        manifest = json.loads(body)
        for descriptor in (*manifest["layers"], manifest["config"]):
            self._push_blob(base, descriptor["digest"])
        _expect(
            HTTPStatus.CREATED,
            request("PUT", f"{base}/manifests/{self.digest}", body=body, headers={"Content-Type": _MANIFEST}),
            f"manifest of {name}",
        )

    def _push_blob(self, base: str, digest: str) -> None:
        if request("HEAD", f"{base}/blobs/{digest}").status == HTTPStatus.OK:
            return
        begun = _expect(HTTPStatus.ACCEPTED, request("POST", f"{base}/blobs/uploads/"), digest)
        location = begun.headers["location"]
        blob = self._blob(digest)
        with blob.open("rb") as stream:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.stat().st_size)}
            joint = "&" if "?" in location else "?"
            answer = request("PUT", f"{location}{joint}digest={digest}", body=stream, headers=headers, timeout=120.0)
        _expect(HTTPStatus.CREATED, answer, digest)

    def _blob(self, digest: str) -> Path:
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def _take(self, layer: Path) -> dict[str, Any]:
        with layer.open("rb") as stream:
            digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        size = layer.stat().st_size
        layer.replace(self._blob(digest))
        return {"mediaType": _LAYER, "digest": digest, "size": size}

    def _store(self, document: Mapping[str, Any], media_type: str) -> dict[str, Any]:
        body = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self._blob(digest).write_bytes(body)
        return {"mediaType": media_type, "digest": digest, "size": len(body)}


def _expect(status: HTTPStatus, answer: Answer, what: str) -> Answer:
    if answer.status != status:
        raise LabError(f"the registry answered {answer.status} for {what}: {answer.text.strip()}")
    return answer
