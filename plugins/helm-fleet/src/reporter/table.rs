//! The summary on standard output.

use crate::report::FleetReport;
use aks_shared::ui::table;

/// One row per target.
pub fn render(report: &FleetReport) -> String {
    let rows: Vec<Vec<String>> = report
        .targets
        .iter()
        .map(|target| {
            let revision =
                |revision: Option<u32>| revision.map_or("-".to_owned(), |number| number.to_string());
            let revisions = match (target.revision_before, target.revision_after) {
                (before, after) if before == after => revision(after),
                (before, after) => format!("{} -> {}", revision(before), revision(after)),
            };
            vec![
                target.cluster.clone(),
                target.stage.clone(),
                target.status.name().to_owned(),
                revisions,
                target.verification().to_owned(),
                target.client_ids().unwrap_or_else(|| "-".to_owned()),
                format!("{:.1}s", target.seconds),
            ]
        })
        .collect();
    table(
        &[
            "CLUSTER",
            "STAGE",
            "STATUS",
            "REVISION",
            "VERIFIED",
            "CLIENT ID",
            "TIME",
        ],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use crate::report::sample;

    #[test]
    fn every_target_has_a_row() {
        let text = super::render(&sample::report());
        let cells = |line: &str| {
            line.split("  ")
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let rows: Vec<Vec<String>> = text.lines().skip(1).map(cells).collect();
        let id = "11111111-0000-4000-8000-000000000001";
        assert_eq!(
            rows[0],
            ["weu-1", "canary", "upgraded", "3 -> 4", "pass", id, "8.2s"]
        );
        assert_eq!(rows[1], ["neu-1", "prod", "failed", "3 -> 4", "-", "-", "8.2s"]);
        assert_eq!(rows[2], ["neu-2", "prod", "not started", "3", "-", "-", "0.0s"]);
    }
}
