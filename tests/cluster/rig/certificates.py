"""The rig's certificates and kubeconfigs, by openssl, on elliptic curves: all of them in a third of a second."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from pathlib import Path

from rig.places import RigError

_CURVE = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
DAYS = "30"


def _openssl(*words: str) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise RigError(f"openssl {' '.join(words)}: ended with {done.returncode}; it said: {done.stderr[-400:]}")


def make_authority(folder: Path, name: str) -> None:
    """Makes `name.key` and the self-signed `name.crt`."""
    _openssl("genpkey", *_CURVE, "-out", str(folder / f"{name}.key"))
    usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
    _openssl(
        *("req", "-x509", "-new", "-key", str(folder / f"{name}.key"), "-subj", f"/CN=rig-{name}", "-days", DAYS, "-addext", usage),
        *("-out", str(folder / f"{name}.crt")),
    )


def make_certificate(folder: Path, name: str, subject: str, authority: str = "ca", names: str = "") -> None:
    """Makes `name.key` and `name.crt` for the subject (`/O=…/CN=…`), signed by the authority; `names` are its subjectAltNames."""
    _openssl("genpkey", *_CURVE, "-out", str(folder / f"{name}.key"))
    _openssl("req", "-new", "-key", str(folder / f"{name}.key"), "-subj", subject, "-out", str(folder / f"{name}.csr"))
    extensions = folder / f"{name}.ext"
    lines = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth,serverAuth"]
    lines += ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]  # without these Python 3.13 refuses it
    extensions.write_text("\n".join([*lines, *([f"subjectAltName={names}"] if names else [])]) + "\n")
    _openssl(
        *("x509", "-req", "-in", str(folder / f"{name}.csr"), "-CA", str(folder / f"{authority}.crt"), "-CAkey", str(folder / f"{authority}.key")),
        *("-set_serial", str(secrets.randbits(63)), "-days", DAYS, "-extfile", str(extensions), "-out", str(folder / f"{name}.crt")),
    )


def make_control_certificates(folder: Path, address: str, service: str) -> None:
    """Makes what the control plane needs; `address` is the API server's, `service` the first address of the Services."""
    folder.mkdir()
    make_authority(folder, "ca")
    make_authority(folder, "front")
    _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(folder / "accounts.key"))
    _openssl("pkey", "-in", str(folder / "accounts.key"), "-pubout", "-out", str(folder / "accounts.pub"))
    hosts = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    names = ",".join([f"DNS:{host}" for host in hosts] + [f"IP:{ip}" for ip in ("127.0.0.1", address, service)])
    make_certificate(folder, "apiserver", "/CN=kube-apiserver", names=names)
    make_certificate(folder, "apiserver-to-kubelet", "/O=system:masters/CN=rig-apiserver")
    make_certificate(folder, "front-client", "/CN=front-client", authority="front")
    make_certificate(folder, "admin", "/O=system:masters/CN=rig-admin")
    for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy"):
        make_certificate(folder, name, f"/CN=system:{name}")


def write_kubeconfig(file: Path, folder: Path, user: str, server: str, context: str) -> Path:
    """Writes a kubeconfig (JSON is YAML) with everything inside it, for the certificate `user`."""

    def inline(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": inline("ca.crt")}}],
        "users": [{"name": user, "user": {"client-certificate-data": inline(f"{user}.crt"), "client-key-data": inline(f"{user}.key")}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=1))
    return file
