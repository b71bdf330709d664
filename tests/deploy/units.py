"""The units of deploy/systemd as systemd itself reads them, and the settings that docs/deploy.md writes for them. Prints "ok - …" and "not ok - …"."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of each template one that docs/deploy.md starts.
INSTANCES = {"groundswell-web@.service": "groundswell-web@8081.service", "groundswell-tally@.service": "groundswell-tally@1.service"}
failed = 0


def check(sentence, problem):
    global failed
    failed += bool(problem)
    print(("not ok" if problem else "ok") + f" - {sentence}", problem)


def verified(change=lambda text: text):
    """What systemd says against the units."""
    with tempfile.TemporaryDirectory() as directory:
        units = []
        for unit in (ROOT / "deploy/systemd").iterdir():
            # What they start is not installed here.
            text = change(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.M))
            at = Path(directory) / INSTANCES.get(unit.name, unit.name)
            at.write_text(text)
            units.append(at)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
        # It also looks at units of this machine that ours come after.
        said = [line for line in done.stderr.splitlines() if "groundswell" in line]
        return "; ".join(said)


def written(path):
    """The names that the page writes into a file of settings."""
    block = re.search(rf"install .* {re.escape(path)} <<TEXT\n(.*?)\nTEXT", (ROOT / "docs/deploy.md").read_text(), re.S)
    return [line.split("=")[0] for line in block.group(1).splitlines()]


if shutil.which("systemd-analyze"):
    check("systemd finds nothing wrong with the units", verified())
    check("a misspelt line would be found", "" if verified(lambda text: text.replace("Restart=always", "Restrat=always")) else "it was not")
else:
    print("\nNOT RUN: the units are not checked: there is no systemd-analyze (Debian: systemd).")
server = set(re.findall(r'env = "([A-Z_]+)"', (ROOT / "src/config.rs").read_text()))
edge = set(re.findall(r"^#   ([A-Z_]+) ", (ROOT / "deploy/nginx/start").read_text(), re.M))
check("the page writes settings that the server has", " ".join(name for name in written("/etc/groundswell/env") if name not in server))
check("the page writes settings that the edge has", " ".join(name for name in written("/etc/groundswell/edge.env") if name not in edge | {"LISTEN_TLS"}))
sys.exit(1 if failed else 0)
