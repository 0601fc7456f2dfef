//! The binary as a pod runs it: what it prints, what it never prints, how it exits.

use std::io::Write;
use std::process::{Command, Output};
use wi_probe::ProbeRecord;
use wi_probe::record::{AssertionOutcome, ExchangeOutcome, INPUT_VARIABLE, ProbeInput};

/// `{"alg":"RS256","kid":"k1"}` and `{"iss":"https://127.0.0.1:1/","sub":"s","aud":["a"]}`; the signature is the
/// part that must never be seen again.
const HEADER: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0";
const BODY: &str = "eyJpc3MiOiJodHRwczovLzEyNy4wLjAuMToxLyIsInN1YiI6InMiLCJhdWQiOlsiYSJdfQ";
const SIGNATURE: &str = "c2lnbmF0dXJlLXRoYXQtbXVzdC1zdGF5LWhpZGRlbg";

fn probe(input: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wi-probe"))
        .env_clear()
        .env(INPUT_VARIABLE, input)
        .envs(variables.iter().copied())
        .output()
        .expect("the probe runs")
}

fn input() -> String {
    serde_json::to_string(&ProbeInput {
        request_seconds: 2,
        ..ProbeInput::new("https://vault.azure.net/.default")
    })
    .expect("an input is JSON")
}

#[test]
fn what_cannot_be_reached_is_a_record_without_the_token() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(file, "{HEADER}.{BODY}.{SIGNATURE}").expect("the token is written");
    let path = file.path().to_str().expect("a path in UTF-8");
    let output = probe(
        &input(),
        &[
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_TENANT_ID", "tenant"),
            // Nobody listens on port 1 of the loopback address.
            ("AZURE_AUTHORITY_HOST", "https://127.0.0.1:1/"),
            ("AZURE_FEDERATED_TOKEN_FILE", path),
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8(output.stdout).expect("text");
    assert_eq!(printed.lines().count(), 1);
    assert!(!printed.contains(SIGNATURE) && !printed.contains(BODY));
    let record = ProbeRecord::find(&printed).expect("a record");
    let AssertionOutcome::Read(claims) = &record.assertion else {
        panic!("the token was not read")
    };
    assert_eq!(
        (claims.subject.as_str(), claims.key_id.as_deref()),
        ("s", Some("k1"))
    );
    assert!(matches!(record.exchange, ExchangeOutcome::Unreachable { .. }));
}

#[test]
fn a_pod_without_the_webhook_says_what_is_missing() {
    let output = probe(&input(), &[]);
    let record = ProbeRecord::find(&String::from_utf8_lossy(&output.stdout)).expect("a record");
    assert!(matches!(record.assertion, AssertionOutcome::Missing { .. }));
    assert!(matches!(record.exchange, ExchangeOutcome::NotTried { .. }));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_input_that_is_none_is_refused_and_not_repeated() {
    let output = probe("{\"secret-looking\": \"hunter2\"", &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    assert!(output.stdout.is_empty());
}
