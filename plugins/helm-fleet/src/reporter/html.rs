//! `report.html`: one page that needs nothing else, no network, no script; for a browser and for paper.
//!
//! The template escapes all that it is given, and the page's own policy lets a browser load nothing.

mod view;

use crate::report::FleetReport;
use minijinja::{AutoEscape, Environment, Error, value::Serde};

/// The page's template.
const TEMPLATE: &str = include_str!("html/report.html");

/// The report as a page.
pub fn render(report: &FleetReport) -> Result<String, Error> {
    let mut environment = Environment::empty();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let page = view::Page::of(report);
    environment.render_named_str("report.html", TEMPLATE, Serde(&page))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_says_what_the_report_says() {
        let page = render(&sample::report()).unwrap();
        for expected in [
            "<title>orders in shop: stopped</title>",
            "(exit code 4): stage prod: 1 failure, 0 allowed",
            "id=\"failure-2\"",
            "Error: UPGRADE FAILED: timed out\npod orders-1: app: ErrImagePull</pre>",
            "3 → 4",
            "<code>req-1</code>",
            "<th class=\"mark\">kv-central&#x2f;db-password</th>",
            "<code>system:serviceaccount:shop:orders</code>",
        ] {
            assert!(page.contains(expected), "{expected} is not in\n{page}");
        }
        let position = |text: &str| page.find(text).unwrap();
        assert!(position("id=\"failures\"") < position("id=\"timeline\""));
    }

    #[test]
    fn foreign_text_is_text_and_nothing_is_loaded() {
        let mut report = sample::report();
        let evil = "</pre><script>alert(1)</script><img src=x onerror=y>\"'";
        report.reason = evil.to_owned();
        report.run.pipeline_url = Some("javascript:alert(1)".to_owned());
        for target in &mut report.targets {
            target.cluster = evil.to_owned();
            target.context = evil.to_owned();
            target.reason = evil.to_owned();
            if let Some(failure) = &mut target.failure {
                failure.message = evil.to_owned();
                failure.output = Some(evil.to_owned());
            }
        }
        let page = render(&report).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        for reference in ["href=\"javascript", " src=\"", "url(", "@import", "<link"] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    #[test]
    fn a_run_without_targets_or_identities_has_a_page_too() {
        let mut report = sample::report();
        report.targets.clear();
        report.access.clear();
        report.run.finished_at = report.run.started_at;
        let page = render(&report).unwrap();
        assert!(
            !page.contains("id=\"failures\"") && !page.contains("id=\"access\""),
            "{page}"
        );
    }
}
