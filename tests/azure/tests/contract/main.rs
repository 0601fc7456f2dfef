//! The simulator held against the official `OpenAPI` files: every saved example that it can express is replayed and
//! must be answered with the example's status and a body that the specification allows.
//!
//! The specifications are data outside this project: `AZURE_REST_SPECS` names the folder that holds them.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, also in its helpers"
)]

mod gaps;
mod replay;
mod schema;
mod shipped;
mod specs;

use replay::Outcome;
use specs::Specs;

#[tokio::test]
async fn every_example_is_answered_as_the_specification_says() {
    let Some(root) = std::env::var_os("AZURE_REST_SPECS") else {
        println!("contract: skipped, AZURE_REST_SPECS is not set");
        return;
    };
    let specs = Specs::load(root.as_ref());
    let examples = specs.examples();
    assert!(!examples.is_empty(), "no specification in {}", root.display());
    let (mut passed, mut gaps, mut failed) = (0, 0, Vec::new());
    for example in &examples {
        let known = gaps::reason(example);
        let outcome = match (known, example.content.is_some()) {
            (None, false) => Outcome::Gap("the example is not saved".to_owned()),
            (Some(reason), false) => Outcome::Gap(reason.to_owned()),
            // What is named as a gap is asked too: a gap that was closed must leave the list.
            (Some(reason), true) => match replay::replay(&specs, example).await {
                Outcome::Pass(_) => Outcome::Fail(vec![format!("listed as a gap, but it passes: {reason}")]),
                _ => Outcome::Gap(reason.to_owned()),
            },
            (None, true) => replay::replay(&specs, example).await,
        };
        let (word, text) = match &outcome {
            Outcome::Pass(notes) => {
                passed += 1;
                ("pass", notes.join("; "))
            }
            Outcome::Gap(reason) => {
                gaps += 1;
                ("gap", reason.clone())
            }
            Outcome::Fail(findings) => {
                failed.push(format!("{} × {}: {findings:#?}", example.operation, example.name));
                ("FAIL", findings.join("; "))
            }
        };
        println!(
            "{:<45} | {:<55} | {word:<4} | {text}",
            example.operation, example.name
        );
    }
    let operations: std::collections::BTreeSet<_> = examples.iter().map(|one| &one.operation).collect();
    println!(
        "contract: {} operations, {} examples: {passed} pass, {gaps} gaps, {} fail",
        operations.len(),
        examples.len(),
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:#?}");
}
