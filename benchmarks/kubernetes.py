"""The Kubernetes collector before 5,000 nodes and 50,000 pods: time of a pass, and memory.

    python -m benchmarks.kubernetes

Run it as a module: as a file it would stand in the way of the `kubernetes` package. The API server
is the tests' stand-in, in a process of its own, over real HTTP; the collector has another, whose
peak memory is read from the operating system before and after. 40,000 of the pods ask for one GPU
each, four to a Job; 10,000 ask for none. A pass watches each kind for one second, which is in its
time.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

NODES, JOBS, PODS_A_JOB, PLAIN_PODS = 5_000, 10_000, 4, 10_000
CHANGES = 1_000
RUNS = 3
WATCH_SECONDS = 1.0
STAMP = "2026-11-23T09:00:00Z"
MIB = 2**20
# What every real object carries along and nobody here reads.
BALLAST = [
    {
        "manager": "kubelet",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {f"f:field-{n}": {"f:a": {}, "f:b": {}, ".": {}} for n in range(40)},
    }
]


# -- the server's process -------------------------------------------------------------


def serve(folder: Path) -> None:
    """A cluster, and on each line of the input a thousand changes."""
    stand_in = import_module("tests.stand_in")  # tests are not typed
    with stand_in.StandIn() as cluster:
        size = _fill(cluster)
        print(json.dumps({"kubeconfig": str(cluster.kubeconfig(folder)), "pod_bytes": size}))
        sys.stdout.flush()
        for turn, _ in enumerate(sys.stdin):
            _change(cluster, turn)
            print("changed", flush=True)


def _fill(cluster: Any) -> int:
    for n in range(NODES):
        cluster.add_node(f"gpu-{n:05}", pool=f"pool-{n % 8}")
    for job in range(JOBS):
        cluster.add_job(f"job-{job:05}", namespace=f"team-{job % 50}", parallelism=PODS_A_JOB)
        for n in range(PODS_A_JOB):
            _put_pod(cluster, f"job-{job:05}", n, (job * PODS_A_JOB + n) // 8, f"team-{job % 50}")
    for n in range(PLAIN_PODS):
        _put_pod(cluster, None, n, n % NODES, "web")
    one = cluster.get("/api/v1/namespaces/team-0/pods/job-00000-0")
    return len(json.dumps(one))


def _put_pod(cluster: Any, job: str | None, n: int, node: int, namespace: str) -> None:
    owner = [{"kind": "Job", "name": job, "uid": f"uid-{job}", "controller": True}] if job else []
    name = f"{job or 'plain'}-{n}"
    resources = {"limits": {"nvidia.com/gpu": "1"}} if job else {"requests": {"cpu": "1"}}
    body = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": STAMP,
            "labels": {"job-name": job or "", "app": "train"},
            "ownerReferences": owner,
            "managedFields": BALLAST,
        },
        "spec": {
            "nodeName": f"gpu-{node:05}",
            "containers": [{"name": "main", "image": "x", "resources": resources}],
        },
        "status": {"phase": "Running", "startTime": STAMP},
    }
    cluster.put(f"/api/v1/namespaces/{namespace}/pods/{name}", body)


def _change(cluster: Any, turn: int) -> None:
    """Pods of as many jobs fail, or run again."""
    for job in range(CHANGES):
        path = f"/api/v1/namespaces/team-{job % 50}/pods/job-{job:05}-{turn % PODS_A_JOB}"
        body = cluster.get(path)
        failed = body["status"]["phase"] == "Running"
        body["status"] = {**body["status"], "phase": "Failed" if failed else "Running"}
        cluster.put(path, body)


# -- the collector's process ----------------------------------------------------------


def collect(kubeconfig: Path) -> None:
    """A first pass, three quiet ones, and one after each line of the input."""
    from collectors.kubernetes import KubernetesCollector, KubernetesSettings

    settings = KubernetesSettings(
        kubeconfig=kubeconfig,
        watch_seconds=WATCH_SECONDS,
        every_seconds=600,
        time_limit_seconds=600,
    )
    from cluster.api import Api

    collector = KubernetesCollector(settings, Api.connect(kubeconfig))
    before = _peak_bytes()
    _report("first", collector, before)
    for _ in range(3):
        _report("quiet", collector, before)
    for _ in sys.stdin:
        _report("changed", collector, before)


def _report(what: str, collector: Any, before: int) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    yielded = list(collector.collect(datetime.now(UTC)))  # as the runner holds them
    rows = sum(each[1].height if isinstance(each, tuple) else 1 for each in yielded)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    grown = _peak_bytes() - before
    told = {"what": what, "seconds": seconds, "cpu": cpu_seconds, "rows": rows, "bytes": grown}
    print(json.dumps(told), flush=True)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- the two together -----------------------------------------------------------------


def main() -> None:
    """Print the medians of a few runs, each with a collector that starts afresh."""
    from benchmarks._timing import machine

    print(machine())
    with tempfile.TemporaryDirectory() as folder, _child("serve", folder) as server:
        told = json.loads(_line(server))
        print(
            f"{NODES} nodes, {JOBS * PODS_A_JOB + PLAIN_PODS} pods, {told['pod_bytes']} bytes each"
        )
        passes = [each for _ in range(RUNS) for each in _run(server, told["kubeconfig"])]
        server.stdin.close()  # type: ignore[union-attr]
    for what in ("first", "quiet", "changed"):
        _print(what, [each for each in passes if each["what"] == what])


def _run(server: subprocess.Popen[str], kubeconfig: str) -> list[dict[str, Any]]:
    with _child("collect", kubeconfig) as collector:
        found = [json.loads(_line(collector)) for _ in range(4)]
        for _ in range(2):
            _say(server)
            _line(server)
            _say(collector)
            found.append(json.loads(_line(collector)))
        collector.stdin.close()  # type: ignore[union-attr]
    return found


def _print(what: str, passes: list[dict[str, Any]]) -> None:
    seconds, cpu = ([each[key] for each in passes] for key in ("seconds", "cpu"))
    peak = max(each["bytes"] for each in passes) / MIB
    print(
        f"{what:8} median {statistics.median(seconds):7.2f} s (most {max(seconds):.2f})  "
        f"processor {statistics.median(cpu):6.2f} s  rows {passes[-1]['rows']:6}  "
        f"peak +{peak:.0f} MiB  n {len(passes)}"
    )


def _child(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kubernetes", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def _say(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


if __name__ == "__main__":
    roles = {"serve": serve, "collect": collect}
    if len(sys.argv) > 2:
        roles[sys.argv[1]](Path(sys.argv[2]))
    else:
        main()
