"""Writes a certificate authority NAME-ca.pem, and a certificate NAME.pem with its key NAME.key for localhost and 127.0.0.1, into a directory."""

import datetime
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

directory, *names = sys.argv[1:]
now = datetime.datetime.now(datetime.timezone.utc)


def certificate(subject, issuer, key, signer, extensions):
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


for name in names:
    path = lambda ending: pathlib.Path(directory) / (name + ending)
    called = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = called(f"authority {name}")
    basic = x509.BasicConstraints(ca=True, path_length=0)
    path("-ca.pem").write_bytes(certificate(issuer, issuer, authority, authority, [(basic, True)]))
    names_of = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    path(".pem").write_bytes(certificate(called(name), issuer, server, authority, [(names_of, False)]))
    pkcs8 = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path(".key").write_bytes(server.private_bytes(*pkcs8))
