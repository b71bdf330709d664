"""The compose files, against the Compose Specification: what today's `docker compose` reads. scripts/test-compose runs them."""

import re
import subprocess
import sys
from pathlib import Path

import compose_spec
import yaml

ROOT = Path(__file__).resolve().parents[2]
# Numbers that come from the environment are text until it is filled in.
FILLED_IN = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}|\$\{[A-Z_]+(?::\?[^}]*)?\}")

failed = 0


def check(sentence, problem):
    global failed
    failed += bool(problem)
    print(("not ok" if problem else "ok") + f" - {sentence}", problem)


def filled_in(text):
    return FILLED_IN.sub(lambda found: found.group(1) if found.group(1) is not None else "x", text)


def read(text):
    return {key: value for key, value in yaml.safe_load(text).items() if not key.startswith("x-")}


def not_allowed(text):
    document = read(re.sub(r'"(\d+)"', r"\1", filled_in(text)))
    try:
        compose_spec.PyCompose.from_yaml(yaml.dump(document))
    except ValueError as why:
        return str(why)
    return ""


def elsewhere_lacks(text):
    """What the stack whose database and broker are on other machines still wants of them, or cannot reach."""
    document = read(filled_in(text))
    services, networks, volumes = document["services"], document["networks"], document["volumes"]
    problems = [f"{name} is still there" for name in services if name.startswith(("postgres", "rabbitmq"))]
    for asked in re.findall(r"\$\{((?:POSTGRES|RABBITMQ)_[A-Z]+)", text):
        problems.append(f"{asked} is asked for")
    for name, service in services.items():
        problems += [f"{name} waits for {other}" for other in service.get("depends_on", {}) if other not in services]
        problems += [f"the network {other} of {name} is not there" for other in service["networks"] if other not in networks]
        problems += [f"{name} has {v}" for v in service.get("volumes", []) if v[0].isalpha() and v.split(":")[0] not in volumes]
    for name in ["web", "tally"]:
        if all((networks.get(network) or {}).get("internal") for network in services[name]["networks"]):
            problems.append(f"{name} reaches no other machine")
        for setting in ["DATABASE_URL", "AMQP_URL"]:
            # Filled in above, so that anything else is an address of this stack.
            if services[name]["environment"][setting] != "x":
                problems.append(f"{name} does not take {setting}")
    open_ones = [name for name, service in services.items() if service.get("ports")]
    if open_ones != ["edge", "grafana"]:
        problems.append(f"ports are open of {open_ones}")
    return "; ".join(problems)


whole = (ROOT / "docker-compose.yml").read_text()
elsewhere = subprocess.run(["sed", "-f", "deploy/elsewhere.sed", "docker-compose.yml"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
check("docker-compose.yml is one the Compose Specification allows", not_allowed(whole))
check("docker-compose.tls.yml is one the Compose Specification allows", not_allowed((ROOT / "docker-compose.tls.yml").read_text()))
check("with database and broker elsewhere it is one the Compose Specification allows", not_allowed(elsewhere))
check("with database and broker elsewhere nothing asks for those of the stack, and web and tally reach other machines", elsewhere_lacks(elsewhere))
check("whoever took nothing out would be told so", "" if elsewhere_lacks(whole) else "it was not found")
sys.exit(1 if failed else 0)
