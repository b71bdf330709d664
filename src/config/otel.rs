//! Traces for a collector: the variables that OpenTelemetry has for it, with its defaults.

use std::time::Duration;

use clap::Args;

use crate::traces::{Sampling, Settings};

#[derive(Args, Clone)]
pub struct Otel {
    /// Sends traces to this collector (OTLP over HTTP), such as http://127.0.0.1:4318; /v1/traces is put behind it. Metrics stay with Prometheus [default: none are sent]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// The same for traces alone, whole: nothing is put behind it
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", global = true, value_name = "URL")]
    otlp_traces_endpoint: Option<String>,
    /// Headers for the collector, such as authorization=Bearer%20…, comma between
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", global = true, hide_env_values = true, value_name = "NAME=VALUE,…")]
    otlp_headers: Option<String>,
    /// http/protobuf, and nothing else
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", global = true, value_name = "PROTOCOL")]
    otlp_protocol: Option<String>,
    /// Milliseconds for the collector to answer [default: 10000]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", global = true, value_name = "MS")]
    otlp_timeout: Option<String>,
    /// What the collector calls this process [default: groundswell]
    #[arg(long, env = "OTEL_SERVICE_NAME", global = true, value_name = "NAME")]
    otel_service_name: Option<String>,
    /// What else is said of this process, such as deployment.environment.name=show, comma between
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", global = true, value_name = "NAME=VALUE,…")]
    otel_resource_attributes: Option<String>,
    /// Which traces: always_on, always_off, traceidratio, or parentbased_ and one of them. At most 500 spans a second are sent [default: parentbased_always_on]
    #[arg(long, env = "OTEL_TRACES_SAMPLER", global = true, value_name = "SAMPLER")]
    otel_traces_sampler: Option<String>,
    /// For traceidratio: from 0 to 1 [default: 1]
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", global = true, value_name = "RATIO")]
    otel_traces_sampler_arg: Option<String>,
    /// true: no traces, whatever else is set
    #[arg(long, env = "OTEL_SDK_DISABLED", global = true, value_name = "BOOL")]
    otel_sdk_disabled: Option<String>,
}

const SERVICE: &str = "groundswell";
const TIMEOUT_MS: u64 = 10_000;
const TIMEOUT_MS_MAX: u64 = 60_000;

impl Otel {
    pub fn into_settings(self) -> Result<Option<Settings>, String> {
        // An empty variable is no setting.
        let set = |value: Option<String>| value.map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let whole = set(self.otlp_traces_endpoint).map(|url| ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url));
        let base = set(self.otlp_endpoint).map(|url| ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{}/v1/traces", url.trim_end_matches('/'))));
        let Some((name, endpoint)) = whole.or(base) else { return Ok(None) };
        if set(self.otel_sdk_disabled).is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://")).unwrap_or_default();
        if host.is_empty() || host.starts_with('/') || host.contains(char::is_whitespace) {
            return Err(format!("{name} must be http:// or https:// and a collector, such as http://127.0.0.1:4318."));
        }
        // The log names the endpoint.
        if host.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            return Err(format!("{name}: user and password do not belong there; OTEL_EXPORTER_OTLP_HEADERS is for what the collector asks for."));
        }
        if let Some(protocol) = set(self.otlp_protocol).filter(|p| p != "http/protobuf") {
            return Err(format!("OTEL_EXPORTER_OTLP_PROTOCOL: {protocol} is not spoken here; http/protobuf is, which collectors take on port 4318."));
        }
        let timeout = match set(self.otlp_timeout) {
            None => TIMEOUT_MS,
            Some(ms) => ms.parse().ok().filter(|ms| (1..=TIMEOUT_MS_MAX).contains(ms)).ok_or("OTEL_EXPORTER_OTLP_TIMEOUT: from 1 to 60000 milliseconds.")?,
        };
        let headers = pairs("OTEL_EXPORTER_OTLP_HEADERS", set(self.otlp_headers))?;
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let sent = |(name, value): &(String, String)| {
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) && value.bytes().all(|b| (b' '..=b'~').contains(&b))
        };
        if !headers.iter().all(sent) {
            return Err("OTEL_EXPORTER_OTLP_HEADERS: a name or a value there cannot be a header.".into());
        }
        let mut resource = pairs("OTEL_RESOURCE_ATTRIBUTES", set(self.otel_resource_attributes))?;
        let named = set(self.otel_service_name);
        if named.is_some() || !resource.iter().any(|(key, _)| key == "service.name") {
            resource.retain(|(key, _)| key != "service.name");
            resource.push(("service.name".into(), named.unwrap_or_else(|| SERVICE.into())));
        }
        let sampling = sampling(set(self.otel_traces_sampler), set(self.otel_traces_sampler_arg))?;
        Ok(Some(Settings { endpoint, headers, resource, sampling, timeout: Duration::from_millis(timeout) }))
    }
}

fn sampling(name: Option<String>, argument: Option<String>) -> Result<Sampling, String> {
    let name = name.unwrap_or_else(|| "parentbased_always_on".into());
    let (parent_based, root) = name.strip_prefix("parentbased_").map_or((false, name.as_str()), |root| (true, root));
    let ratio = match root {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => argument
            .map_or(Ok(1.0), |ratio| ratio.parse())
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .ok_or("OTEL_TRACES_SAMPLER_ARG: a number from 0 to 1, such as 0.1 for every tenth.")?,
        _ => return Err(format!("OTEL_TRACES_SAMPLER: there is no {name}; parentbased_traceidratio with OTEL_TRACES_SAMPLER_ARG=0.1 sends every tenth.")),
    };
    Ok(Sampling { ratio, parent_based })
}

/// `name=value` with commas between, values percent-encoded. What is wrong is not repeated: it may be a secret.
fn pairs(setting: &str, text: Option<String>) -> Result<Vec<(String, String)>, String> {
    let pair = |item: &str| {
        let (name, value) = item.split_once('=')?;
        let name = name.trim();
        Some((name.to_owned(), decoded(value.trim())?)).filter(|_| !name.is_empty())
    };
    let text = text.unwrap_or_default();
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| pair(item).ok_or_else(|| format!("{setting}: name=value, with commas between, and %20 for a blank."))).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let code = std::str::from_utf8(after.get(..2)?).ok().filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(code, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::traces::{Sampling, Settings};

    fn traces(args: &[&str]) -> Result<Option<Settings>, String> {
        Config::from_args(std::iter::once("groundswell").chain(args.iter().copied())).map(|config| config.traces)
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_says_so() {
        assert_eq!(traces(&["--otel-service-name", "x", "--otlp-headers", "a=b"]).unwrap(), None);
        assert_eq!(traces(&["--otlp-endpoint", ""]).unwrap(), None);
        assert_eq!(traces(&["--otlp-endpoint", "http://c:4318", "--otel-sdk-disabled", "true"]).unwrap(), None);
        let sent = traces(&["--otlp-endpoint", "http://c:4318/"]).unwrap().unwrap();
        assert_eq!(sent.endpoint, "http://c:4318/v1/traces");
        assert_eq!((sent.resource, sent.sampling), (vec![("service.name".into(), "groundswell".into())], Sampling { ratio: 1.0, parent_based: true }));
        let whole = traces(&["--otlp-endpoint", "http://c:4318", "--otlp-traces-endpoint", "https://d/otlp"]).unwrap().unwrap();
        assert_eq!(whole.endpoint, "https://d/otlp");
    }

    #[test]
    fn what_is_said_of_a_process_is_read_as_opentelemetry_writes_it() {
        let settings = traces(&[
            "--otlp-endpoint",
            "http://c:4318",
            "--otlp-headers",
            "Authorization=Bearer%20x%3D, x-scope=1",
            "--otel-resource-attributes",
            "service.name=other,deployment.environment.name=the%20show",
            "--otel-traces-sampler",
            "traceidratio",
            "--otel-traces-sampler-arg",
            "0.25",
        ]);
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.headers, [("authorization".into(), "Bearer x=".into()), ("x-scope".into(), "1".into())]);
        assert_eq!(settings.resource, [("service.name".into(), "other".into()), ("deployment.environment.name".into(), "the show".into())]);
        assert_eq!(settings.sampling, Sampling { ratio: 0.25, parent_based: false });
        let named = traces(&["--otlp-endpoint", "http://c:4318", "--otel-resource-attributes", "service.name=other", "--otel-service-name", "mine"]);
        assert_eq!(named.unwrap().unwrap().resource, [("service.name".to_owned(), "mine".to_owned())]);
    }

    #[test]
    fn an_impossible_setting_is_refused_with_its_name_and_without_its_secret() {
        for (args, name) in [
            (&["--otlp-endpoint", "collector:4318"][..], "OTEL_EXPORTER_OTLP_ENDPOINT"),
            (&["--otlp-endpoint", "http:///x"], "OTEL_EXPORTER_OTLP_ENDPOINT"),
            (&["--otlp-endpoint", "http://user:gotcha@c:4318"], "OTEL_EXPORTER_OTLP_ENDPOINT"),
            (&["--otlp-traces-endpoint", "grpc://c"], "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
            (&["--otlp-endpoint", "http://c", "--otlp-protocol", "grpc"], "OTEL_EXPORTER_OTLP_PROTOCOL"),
            (&["--otlp-endpoint", "http://c", "--otlp-timeout", "0"], "OTEL_EXPORTER_OTLP_TIMEOUT"),
            (&["--otlp-endpoint", "http://c", "--otlp-headers", "gotcha"], "OTEL_EXPORTER_OTLP_HEADERS"),
            (&["--otlp-endpoint", "http://c", "--otlp-headers", "a=gotcha%zz"], "OTEL_EXPORTER_OTLP_HEADERS"),
            (&["--otlp-endpoint", "http://c", "--otlp-headers", "a=gotcha%0d%0ab"], "OTEL_EXPORTER_OTLP_HEADERS"),
            (&["--otlp-endpoint", "http://c", "--otel-resource-attributes", "=gotcha"], "OTEL_RESOURCE_ATTRIBUTES"),
            (&["--otlp-endpoint", "http://c", "--otel-traces-sampler", "jaeger_remote"], "OTEL_TRACES_SAMPLER"),
            (&["--otlp-endpoint", "http://c", "--otel-traces-sampler", "traceidratio", "--otel-traces-sampler-arg", "2"], "OTEL_TRACES_SAMPLER_ARG"),
        ] {
            let refused = traces(args).unwrap_err();
            assert!(refused.contains(name) && !refused.contains("gotcha"), "{args:?}: {refused}");
        }
    }
}
