//! Dashboard, alerts and the page for operators name what there is: metrics that the server has, alerts that somebody has an answer to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Names of our metrics in a text, those of a histogram's parts without their ends.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let names = text.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| word.starts_with("groundswell_") && word.len() > "groundswell_".len());
    names.map(|name| ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()).collect()
}

/// The first column of the table in docs/metrics.md, which is compared with what the server shows elsewhere.
fn known() -> BTreeSet<String> {
    let page = read("docs/metrics.md");
    page.lines().filter_map(|line| line.strip_prefix("| `groundswell_")?.split('`').next()).map(|rest| format!("groundswell_{rest}")).collect()
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_exist() {
    let known = known();
    assert!(known.len() > 30, "the table is where this test looks for it: {known:?}");
    for path in ["deploy/grafana/groundswell.json", "deploy/prometheus/alerts.yml"] {
        let unknown: Vec<String> = metrics_in(&read(path)).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{path} names what the server does not have: {unknown:?}");
    }
    assert_eq!(metrics_in("sum(rate(groundswell_made_up_seconds_bucket[1m]))"), BTreeSet::from(["groundswell_made_up_seconds".to_owned()]));
    assert!(!known.contains("groundswell_made_up_seconds"));
}

#[test]
fn every_figure_of_the_server_has_its_place_on_the_dashboard_or_among_the_alerts() {
    let shown: BTreeSet<String> =
        metrics_in(&read("deploy/grafana/groundswell.json")).union(&metrics_in(&read("deploy/prometheus/alerts.yml"))).cloned().collect();
    // Said by another figure that is there, or of use only to whoever looks for a certain thing.
    let left_out = ["groundswell_ballots_oldest_wait_seconds", "groundswell_redraws_total", "groundswell_spill_batches", "groundswell_tally_commit_ballots"];
    let missing: Vec<String> = known().into_iter().filter(|name| !shown.contains(name) && !left_out.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "nobody would see: {missing:?}");
}

#[test]
fn the_dashboard_is_a_document_whose_panels_all_ask_for_something() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("deploy/grafana/groundswell.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_i64().expect("a number")), "an id is there twice: {}", panel["id"]);
        assert!(panel["type"] == "row" || panel["targets"].as_array().is_some_and(|asked| !asked.is_empty()), "{}", panel["title"]);
    }
    assert!(panels.len() > 20);
}

#[test]
fn for_every_alert_the_page_for_operators_says_what_to_do() {
    let (alerts, page) = (read("deploy/prometheus/alerts.yml"), read("docs/deploy.md"));
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10);
    let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).flat_map(|cell| cell.split(", ")).collect();
    for name in names {
        assert!(rows.contains(&name), "docs/deploy.md does not say what to do about {name}");
    }
}

#[test]
fn every_setting_of_the_stack_is_explained_where_it_is_filled_in() {
    let example = read("deploy/env.example");
    let said: BTreeSet<&str> = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('=')).map(|(name, _)| name).collect();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for file in ["docker-compose.yml", "docker-compose.tls.yml"] {
        let text = std::fs::read_to_string(root.join(file)).expect("readable");
        let asked = text.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
        let missing: BTreeSet<&str> = asked.filter(|name| !said.contains(name)).collect();
        assert!(missing.is_empty(), "deploy/env.example does not explain {missing:?} of {file}");
    }
}

fn words_in_capitals(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(|word| word.len() > 3).collect()
}

#[test]
fn every_setting_that_the_pages_for_operators_speak_of_reaches_the_containers() {
    let (server, edge, image) = (read("src/config.rs"), read("deploy/nginx/start"), read("Dockerfile"));
    let stack = read("docker-compose.yml") + &read("docker-compose.tls.yml");
    let pages = read("docs/deploy.md") + &read("docs/cdn.md");
    let is_one = |name: &str| server.contains(&format!("env = \"{name}\"")) || edge.contains(&format!("#   {name} "));
    let named: Vec<&str> = words_in_capitals(&pages).into_iter().filter(|name| is_one(name)).collect();
    assert!(named.contains(&"SPILL_BYTES_MAX") && named.contains(&"SITES"), "settings are where this test looks for them: {named:?}");
    let passed = |name: &str| stack.lines().any(|line| line.trim_start().starts_with(&format!("{name}: "))) || image.contains(&format!(" {name}="));
    // Where the edge writes: in its container that is a place of its own.
    let missing: Vec<&str> = named.into_iter().filter(|name| *name != "EDGE_DIR" && !passed(name)).collect();
    assert!(missing.is_empty(), "docker-compose.yml does not pass on {missing:?}");
}
