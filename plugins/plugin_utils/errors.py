# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exceptions of this collection: each says what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence


class SonicError(Exception):
    """A failure that an operator can act upon.

    Args:
        message: What is wrong: the value, and the object or file it belongs to.
        remedy: What to do about it; empty where the message says it all.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class ManifestError(SonicError):
    """A manifest is not a Kubernetes object that this release may hold."""


class DownloadError(SonicError):
    """A file of another project cannot be had, or is not the one that was meant."""


class PrometheusError(SonicError):
    """A site's Prometheus does not answer, or is none."""


class AccessError(SonicError):
    """The cluster cannot be reached, or does not accept who we are."""


class RequestError(SonicError):
    """The API server refused a request.

    Args:
        status: HTTP status code of the answer.
        reason: Machine-readable reason of the answer's Status, such as ``Conflict``.
        about: Plural kind and name of the object that the Status is about, which for a missing one is not the one sent.
        owners: Of the fields that another manager owns, what the API server says of each, with its manager's name.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        status: int,
        reason: str = "",
        about: tuple[str, str] = ("", ""),
        owners: Sequence[str] = (),
    ) -> None:
        super().__init__(message, remedy)
        self.status = status
        self.reason = reason
        self.about = about
        self.owners = owners


class ReleaseError(SonicError):
    """The release as a whole cannot be carried out: somebody else's objects, a held Lease, a refused dry run."""


class NotReadyError(SonicError):
    """Something that was waited for is not ready."""
