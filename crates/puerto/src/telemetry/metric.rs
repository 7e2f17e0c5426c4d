//! Metrics, and how OTLP writes them as JSON. Their numbers are read from the text that scrapers get and their names,
//! kinds and labels from the list of metrics, so that a collector is told what Prometheus is told, under the same names.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::resource::{Attribute, Resource, Scope, Service, attribute, number_text};
use crate::record::metrics::list::{self, Kind};
use crate::record::metrics::series;

/// Every number is of all that happened since the start (`AGGREGATION_TEMPORALITY_CUMULATIVE`).
const CUMULATIVE: u8 = 2;

#[derive(Debug, Serialize)]
struct Metric {
    name: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'static str,
    #[serde(flatten)]
    data: Data,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Data {
    Gauge { data_points: Vec<Number> },
    Sum { data_points: Vec<Number>, aggregation_temporality: u8, is_monotonic: bool },
    Histogram { data_points: Vec<Distribution>, aggregation_temporality: u8 },
}

/// A point of a gauge or a counter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Number {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Attribute>,
    #[serde(flatten)]
    time: Time,
    #[serde(flatten)]
    value: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Value {
    AsInt(#[serde(serialize_with = "count_text")] u64),
    AsDouble(#[serde(serialize_with = "double")] f64),
}

/// A point of a histogram.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Distribution {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Attribute>,
    #[serde(flatten)]
    time: Time,
    #[serde(serialize_with = "count_text")]
    count: u64,
    sum: f64,
    /// One more than there are bounds: the last is of what is above all of them.
    #[serde(serialize_with = "count_texts")]
    bucket_counts: Vec<u64>,
    explicit_bounds: Vec<f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Time {
    #[serde(serialize_with = "number_text")]
    start_time_unix_nano: u128,
    #[serde(serialize_with = "number_text")]
    time_unix_nano: u128,
}

/// The labels of a series, without that of a bucket.
type Labels = BTreeMap<String, String>;

/// What a scrape says of a metric.
#[derive(Default)]
struct Scraped {
    numbers: Vec<(Labels, f64)>,
    histograms: BTreeMap<Labels, Buckets>,
}

/// What it says of one series of a histogram.
#[derive(Default)]
struct Buckets {
    count: f64,
    sum: f64,
    /// Bounds, the least first, and how many were up to each.
    up_to: Vec<(f64, f64)>,
}

impl Scraped {
    /// Takes a line in. `part` is what its name has behind that of the metric.
    fn take(&mut self, part: &str, mut labels: Labels, value: f64) {
        if part.is_empty() {
            return self.numbers.push((labels, value));
        }
        let bound = labels.remove("le").and_then(|bound| bound.parse().ok());
        let buckets = self.histograms.entry(labels).or_default();
        match (part, bound) {
            ("_count", _) => buckets.count = value,
            ("_sum", _) => buckets.sum = value,
            ("_bucket", Some(bound)) => buckets.up_to.push((bound, value)),
            _ => {}
        }
    }

    /// Its points, and how many.
    fn data(self, of: &list::Metric, time: Time) -> (Data, usize) {
        let number = |(labels, value): (Labels, f64)| Number {
            attributes: attributes(of, &labels),
            time,
            value: match of.kind {
                // Seconds are counted in parts of them.
                Kind::Counter if of.unit != "seconds" => Value::AsInt(whole(value)),
                _ => Value::AsDouble(value),
            },
        };
        let (numbers, histograms) = (self.numbers.into_iter().map(number), self.histograms.into_iter());
        match of.kind {
            Kind::Gauge => {
                let data_points: Vec<_> = numbers.collect();
                let count = data_points.len();
                (Data::Gauge { data_points }, count)
            }
            Kind::Counter => {
                let data_points: Vec<_> = numbers.collect();
                let count = data_points.len();
                (Data::Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true }, count)
            }
            Kind::Histogram => {
                let points = histograms.map(|(labels, buckets)| buckets.point(attributes(of, &labels), time));
                let data_points: Vec<_> = points.collect();
                let count = data_points.len();
                (Data::Histogram { data_points, aggregation_temporality: CUMULATIVE }, count)
            }
        }
    }
}

impl Buckets {
    fn point(self, attributes: Vec<Attribute>, time: Time) -> Distribution {
        let mut below = 0.0;
        let each = self.up_to.iter().map(|(_, up_to)| whole(up_to - std::mem::replace(&mut below, *up_to)));
        Distribution {
            attributes,
            time,
            count: whole(self.count),
            sum: self.sum,
            bucket_counts: each.collect(),
            explicit_bounds: self.up_to.iter().map(|(bound, _)| *bound).filter(|b| b.is_finite()).collect(),
        }
    }
}

/// Labels as attributes. An empty one is none, as Prometheus has it.
fn attributes(of: &list::Metric, labels: &Labels) -> Vec<Attribute> {
    let given = of.labels.iter().filter_map(|name| Some((*name, labels.get(*name)?)));
    given
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| attribute(name, value.as_str()))
        .collect()
}

/// As UCUM writes it, which OTLP asks for.
fn unit(of: &list::Metric) -> &'static str {
    match of.unit {
        "seconds" => "s",
        "bytes" => "By",
        other => other,
    }
}

/// Counts have stood in a text as numbers that a double holds whole: below 2^53.
fn whole(count: f64) -> u64 {
    count as u64
}

fn count_text<S: Serializer>(count: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(count)
}

fn count_texts<S: Serializer>(counts: &[u64], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(counts.iter().map(u64::to_string))
}

/// What is no number is written as protobuf has it in JSON.
fn double<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() { to.serialize_str("NaN") } else { to.serialize_f64(*value) }
}

/// A request to a collector (`ExportMetricsServiceRequest`) with what a scrape says, and how many points are in it. What
/// is counted was counted since a moment.
pub(super) fn request(service: &Service, scrape: &str, since: SystemTime, now: SystemTime) -> (String, u64) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Request {
        resource_metrics: [ResourceMetrics; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ResourceMetrics {
        resource: Resource,
        scope_metrics: [ScopeMetrics; 1],
    }
    #[derive(Serialize)]
    struct ScopeMetrics {
        scope: Scope,
        metrics: Vec<Metric>,
    }
    let nanos = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let time = Time { start_time_unix_nano: nanos(since), time_unix_nano: nanos(now) };
    let mut scraped: Vec<_> = list::ALL.iter().map(|metric| (metric, Scraped::default())).collect();
    for (name, labels, value) in scrape.lines().filter_map(series) {
        let found = scraped.iter_mut().find_map(|(metric, of)| Some((metric.part(name)?, of)));
        if let Some((part, of)) = found {
            of.take(part, labels, value);
        }
    }
    let (mut metrics, mut points) = (Vec::new(), 0);
    for (metric, scraped) in scraped {
        let (data, count) = scraped.data(metric, time);
        points += count as u64;
        if count > 0 {
            let (name, description, unit) = (metric.name, metric.help, unit(metric));
            metrics.push(Metric { name, description, unit, data });
        }
    }
    let scope_metrics = [ScopeMetrics { scope: Scope::default(), metrics }];
    let resource_metrics = [ResourceMetrics { resource: Resource::of(service), scope_metrics }];
    // Numbers and texts only: writing them cannot fail.
    (serde_json::to_string(&Request { resource_metrics }).unwrap_or_default(), points)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::*;

    fn written(scrape: &str) -> (String, u64) {
        let service = Service { name: "hub".into(), instance: "1".into() };
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        let (text, points) = request(&service, scrape, at(0), at(60));
        let request: serde_json::Value = serde_json::from_str(&text).unwrap();
        (request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].to_string(), points)
    }

    #[test]
    fn each_kind_is_written_as_otlp_has_it() {
        let scrape = "# TYPE mcp_server_operation_duration_seconds histogram\n\
            mcp_server_operation_duration_seconds_sum{mcp_method_name=\"ping\",gen_ai_tool_name=\"\",tenant=\"a\",server=\"\",error_type=\"\"} 0.25\n\
            mcp_server_operation_duration_seconds_count{mcp_method_name=\"ping\",gen_ai_tool_name=\"\",tenant=\"a\",server=\"\",error_type=\"\"} 5\n\
            mcp_server_operation_duration_seconds_bucket{le=\"0.1\",mcp_method_name=\"ping\",gen_ai_tool_name=\"\",tenant=\"a\",server=\"\",error_type=\"\"} 2\n\
            mcp_server_operation_duration_seconds_bucket{le=\"1.0\",mcp_method_name=\"ping\",gen_ai_tool_name=\"\",tenant=\"a\",server=\"\",error_type=\"\"} 4\n\
            mcp_server_operation_duration_seconds_bucket{le=\"+Inf\",mcp_method_name=\"ping\",gen_ai_tool_name=\"\",tenant=\"a\",server=\"\",error_type=\"\"} 5\n\
            puerto_payload_bytes_total{tenant=\"a\",server=\"s\",direction=\"in\"} 7\n\
            puerto_hub_cpu_seconds_total{} 1.25\n\
            mcp_events_count NaN\n";
        let (metrics, points) = written(scrape);
        assert_eq!(points, 4);
        expect![[r#"[{"description":"Time from request to answer","histogram":{"aggregationTemporality":2,"dataPoints":[{"attributes":[{"key":"mcp_method_name","value":{"stringValue":"ping"}},{"key":"tenant","value":{"stringValue":"a"}}],"bucketCounts":["2","2","1"],"count":"5","explicitBounds":[0.1,1.0],"startTimeUnixNano":"1700000000000000000","sum":0.25,"timeUnixNano":"1700000060000000000"}]},"name":"mcp_server_operation_duration_seconds","unit":"s"},{"description":"Bytes of requests and answers","name":"puerto_payload_bytes_total","sum":{"aggregationTemporality":2,"dataPoints":[{"asInt":"7","attributes":[{"key":"tenant","value":{"stringValue":"a"}},{"key":"server","value":{"stringValue":"s"}},{"key":"direction","value":{"stringValue":"in"}}],"startTimeUnixNano":"1700000000000000000","timeUnixNano":"1700000060000000000"}],"isMonotonic":true},"unit":"By"},{"description":"Processor time that it has taken","name":"puerto_hub_cpu_seconds_total","sum":{"aggregationTemporality":2,"dataPoints":[{"asDouble":1.25,"startTimeUnixNano":"1700000000000000000","timeUnixNano":"1700000060000000000"}],"isMonotonic":true},"unit":"s"},{"description":"Events that are kept","gauge":{"dataPoints":[{"asDouble":"NaN","startTimeUnixNano":"1700000000000000000","timeUnixNano":"1700000060000000000"}]},"name":"mcp_events_count"}]"#]].assert_eq(&metrics);
    }

    #[test]
    fn what_is_on_no_list_is_not_sent() {
        assert_eq!(written("up 1\nmcp_events_count_of_another 2\n"), ("[]".into(), 0));
    }
}
