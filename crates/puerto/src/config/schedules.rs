//! Whether schedules can fire: their expressions, their time zones, their tenants.

use jiff::Timestamp;
use puerto_host::schedule::{Schedule, Unfit};

use super::json::{Node, Value};
use super::problem::{Path, Problem, Report};

/// Longest name of a schedule, in bytes.
const SCHEDULE_LEN_MAX: usize = 128;

/// Judges the schedules of `tasks`.
pub(crate) fn check(root: &Node, tasks: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let path = Path::Key(path, "schedules");
    for member in tasks.get("schedules").map(Node::members).unwrap_or_default() {
        let path = Path::Key(&path, &member.key);
        if member.key.is_empty() || member.key.len() > SCHEDULE_LEN_MAX {
            let message = format!("the name of a schedule has 1 to {SCHEDULE_LEN_MAX} bytes");
            report.add(member.key_span, &path, Problem::error(message));
        }
        schedule(&member.node, &path, report);
        let Some(tenant) = member.node.get("tenant") else {
            if is_missing(root, "default") {
                let problem = Problem::error("this schedule names no tenant, and none is named \"default\"");
                report.add(member.key_span, &path, problem.help("add \"tenant\": …"));
            }
            continue;
        };
        if tenant.text().is_some_and(|name| is_missing(root, name)) {
            let problem = Problem::error("no such tenant is defined");
            report.add(tenant.span, &Path::Key(&path, "tenant"), problem);
        }
    }
}

fn is_missing(root: &Node, tenant: &str) -> bool {
    root.get("tenants")
        .is_some_and(|tenants| matches!(tenants.value, Value::Object(_)) && tenants.get(tenant).is_none())
}

fn schedule(node: &Node, path: &Path<'_>, report: &mut Report<'_>) {
    let Some(cron) = node.get("cron") else { return };
    let Some(text) = cron.text() else { return };
    let zone = node.get("timezone");
    let named = zone.and_then(Node::text).unwrap_or("UTC");
    let problem = match Schedule::parse(text, named, Timestamp::now()) {
        Ok(_) => return,
        Err(Unfit::Zone) => {
            let Some(zone) = zone else { return };
            let problem = Problem::error(Unfit::Zone.to_string());
            let problem = problem.expected(report.written(zone), "a name such as \"Europe/Berlin\" or \"UTC\"");
            return report.add(zone.span, &Path::Key(path, "timezone"), problem);
        }
        Err(unfit @ Unfit::Never) => {
            Problem::error(unfit.to_string()).help("no date that it names ever comes")
        }
        Err(unfit) => Problem::error(unfit.to_string()).help(
            "write minute, hour, day of month, month and day of week, as in \"30 2 * * MON-FRI\"; six fields begin with seconds",
        ),
    };
    report.add(cron.span, &Path::Key(path, "cron"), problem);
}
