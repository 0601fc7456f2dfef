//! What the page shows, ready to be written: words, classes, places on the axis. Nothing here decides anything.

use crate::event::{FailureReport, TargetStatus};
use crate::report::{Access, FleetReport, GateReport, StageReport, StageStatus, TargetReport};
use crate::reporter::words;
use jiff::Timestamp;
use kubectl_wi_verify::Finding;
use serde::Serialize;
use std::collections::BTreeSet;

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    title: String,
    outcome: Outcome<'a>,
    counts: Vec<Count>,
    facts: Vec<Fact>,
    failures: Vec<Failed<'a>>,
    axis: Axis,
    stages: Vec<Stage<'a>>,
    access: Matrix<'a>,
    writes: Vec<Written<'a>>,
    notes: Vec<String>,
    version: &'static str,
    schema: &'static str,
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    class: Class,
    name: &'a str,
    code: u8,
    reason: &'a str,
}

/// How something is coloured; its word says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Class {
    Good,
    Bad,
    Warn,
    Idle,
}

#[derive(Debug, Serialize)]
struct Count {
    class: Class,
    number: usize,
    name: &'static str,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: &'static str,
    text: String,
    link: bool,
}

#[derive(Debug, Serialize)]
struct Failed<'a> {
    number: usize,
    cluster: &'a str,
    context: &'a str,
    stage: &'a str,
    class: Class,
    status: &'static str,
    failures: Vec<Failure<'a>>,
    findings: Vec<&'a Finding>,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    message: &'a str,
    causes: &'a [String],
    details: String,
}

#[derive(Debug, Serialize)]
struct Axis {
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct Stage<'a> {
    name: &'a str,
    class: Class,
    status: &'static str,
    limits: String,
    targets: Vec<Target<'a>>,
    gates: Vec<Gate<'a>>,
}

#[derive(Debug, Serialize)]
struct Target<'a> {
    number: usize,
    cluster: &'a str,
    class: Class,
    status: &'static str,
    revision: String,
    verified: &'static str,
    seconds: String,
    reason: &'a str,
    link: bool,
    bar: Option<Bar>,
}

#[derive(Debug, Serialize)]
struct Gate<'a> {
    name: &'a str,
    answer: String,
    bar: Option<Bar>,
}

/// A place on the axis, in percent.
#[derive(Debug, PartialEq, Serialize)]
struct Bar {
    left: String,
    width: String,
    title: String,
}

#[derive(Debug, Serialize)]
struct Matrix<'a> {
    columns: Vec<String>,
    /// How many columns follow the cluster's.
    span: usize,
    rows: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    cluster: &'a str,
    subject: &'a str,
    issuer: &'a str,
    client_id: &'a str,
    identity: &'a str,
    marks: Vec<&'static str>,
    grants: &'a [String],
}

#[derive(Debug, Serialize)]
struct Written<'a> {
    cluster: &'a str,
    action: String,
    object: String,
    name: String,
    request: String,
}

/// The time that the axis spans.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Timestamp,
    to: Timestamp,
}

impl<'a> Page<'a> {
    pub(super) fn of(report: &'a FleetReport) -> Self {
        let begun = report.stages.iter().filter_map(|stage| stage.started_at).min();
        let span = Span {
            from: begun.unwrap_or(report.run.started_at),
            to: report.run.finished_at,
        };
        let numbered = || report.targets.iter().zip(1..);
        let stage = |stage: &'a StageReport| Stage {
            name: &stage.name,
            class: class_of_stage(stage.status),
            status: words::stage(stage.status),
            limits: words::limits(stage),
            targets: numbered()
                .filter(|(target, _)| target.stage == stage.name)
                .map(|(target, number)| Target::of(target, number, span))
                .collect(),
            gates: stage.gates.iter().map(|gate| Gate::of(gate, span)).collect(),
        };
        Self {
            title: format!("{} in {}", report.release.name, report.release.namespace),
            outcome: Outcome {
                class: class_of_code(report.exit_code),
                name: report.exit_name,
                code: report.exit_code,
                reason: &report.reason,
            },
            counts: counts(report),
            facts: words::facts(report)
                .into_iter()
                .map(|(name, text)| Fact {
                    link: text.starts_with("https://"),
                    name,
                    text,
                })
                .collect(),
            failures: numbered()
                .filter(|(target, _)| target.trouble().is_some())
                .map(|(target, number)| Failed::of(target, number))
                .collect(),
            axis: Axis {
                from: words::clock(span.from),
                to: words::clock(span.to),
            },
            stages: report.stages.iter().map(stage).collect(),
            access: Matrix::of(&report.access),
            writes: report.targets.iter().flat_map(Written::of).collect(),
            notes: words::notes(report),
            version: env!("CARGO_PKG_VERSION"),
            schema: crate::report::API_VERSION,
        }
    }
}

impl<'a> Failed<'a> {
    fn of(target: &'a TargetReport, number: usize) -> Self {
        let failures = target.rollback_failure.iter().chain(&target.failure);
        Self {
            number,
            cluster: &target.cluster,
            context: &target.context,
            stage: &target.stage,
            class: class_of(target.status),
            status: target.status.name(),
            failures: failures.map(Failure::of).collect(),
            findings: target.failed_findings().collect(),
        }
    }
}

impl<'a> Failure<'a> {
    fn of(failure: &'a FailureReport) -> Self {
        Self {
            message: &failure.message,
            causes: &failure.causes,
            details: failure.details().collect::<Vec<_>>().join("\n"),
        }
    }
}

impl<'a> Target<'a> {
    fn of(target: &'a TargetReport, number: usize, span: Span) -> Self {
        let title = format!("{}: {}", target.cluster, target.status.name());
        let times = target
            .started_at
            .zip(target.finished_at.or(target.started_at.map(|_| span.to)));
        Self {
            number,
            cluster: &target.cluster,
            class: class_of(target.status),
            status: target.status.name(),
            revision: words::revisions(target),
            verified: target.verification(),
            seconds: format!("{:.1}", target.seconds),
            reason: &target.reason,
            link: target.trouble().is_some(),
            bar: times.map(|(from, to)| span.bar(from, to, &title)),
        }
    }
}

impl<'a> Gate<'a> {
    fn of(gate: &'a GateReport, span: Span) -> Self {
        let to = gate.answered_at.unwrap_or(span.to);
        Self {
            name: &gate.name,
            answer: words::answer(gate),
            bar: (to > gate.reached_at)
                .then(|| span.bar(gate.reached_at, to, &format!("gate {}", gate.name))),
        }
    }
}

impl Span {
    fn bar(self, from: Timestamp, to: Timestamp, title: &str) -> Bar {
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
        let whole = seconds(self.from, self.to).max(f64::EPSILON);
        let left = (seconds(self.from, from) / whole).clamp(0.0, 1.0);
        let right = (seconds(self.from, to) / whole).clamp(left, 1.0);
        let (from, to) = (words::clock(from), words::clock(to));
        Bar {
            left: format!("{:.2}", left * 100.0),
            width: format!("{:.2}", (right - left) * 100.0),
            title: format!("{title}, {from} to {to}"),
        }
    }
}

impl<'a> Matrix<'a> {
    fn of(access: &'a [Access]) -> Self {
        let secrets: BTreeSet<&str> = access
            .iter()
            .flat_map(|row| &row.secrets)
            .map(String::as_str)
            .collect();
        let vaults: BTreeSet<&str> = access
            .iter()
            .flat_map(|row| &row.vaults)
            .map(String::as_str)
            .collect();
        let mark = |has: bool| if has { "✓" } else { "–" };
        let row = |row: &'a Access| Row {
            cluster: &row.cluster,
            subject: &row.subject,
            issuer: &row.issuer,
            client_id: &row.client_id,
            identity: &row.identity_name,
            marks: secrets
                .iter()
                .map(|secret| mark(row.secrets.iter().any(|has| has == secret)))
                .chain(
                    vaults
                        .iter()
                        .map(|vault| mark(row.vaults.iter().any(|has| has == vault))),
                )
                .collect(),
            grants: &row.grants,
        };
        let whole = vaults.iter().map(|vault| format!("all of {vault}"));
        Self {
            span: secrets.len() + vaults.len() + 2,
            rows: access.iter().map(row).collect(),
            columns: secrets.iter().map(ToString::to_string).chain(whole).collect(),
        }
    }
}

impl<'a> Written<'a> {
    fn of(target: &'a TargetReport) -> impl Iterator<Item = Self> {
        target.writes().into_iter().map(|write| Self {
            cluster: &target.cluster,
            action: write.action,
            object: write.object,
            name: write.name,
            request: write.request_id.unwrap_or_else(|| "–".to_owned()),
        })
    }
}

fn counts(report: &FleetReport) -> Vec<Count> {
    let total = (
        Class::Idle,
        report.summary.total,
        if report.summary.total == 1 {
            "cluster"
        } else {
            "clusters"
        },
    );
    let by_status = words::counts(report)
        .into_iter()
        .map(|(status, number)| (class_of(status), number, status.name()));
    std::iter::once(total)
        .chain(by_status)
        .map(|(class, number, name)| Count { class, number, name })
        .collect()
}

const fn class_of(status: TargetStatus) -> Class {
    match status {
        TargetStatus::Installed
        | TargetStatus::Upgraded
        | TargetStatus::IdentityRepaired
        | TargetStatus::Uninstalled => Class::Good,
        TargetStatus::Unchanged | TargetStatus::NotStarted => Class::Idle,
        TargetStatus::Unreachable | TargetStatus::RolledBack | TargetStatus::Interrupted => Class::Warn,
        TargetStatus::Failed | TargetStatus::RollbackFailed => Class::Bad,
    }
}

const fn class_of_stage(status: StageStatus) -> Class {
    match status {
        StageStatus::Finished => Class::Good,
        StageStatus::Failed => Class::Bad,
        StageStatus::Waiting | StageStatus::Running => Class::Warn,
        StageStatus::NotStarted => Class::Idle,
    }
}

/// 3 and 7 are neither good nor bad.
const fn class_of_code(code: u8) -> Class {
    match code {
        0 => Class::Good,
        3 | 7 => Class::Warn,
        _ => Class::Bad,
    }
}
