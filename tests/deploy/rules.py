"""Dashboard and alerts: each expression is one that Prometheus can read, and the alerts speak when they should. Needs promtool (Debian: prometheus).

That every metric they name exists, tests/contracts/observing.rs says. Prints "ok - …" and "not ok - …".
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
failed = 0


def check(sentence, problem):
    global failed
    failed += bool(problem)
    print(("not ok" if problem else "ok") + " - " + sentence)
    if problem:
        print("   ", problem[-2000:])


def promtool(*args):
    done = subprocess.run(["promtool", *map(str, args)], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def expressions(panels):
    for panel in panels:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
        yield from expressions(panel.get("panels", []))


def series(name, values, **labels):
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{inside}}}" if labels else name, "values": values}


# What happens, when it is looked at, and which alerts speak then.
STORIES = [
    ("a quiet evening", [series("up", "1x60", job="groundswell", part="web"), series("groundswell_books_imbalance_ballots", "0x60")], "5m", {"BooksDoNotBalance": 0, "NobodyAcceptsVotes": 0}),
    ("a ballot too many", [series("groundswell_books_imbalance_ballots", "0x10 1x50")], "5m", {"BooksDoNotBalance": 1}),
    ("no web process", [series("up", "1x10 0x50", job="groundswell", part="web")], "5m", {"NobodyAcceptsVotes": 1}),
    ("votes that nobody counts", [series("groundswell_ballots_accepted_total", "0+50x60", lane="0"), series("groundswell_batches_applied_total", "7x60")], "5m", {"NobodyCounts": 1}),
    ("votes that are counted", [series("groundswell_ballots_accepted_total", "0+50x60", lane="0"), series("groundswell_batches_applied_total", "0+5x60")], "5m", {"NobodyCounts": 0}),
    ("a broker that is away", [series("groundswell_circuit_open_lanes", "0x10 16x50", instance="a"), series("groundswell_spill_oldest_seconds", "0x10 0+5x50", instance="a")], "5m", {"VotesGoToTheDisk": 1, "SpillIsNotPassedOn": 0}),
    ("a spill that stays", [series("groundswell_circuit_open_lanes", "0x200", instance="a"), series("groundswell_spill_oldest_seconds", "0+5x200", instance="a")], "10m", {"SpillIsNotPassedOn": 1}),
]


def main():
    if not shutil.which("promtool"):
        print("\nNOT RUN: rules and dashboard are not checked: there is no promtool (Debian: prometheus).")
        return 0
    check("Prometheus takes its configuration", promtool("check", "config", DEPLOY / "prometheus/prometheus.yml"))
    check("Prometheus takes the alerts", promtool("check", "rules", DEPLOY / "prometheus/alerts.yml"))
    dashboard = json.loads((DEPLOY / "grafana/groundswell.json").read_text())
    with tempfile.TemporaryDirectory() as directory:
        asked = [{"record": f"panel:{number}", "expr": expr} for number, (_, expr) in enumerate(expressions(dashboard["panels"]))]
        rules = Path(directory) / "panels.yml"
        rules.write_text(yaml.dump({"groups": [{"name": "panels", "rules": asked}]}))
        check(f"each of the dashboard's {len(asked)} expressions can be read", promtool("check", "rules", rules) if asked else "there is none")
        tests = Path(directory) / "alerts.test.yml"
        for story, input_series, at, speak in STORIES:
            wrong = []
            for alert, wanted in speak.items():
                # One series ALERTS for each alert that fires.
                told = {"expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})', "eval_time": at, "exp_samples": [{"labels": "{}", "value": wanted}] if wanted else []}
                test = {"interval": "5s", "input_series": input_series, "promql_expr_test": [told]}
                tests.write_text(yaml.dump({"rule_files": [str(DEPLOY / "prometheus/alerts.yml")], "evaluation_interval": "5s", "tests": [test]}))
                wrong.append(promtool("test", "rules", tests))
            check(f"the right alerts speak: {story}", "".join(wrong))
    return 1 if failed else 0


sys.exit(main())
