# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the rules of instances to a Prometheus: a sidecar of its Pod, on a stock image, with Python's own library.

It looks for ConfigMaps with a label in some namespaces, again and again, and writes what they hold as files, which
Prometheus reads when they change. While the API server does not answer for a namespace, its files stay as they are.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

#: Seconds between two looks, and to wait for an answer.
LOOK_SECONDS, TIMEOUT_SECONDS = 5.0, 15.0
#: Where the kubelet puts the token and the certificate authority.
CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SELECTOR = "hep.sonic/rules=prometheus"


def log(message: str) -> None:
    """Write a line to the container's log."""
    print(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "message": message}), flush=True)


def rules_of(host: str, port: int, credentials: Path, namespace: str) -> dict[str, str]:
    """Return the rule files of the instances in a namespace: a name that no other has → its content.

    Raises:
        OSError, http.client.HTTPException, ValueError: The API server does not answer, or not as it should.
    """
    # both are read each time: the kubelet renews them
    token = (credentials / "token").read_text(encoding="utf-8").strip()
    context = ssl.create_default_context(cafile=str(credentials / "ca.crt"))
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
    try:
        path = f"/api/v1/namespaces/{namespace}/configmaps?{urlencode({'labelSelector': SELECTOR})}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise http.client.HTTPException(f"{response.status} {body[:500].decode(errors='replace')}")
    return {
        f"{namespace}_{one['metadata']['name']}_{key}": text
        for one in json.loads(body).get("items") or ()
        for key, text in (one.get("data") or {}).items()
    }


def write(folder: Path, namespace: str, files: Mapping[str, str]) -> None:
    """Write the files of a namespace where they differ, each in one step, and remove those that are no longer there."""
    for path in folder.glob(f"{namespace}_*.yml"):
        if path.name not in files:
            path.unlink()
            log(f"{path.name} has gone")
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            new = path.with_suffix(".new")
            new.write_text(text, encoding="utf-8")
            new.replace(path)
            log(f"{name} is new")


def stop(*_: object) -> None:
    """End at once: a process with the number 1 ignores SIGTERM by itself."""
    sys.exit(0)


def main() -> None:
    """Parse the command line and write until told to stop."""
    parser = argparse.ArgumentParser(description="Brings the rules of instances to a Prometheus.")
    parser.add_argument("--folder", type=Path, required=True, help="where Prometheus reads")
    parser.add_argument("--credentials", type=Path, default=CREDENTIALS, help="folder of the token")
    parser.add_argument("namespaces", nargs="*", help="where the instances are")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    while True:
        for namespace in options.namespaces:
            try:
                write(options.folder, namespace, rules_of(host, port, options.credentials, namespace))
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                log(f"The rules of {namespace} stay as they are: {error!r}")
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
