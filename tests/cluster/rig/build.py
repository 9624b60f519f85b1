"""Builds the rig's programs from their Go modules, once per version, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.places import SOURCES, RigError, alone, programs

KUBERNETES = "1.35.4"
_VERSION = "k8s.io/component-base/version"
_STAMP = f"-X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=35 -X {_VERSION}.gitTreeState=clean"


@dataclass(frozen=True, slots=True)
class Product:
    """One program: the Go package it is made of, and the module folder under `programs/`, or the version `go install` takes."""

    name: str
    package: str
    version: str
    module: str = ""
    stamp: str = ""

    @property
    def key(self) -> str:
        """Name, version and a digest of all that goes into it: another digest is another build."""
        digest = hashlib.sha256(f"{self.package} {self.version} {self.stamp}".encode())
        if self.module:
            for file in sorted((SOURCES / self.module).iterdir()):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:8]}"

    @property
    def file(self) -> Path:
        """Where the built program lies, whether it is there or not."""
        return programs() / self.key / self.name


def _of_kubernetes(name: str) -> Product:
    return Product(name, f"k8s.io/kubernetes/cmd/{name}", KUBERNETES, "kubernetes", _STAMP)


PRODUCTS = (
    Product("relay", ".", "1", "relay"),
    Product("shop", ".", "1", "shop"),
    Product("etcd", ".", "3.6.16", "etcd"),
    *map(_of_kubernetes, ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")),
)
# For some experiments only; `build --with NAME`.
EXTRAS = (Product("kwok", "sigs.k8s.io/kwok/cmd/kwok", "0.8.0"),)


def program(name: str) -> Path:
    """The built program of that name; RigError when it has not been built."""
    product = next(product for product in (*PRODUCTS, *EXTRAS) if product.name == name)
    if not product.file.exists():
        raise RigError(f"{product.file}: not built; run `python tests/cluster/run_rig.py build`")
    return product.file


def not_built() -> list[Product]:
    """The programs that a rig needs and that are not there."""
    return [product for product in PRODUCTS if not product.file.exists()]


def build(products: list[Product], say: Callable[[str], None], jobs: int = 2) -> None:
    """Builds what of these is missing, one after the other, saying each with its seconds."""
    if all(product.file.exists() for product in products):
        return
    if shutil.which("go") is None:
        raise RigError("go: not found; install Go 1.26 or newer (everything is built from Go modules)")
    with alone(programs()), _fresh_part() as part:
        for n, product in enumerate(products, 1):
            if product.file.exists():
                continue
            say(f"[{n}/{len(products)}] {product.key} …")
            started_s = time.monotonic()
            _build_one(product, Path(part) / product.key, jobs)
            size = product.file.stat().st_size / 1e6
            say(f"[{n}/{len(products)}] {product.key}: {time.monotonic() - started_s:.0f} s, {size:.0f} MB")


@contextmanager
def _fresh_part() -> Iterator[str]:
    """A folder to build in, after what a killed build left is away."""
    for old in programs().glob(".part-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=programs()) as part:
        yield part


def _build_one(product: Product, part: Path, jobs: int) -> None:
    """Builds into `part`, which becomes the product's folder in one step."""
    part.mkdir()
    # -mod=readonly and go.sum: what is built is what was looked at. No toolchain is fetched behind the user's back.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": f"-p={jobs} -buildvcs=false", "GOBIN": str(part)}
    flags = ["-trimpath", "-ldflags", f"-s -w {product.stamp}".strip()]
    if product.module:
        command = ["go", "build", "-mod=readonly", *flags, "-o", str(part / product.name), product.package]
    else:
        command = ["go", "install", *flags, f"{product.package}@v{product.version}"]
    done = subprocess.run(command, cwd=SOURCES / product.module, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RigError(f"{' '.join(command)}: ended with {done.returncode}; it said:\n{done.stderr[-1500:]}")
    part.rename(product.file.parent)
