# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys and certificates of a cluster, made anew for each: nothing outlives the lab that it opens."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.lab import files

_VALID: Final = dt.timedelta(days=365)
#: Certificates begin in the past, for clocks that are set back.
_SKEW: Final = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files.

    Attributes:
        certificate: Path of the certificate, PEM.
        key: Path of the private key, PEM, readable for its owner only.
    """

    certificate: Path
    key: Path

    @classmethod
    def at(cls, directory: Path, name: str) -> Pair:
        """Return the pair of this name in a folder, whether it exists yet or not."""
        return cls(directory / f"{name}.crt", directory / f"{name}.key")

    @property
    def exists(self) -> bool:
        """Whether both files are there."""
        return self.certificate.exists() and self.key.exists()


class Authority:
    """A certificate authority whose key lies in a folder; made when it is first needed.

    Args:
        directory: Folder of its files and of what it issues.
        name: Name of its files.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self.files = Pair.at(directory, name)
        if self.files.exists:
            self._key = _load_key(self.files.key)
            self._certificate = x509.load_pem_x509_certificate(self.files.certificate.read_bytes())
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"hep-sonic-lab-{name}")])
            self._certificate = (
                _builder(subject, subject, self._key)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_key_usage(signs_certificates=True), critical=True)
                .sign(self._key, hashes.SHA256())
            )
            _write(self.files, self._certificate, self._key)

    def issue(self, name: str, common_name: str, *, groups: Iterable[str] = (), addresses: Iterable[str] = ()) -> Pair:
        """Return a certificate for a client, or for a server if it has addresses; made when it is first needed.

        Args:
            name: Name of its files.
            common_name: The user whom Kubernetes sees.
            groups: The groups whom Kubernetes sees.
            addresses: Names and IP addresses under which it serves.
        """
        pair = Pair.at(self._directory, name)
        if pair.exists:
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
            + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        )
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        names = [_general_name(address) for address in addresses]
        builder = _builder(subject, self._certificate.subject, key).add_extension(
            _key_usage(signs_certificates=False), critical=True
        )
        if names:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False).sign(
            self._key, hashes.SHA256()
        )
        _write(pair, certificate, key)
        return pair


def signing_key(directory: Path, name: str) -> tuple[Path, Path]:
    """Return the files of a private key and its public key, for service account tokens; made when first needed."""
    private, public = directory / f"{name}.key", directory / f"{name}.pub"
    if not public.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        _write_private(private, key)
        files.write(
            public,
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        )
    return private, public


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} does not hold an elliptic-curve key")
    return key


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write_private(pair.key, key)
    files.write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files.write(path, text, mode=0o600)
