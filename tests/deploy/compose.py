"""The compose files, against the Compose Specification: what today's `docker compose` reads. scripts/test-compose runs them."""

import re
import sys
from pathlib import Path

import compose_spec
import yaml

ROOT = Path(__file__).resolve().parents[2]
# Numbers that come from the environment are text until it is filled in.
FILLED_IN = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}|\$\{[A-Z_]+(?::\?[^}]*)?\}")

failed = 0
for name in ["docker-compose.yml", "docker-compose.tls.yml"]:
    text = FILLED_IN.sub(lambda found: found.group(1) if found.group(1) is not None else "x", (ROOT / name).read_text())
    text = re.sub(r'"(\d+)"', r"\1", text) if name == "docker-compose.yml" else text
    document = {key: value for key, value in yaml.safe_load(text).items() if not key.startswith("x-")}
    problem = ""
    try:
        compose_spec.PyCompose.from_yaml(yaml.dump(document))
    except ValueError as why:
        problem = str(why)
    failed += bool(problem)
    print(("not ok" if problem else "ok") + f" - {name} is one the Compose Specification allows", problem)
sys.exit(1 if failed else 0)
