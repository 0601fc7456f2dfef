use super::*;
use k8s_openapi::ByteString;

fn secret(content: &[u8], labels: &[(&str, &str)]) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.name = Some("sh.helm.release.v1.orders.v3".into());
    secret.metadata.labels = Some(
        labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    );
    secret.data = Some([("release".to_owned(), ByteString(pack(content).unwrap()))].into());
    secret
}

const STORED: &[u8] = br#"{"name":"orders","version":3,"info":{"status":"deployed","notes":"x"},
    "chart":{"metadata":{"name":"orders","version":"0.1.0"},"templates":[]},"config":{"a":1}}"#;

#[test]
fn a_record_is_decoded() {
    let record = Record::decode(&secret(STORED, &[])).unwrap();
    assert_eq!(
        (
            record.revision,
            record.chart.as_str(),
            record.chart_version.as_str()
        ),
        (3, "orders", "0.1.0")
    );
    assert!(record.is_deployed() && !record.is_pending());
    assert_eq!(record.config, json!({"a": 1}));
}

#[test]
fn no_values_are_an_empty_set_of_them() {
    let stored = br#"{"name":"orders","version":1,"info":{"status":"deployed"},"config":null}"#;
    assert_eq!(Record::decode(&secret(stored, &[])).unwrap().config, json!({}));
}

#[test]
fn a_mark_counts_for_its_own_revision_and_digest_only() {
    let digest = "d".repeat(64);
    let label = label_of(&digest);
    let right = format!("v3.{label}");
    let copied = format!("v2.{label}");
    let record = |mark: &str| {
        Record::decode(&secret(STORED, &[(DIGEST_LABEL, label), (VERIFIED_LABEL, mark)])).unwrap()
    };
    assert!(record(&right).is_verified(&digest));
    assert!(!record(&copied).is_verified(&digest));
    assert!(record(&right).was_verified() && !record(&copied).was_verified());
    assert!(!record(&right).is_verified(&"e".repeat(64)));
    assert!(right.len() <= 63);
}

fn revision(number: u32, status: &str, labels: &[(&str, &str)]) -> Revision {
    let helms = [("status", status)];
    let labels = helms.iter().chain(labels);
    Revision {
        number,
        labels: labels
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        secret: String::new(),
    }
}

#[test]
fn a_rollback_goes_to_the_newest_good_revision_that_the_run_did_not_write() {
    let ours = |number: u32, status, run: &str, verified: bool| {
        let (own, mark) = (number.to_string(), mark(number, "d"));
        let mut labels = vec![
            (REVISION_LABEL, own.as_str()),
            (RUN_LABEL, run),
            (DIGEST_LABEL, "d"),
        ];
        if verified {
            labels.push((VERIFIED_LABEL, mark.as_str()));
        }
        revision(number, status, &labels)
    };
    let restore = |revisions: Vec<Revision>| {
        let mut record = Record::sample(9, "deployed", Value::Null, []);
        record.revisions = revisions;
        record.restore("now")
    };
    assert_eq!(restore(vec![]), None);
    assert_eq!(restore(vec![revision(1, "failed", &[])]), None);
    assert_eq!(
        restore(vec![revision(1, "deployed", &[]), revision(2, "failed", &[])]),
        Some(1)
    );
    // One that was deployed and then found not to work is not worth going back to.
    let good = ours(1, "superseded", "a", true);
    assert_eq!(
        restore(vec![good.clone(), ours(2, "deployed", "b", false)]),
        Some(1)
    );
    // A resumed run goes back behind all of its own.
    assert_eq!(restore(vec![good, ours(2, "deployed", "now", true)]), Some(1));
    // Helm copies labels forward when somebody upgrades by hand.
    let mut copied = ours(2, "deployed", "b", false);
    copied.number = 3;
    assert_eq!(restore(vec![copied]), Some(3));
}

#[test]
fn what_helm_did_not_write_is_an_error() {
    assert!(Record::decode(&Secret::default()).is_err());
    assert!(Record::decode(&secret(b"{}", &[])).is_err());
}
