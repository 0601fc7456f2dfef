//! The simulator held against the official `OpenAPI` files: every saved example that it can express is replayed and
//! must be answered with the example's status and a body that the specification allows.
//!
//! The specifications are data outside this project: `AZURE_REST_SPECS` names the folder that holds them.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, also in its helpers"
)]

mod gaps;
mod recordings;
mod replay;
mod schema;
mod session;
mod shipped;
mod specs;
mod stage;

use std::num::NonZero;

use replay::Outcome;
use specs::{Example, Specs};

#[test]
fn every_example_is_answered_as_the_specification_says() {
    let Some(root) = std::env::var_os("AZURE_REST_SPECS") else {
        println!("contract: skipped, AZURE_REST_SPECS is not set");
        return;
    };
    let specs = Specs::load(root.as_ref());
    let examples = specs.examples();
    assert!(!examples.is_empty(), "no specification in {}", root.display());
    let (mut passed, mut gaps, mut failed) = (0, 0, Vec::new());
    for (example, outcome) in examples.iter().zip(outcomes(&specs, &examples)) {
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

#[tokio::test]
async fn recordings_of_the_real_services_are_answered_alike() {
    let Some(root) = std::env::var_os("AZURE_REST_SPECS") else {
        println!("recordings: skipped, AZURE_REST_SPECS is not set");
        return;
    };
    let specs = Specs::load(root.as_ref());
    let steps = recordings::replays(&specs).await + recordings::replays_vault(&specs).await;
    let facts = recordings::keeps_quirks(&specs).await + recordings::errors_have_the_same_words(&specs).await;
    println!("recordings: {steps} steps answered alike, {facts} quirks and errors");
}

/// How each example went. Most of the time goes into keys and certificates, so it is spread over the processors.
fn outcomes(specs: &Specs, examples: &[Example<'_>]) -> Vec<Outcome> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let size = examples.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let run = |examples: &[Example<'_>]| -> Vec<Outcome> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let one = |example| runtime.block_on(outcome(specs, example));
            examples.iter().map(one).collect()
        };
        let parts: Vec<_> = examples
            .chunks(size)
            .map(|part| scope.spawn(move || run(part)))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

async fn outcome(specs: &Specs, example: &Example<'_>) -> Outcome {
    match (gaps::reason(example), example.content.is_some()) {
        (None, false) => Outcome::Gap("the example is not saved".to_owned()),
        (Some(reason), false) => Outcome::Gap(reason.to_owned()),
        // What is named as a gap is asked too: a gap that was closed must leave the list.
        (Some(reason), true) => match replay::replay(specs, example).await {
            Outcome::Pass(_) => Outcome::Fail(vec![format!("listed as a gap, but it passes: {reason}")]),
            _ => Outcome::Gap(reason.to_owned()),
        },
        (None, true) => replay::replay(specs, example).await,
    }
}
