//! `--wait`: what a pipeline runs right after a setup, or beside it.

use crate::case::{CONTEXT, Case};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

/// What is missed, and how it comes about.
type Coming = (&'static str, fn(&Case));

#[test]
fn what_is_not_there_yet_is_waited_for() {
    let case = Case::new("wait");
    case.kubectl("delete serviceaccount orders");
    case.cluster_fault(&["webhook", CONTEXT, "remove"]);

    let line = format!(
        "kubectl-wi verify --context {CONTEXT} -n {} --secret {}/db deploy/orders --wait 8m -o json",
        case.namespace, case.vault
    );
    let mut words = line.split(' ');
    let mut verify = Command::new(words.next().expect("a line names a program"))
        .args(words)
        .env_clear()
        .envs(case.world.variables())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // One thing after another comes about once it is missed; the next is missed only then.
    let come_about: [Coming; 3] = [
        ("there is no deployment/orders", |case| {
            case.deploy(
                &json!({"azure.workload.identity/use": "true"}),
                &json!({}),
                &json!([]),
            );
        }),
        ("account-missing", |case| {
            let setup = format!("{} --service-account-owner setup --yes --wait none", case.setup());
            case.world.run(&setup).expect(0);
        }),
        ("webhook-missing", |case| {
            case.cluster_fault(&["webhook", CONTEXT, "start"]);
        }),
    ];
    let mut to_come = come_about.iter().peekable();
    let mut talk = String::new();
    let stderr = verify.stderr.take().expect("its talk is piped");
    for said in BufReader::new(stderr).lines().map_while(Result::ok) {
        talk.push_str(&said);
        talk.push('\n');
        if let Some((_, about)) =
            to_come.next_if(|(missing, _)| said.contains("not well yet") && said.contains(missing))
        {
            about(&case);
        }
    }
    let mut document = String::new();
    let stdout = verify.stdout.as_mut().expect("its data is piped");
    stdout.read_to_string(&mut document).expect("its data is text");
    let ended = verify.wait().expect("it ends");
    assert!(to_come.next().is_none(), "not all was missed:\n{talk}");
    assert_eq!(ended.code(), Some(0), "{talk}\n{document}");
    assert!(
        document.contains("\"exchange-ok\"") && document.contains("\"secret-ok\""),
        "{document}"
    );
    case.kubectl("wait --for=delete jobs -l app.kubernetes.io/name=wi-probe --timeout=60s");
}
