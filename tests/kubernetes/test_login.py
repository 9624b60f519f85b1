"""Getting in: contexts, tokens, exec plugins, a pod's own account; what is wrong is said in one sentence, and nothing hangs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kube_standin import Cluster as StandIn

from chaoslib_ext.errors import UsageError
from chaoslib_ext.kubernetes import objects
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.client import Access, open_door
from chaoslib_ext.kubernetes.kinds import PODS

PLUGIN = """#!/bin/sh
echo "$KUBERNETES_EXEC_INFO" > {told}
cat <<END
{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {{"token": "$(cat {token})"}}}}
END
"""


def plugin(folder: Path, script: str) -> dict[str, object]:
    """The user of a kubeconfig that logs in by this script."""
    path = folder / "plugin"
    path.write_text(script)
    path.chmod(0o700)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path), "interactiveMode": "Never"}}


def python(code: str, **environment: str) -> str:
    """What a Python of its own prints for some code."""
    ran = subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout.strip()


def test_the_command_line_imports_no_kubernetes() -> None:
    assert python("import sys, chaoslib_ext.cli; print(sorted({name.partition('.')[0] for name in sys.modules} & {'kubernetes', 'urllib3'}))") == "[]"


def test_our_package_is_imported_without_the_library_and_says_which_one_is_missing() -> None:
    code = """
import sys
sys.modules["kubernetes"] = None  # as if it were not installed
from chaoslib_ext.kubernetes import calls, client, objects, watching
try:
    client.open_door(client.Access("a", "b"))
except Exception as error:
    print(type(error).__name__, error)
"""
    assert python(code) == "UsageError context a of b: the Python package kubernetes is missing; pip install 'chaoslib_ext[kubernetes]'"


def test_a_context_is_chosen_by_name_and_the_current_one_by_none(cluster: StandIn, tmp_path: Path) -> None:
    other = StandIn()
    try:
        config = yaml.safe_load(cluster.kubeconfig(tmp_path / "config", context="one").read_text())
        second = yaml.safe_load(other.kubeconfig(tmp_path / "second", context="two").read_text())
        for part in ("clusters", "users", "contexts"):
            config[part] += second[part]
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        assert Cluster(Access(), cluster.uid).uid == cluster.uid  # KUBECONFIG names that file
        assert Cluster(Access("two"), other.uid).uid == other.uid
    finally:
        other.close()


def test_several_kubeconfigs_are_read_as_one(cluster: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": [], "current-context": "standin"}))
    cluster.kubeconfig(tmp_path / "more")
    monkeypatch.setenv("KUBECONFIG", f"{empty}:{tmp_path / 'more'}")
    assert Cluster(Access("standin"), cluster.uid).uid == cluster.uid


def test_a_context_that_is_not_there_is_told_with_those_that_are(kubeconfig: Path) -> None:
    with pytest.raises(UsageError, match=r"got the context 'prod', which is not in it \(there are: standin\)"):
        open_door(Access("prod", str(kubeconfig)))


@pytest.mark.parametrize("text", ["", "{", "[]", "kind: Config", "contexts: 1"])
def test_a_file_that_is_no_kubeconfig_is_told_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(UsageError, match="broken"):
        open_door(Access("standin", str(path)))


def test_a_kubeconfig_that_is_not_there_is_told_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"{tmp_path}/config: no such kubeconfig; set KUBECONFIG"):
        open_door(Access())


def test_an_exec_plugin_gives_the_token_and_is_asked_again_when_it_is_refused(cluster: StandIn, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first")
    cluster.token("first")
    user = plugin(tmp_path, PLUGIN.format(told=tmp_path / "told", token=tmp_path / "token"))
    door = Cluster(Access("standin", str(cluster.kubeconfig(tmp_path / "config", user))), cluster.uid)
    (tmp_path / "token").write_text("second")
    cluster.token("second")
    cluster.revoke("first")
    assert objects.listed(door, PODS, "shop").items == ()
    assert "ExecCredential" in (tmp_path / "told").read_text()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        pytest.param("#!/bin/sh\necho 'session expired' >&2\nexit 3\n", "session expired", id="it fails"),
        pytest.param("#!/bin/sh\necho hello\n", "failed to decode", id="it says no JSON"),
        pytest.param('#!/bin/sh\necho \'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "E", "status": {}}\'\n', "missing token", id="no token"),
    ],
)
def test_an_exec_plugin_that_gives_nothing_is_told_and_nothing_is_sent_without_credentials(cluster: StandIn, tmp_path: Path, script: str, says: str) -> None:
    config = cluster.kubeconfig(tmp_path / "config", plugin(tmp_path, script))
    with pytest.raises(UsageError, match=f"the login gave no credentials: .*{says}"):
        open_door(Access("standin", str(config)))
    assert cluster.requests() == []


def test_an_exec_plugin_that_never_returns_is_given_up(cluster: StandIn, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    config = cluster.kubeconfig(tmp_path / "config", plugin(tmp_path, f"#!/bin/sh\nread line < {tmp_path / 'gate'}\nexit 1\n"))
    try:
        with pytest.raises(UsageError, match=r"took longer than 0\.5 s; run its exec plugin by hand"):
            open_door(Access("standin", str(config), login_s=0.5))
    finally:
        with (tmp_path / "gate").open("w") as gate:
            gate.write("go\n")


def test_no_proxy_of_the_environment_is_kept(cluster: StandIn, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Cluster(Access("standin", str(kubeconfig)), cluster.uid).uid == cluster.uid


def test_a_kubeconfig_that_acts_as_somebody_else_is_refused_and_not_used_as_the_user_itself(cluster: StandIn, tmp_path: Path) -> None:
    config = cluster.kubeconfig(tmp_path / "config", {"token": "t", "as": "reader"})
    with pytest.raises(UsageError, match="acting as somebody else is not built"):
        open_door(Access("standin", str(config)))


def test_the_proxy_that_a_kubeconfig_names_is_used(cluster: StandIn, kubeconfig: Path) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": "http://cluster.invalid", "proxy-url": cluster.url}
    kubeconfig.write_text(yaml.safe_dump(config))
    Cluster(Access("standin", str(kubeconfig)), cluster.uid)  # the stand-in answers for the other one, as a proxy would
    assert [one.target for one in cluster.requests()] == ["http://cluster.invalid/api/v1/namespaces/kube-system"]
    config["clusters"][0]["cluster"]["proxy-url"] = "socks5://127.0.0.1:1"
    kubeconfig.write_text(yaml.safe_dump(config))
    with pytest.raises(UsageError, match="socks5"):
        open_door(Access("standin", str(kubeconfig)))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed, which makes the certificate")
def test_a_pod_gets_in_by_its_account_over_tls_and_reads_its_token_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = tmp_path / "account"
    account.mkdir()
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=standin"]
    request += ["-addext", "keyUsage=digitalSignature,keyCertSign"]  # Python 3.13 trusts no authority that does not say so
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key"), "-out", str(account / "ca.crt")]
    subprocess.run(request, check=True, capture_output=True, timeout=60)
    cluster = StandIn(certificate=(account / "ca.crt", tmp_path / "key"))
    try:
        cluster.namespace("shop")
        cluster.token("first")
        (account / "token").write_text("first")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(cluster.api.server_port))
        door = Cluster(Access(in_cluster=True, service_account=str(account)), cluster.uid)
        (account / "token").write_text("second")
        cluster.token("second")
        cluster.revoke("first")
        assert objects.listed(door, PODS, "shop").items == ()
    finally:
        cluster.close()


def test_outside_of_a_pod_its_account_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the cluster this runs in: Service host/port is not set"):
        open_door(Access(in_cluster=True, service_account=str(tmp_path)))
