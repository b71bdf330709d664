"""The Helm chart, rendered by Helm itself for several installations, each object checked against the schemas of Kubernetes.

No cluster is there: what a cluster does with the objects is not tried. Prints "ok - …" and "not ok - …".
"""

import sys
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

CHART = Path(__file__).resolve().parents[2] / "deploy/helm/groundswell"
VERSIONS = ["1.29", "1.36"]
# Objects of other people's controllers, whose schemas are not among those of Kubernetes.
FOREIGN = {"ScaledObject", "TriggerAuthentication", "PodMonitor"}

LEAST = {
    "publicUrl": "https://vote.example.org",
    "image": {"repository": "registry.example.org/groundswell"},
    "owner": {"email": "owner@example.org"},
    "secrets": {"ownerPassword": "correct-horse-battery"},
    "postgres": {"url": "postgres://groundswell:secret-of-the-database@db.example.org/groundswell"},
    "rabbitmq": {"url": "amqp://groundswell:secret-of-the-broker@mq.example.org/%2f"},
}
BUNDLED = LEAST | {
    "postgres": {"bundled": True, "password": "databasepassword"},
    "rabbitmq": {"bundled": True, "password": "brokerpassword", "cookie": "cookie"},
}
EVERYTHING = BUNDLED | {
    "tally": {"keda": {"enabled": True}, "extraEnv": [{"name": "LANES", "value": "32"}]},
    "serviceMonitor": {"enabled": True},
    "image": {"repository": "registry.example.org:5000/polls/groundswell", "tag": "1.2.3", "pullSecrets": [{"name": "registry"}]},
    "web": {"autoscaling": {"enabled": False}, "extraEnv": [{"name": "LANES", "value": "32"}], "spill": {"storageClass": "fast"}},
    "ingress": {"tlsSecret": "vote-tls"},
    "networkPolicy": {"ingressNamespace": {"name": "ingress"}, "metricsNamespace": {"name": "monitoring"}},
}
SECRETS_ELSEWHERE = LEAST | {"secrets": {"existing": "mine"}, "postgres": {}, "rabbitmq": {}, "ingress": {"enabled": False}, "networkPolicy": {"enabled": False}}
INSTALLATIONS = {"with services elsewhere": LEAST, "with bundled services": BUNDLED, "with everything": EVERYTHING, "with secrets elsewhere": SECRETS_ELSEWHERE}

failed = 0


def check(sentence, problems):
    global failed
    problems = list(problems)
    failed += bool(problems)
    print(("not ok" if problems else "ok") + " - " + sentence)
    for problem in problems[:8]:
        print("   ", problem)


def objects(values, name="show"):
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        rendered = chart.render(values, name=name, namespace="polls")
    return [o for path, text in rendered.items() if path.endswith(".yaml") for o in yaml.safe_load_all(text) if o]


def find(found, kind, end):
    return next(o for o in found if o["kind"] == kind and o["metadata"]["name"].endswith(end))


def problems_of(found):
    for o in found:
        where = f"{o['kind']} {o['metadata']['name']}"
        if o["kind"] in FOREIGN:
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(o, version, strict=True)
            except kubernetes_validate.ValidationError as why:
                yield f"{where} ({version}): {why.message}"


def pods(found):
    for o in found:
        if o["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield o["metadata"]["name"], o["spec"]["template"]


def insecure(found):
    for name, pod in pods(found):
        spec = pod["spec"]
        security = spec["securityContext"]
        if not (security["runAsNonRoot"] and security["seccompProfile"]["type"] == "RuntimeDefault" and spec["automountServiceAccountToken"] is False):
            yield f"{name}: the pod may more than it needs"
        for container in spec["containers"] + spec.get("initContainers", []):
            own = container["securityContext"]
            if own["allowPrivilegeEscalation"] or own["capabilities"]["drop"] != ["ALL"]:
                yield f"{name}/{container['name']}: may more than it needs"
            # The broker's image writes beside its data.
            if not own.get("readOnlyRootFilesystem") and container["name"] != "rabbitmq":
                yield f"{name}/{container['name']}: may write into its image"
            if container["name"] != "cookie" and "memory" not in container["resources"]["limits"]:
                yield f"{name}/{container['name']}: has no limit of memory"


def unselected(found):
    """Selectors that find no pod, and budgets or policies with them."""
    labels = [pod["metadata"]["labels"] for _, pod in pods(found)]
    for o in found:
        selector = o["spec"].get("selector") or o["spec"].get("podSelector") if o["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy") else None
        wanted = (selector or {}).get("matchLabels", selector)
        if wanted and not any(wanted.items() <= of.items() for of in labels):
            yield f"{o['kind']} {o['metadata']['name']} finds no pod"


def refused(values):
    try:
        objects(values)
    except helm_python.HelmError as why:
        return str(why)
    return ""


def main():
    helm_python.disable_logging()
    lint = helm_python.lint(CHART, values=LEAST)
    # 1 is a remark, such as that an icon is recommended.
    check("helm lint finds nothing", [m for m in lint["messages"] if m["severity"] > 1] + lint["errors"])
    planted = find(objects(LEAST), "StatefulSet", "-web")
    planted["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    check("a misspelt field is found", [] if list(problems_of([planted])) else ["it was not"])
    for sentence, values in INSTALLATIONS.items():
        found = objects(values)
        check(f"every object is one Kubernetes takes, {sentence}", problems_of(found))
        check(f"nothing runs as root or may more than it needs, {sentence}", insecure(found))
        check(f"every selector finds its pods, {sentence}", unselected(found))

    found = objects(LEAST)
    files = find(found, "ConfigMap", "-edge")["data"]
    nginx = CHART.parents[1] / "nginx"
    differing = [f.name for f in nginx.iterdir() if f.suffix == ".conf" and files.get(f.name, "").strip() != f.read_text().strip()]
    check("the edge has the very files of deploy/nginx", differing + [name for name in ("start", "nginx.conf", "site.conf") if name not in files])
    web = find(found, "StatefulSet", "-web")
    check("each web process has a disk that outlives it", [] if web["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "spill" else ["no claim"])
    everything = objects(EVERYTHING)
    counting = [("StatefulSet", "-web"), ("Deployment", "-tally")]
    extra = [find(everything, kind, end)["spec"]["template"]["spec"]["containers"][0]["env"] for kind, end in counting]
    check("settings of one's own reach both who serves and who counts", [str(env) for env in extra if {"name": "LANES", "value": "32"} not in env])
    service = find(found, "Service", "-web")["metadata"]["name"]
    env = {e["name"]: e.get("value") for e in find(found, "Deployment", "-edge")["spec"]["template"]["spec"]["containers"][0]["env"]}
    check("the edge asks the web processes by their own name", [] if env["WEB"].startswith(f"{service}.polls.svc") else [env["WEB"]])

    said = yaml.dump_all(objects(SECRETS_ELSEWHERE))
    check("with secrets elsewhere there is none in the release", ["a Secret"] if "kind: Secret" in said else [])
    plain = yaml.dump_all(o for o in objects(BUNDLED) if o["kind"] != "Secret")
    check("no password stands outside of the secret", [p for p in ("databasepassword", "brokerpassword", "correct-horse-battery") if p in plain])

    for what, values, named in [
        ("without a public address", {k: v for k, v in LEAST.items() if k != "publicUrl"}, "publicUrl"),
        ("with a public address that is none", LEAST | {"publicUrl": "vote.example.org"}, "publicUrl"),
        ("without an image that can be pulled", {k: v for k, v in LEAST.items() if k != "image"}, "repository"),
        ("without an owner's password", LEAST | {"secrets": {}}, "ownerPassword"),
        ("with a password too short", LEAST | {"secrets": {"ownerPassword": "short"}}, "ownerPassword"),
        ("without a database", LEAST | {"postgres": {}}, "postgres.url"),
        ("without a broker", LEAST | {"rabbitmq": {}}, "rabbitmq.url"),
        ("with a misspelt setting", LEAST | {"web": {"replica": 3}}, "replica"),
        ("with a broker of two nodes", BUNDLED | {"rabbitmq": {"bundled": True, "password": "x", "cookie": "y", "replicas": 2}}, "replicas"),
    ]:
        said = refused(values)
        check(f"it is refused {what}", [] if named in said else [said or "it was taken"])
    return 1 if failed else 0


sys.exit(main())
