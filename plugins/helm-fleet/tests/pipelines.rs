//! The pipeline templates: they are YAML, and every command line in them is one that this binary takes.

use aks_shared::format;
use clap::Parser;
use helm_fleet::FleetCli;
use serde_json::Value;
use std::path::Path;

const TEMPLATES: [&str; 2] = ["azure-pipelines.yml", "github-actions.yml"];

fn template(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm-plugin/pipelines");
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    format::from_yaml(&text).unwrap_or_else(|error| panic!("{name}: {error}: {}", error.what()))
}

/// Every text of a document.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.values().for_each(|member| texts(member, found)),
        _ => {}
    }
}

/// The command lines of `helm fleet` in a template, word by word.
fn commands(name: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    texts(&template(name), &mut found);
    let lines = found.iter().flat_map(|text| text.lines());
    let words = |line: &str| {
        line.split_whitespace()
            .map(|word| word.trim_matches('"').to_owned())
            .collect()
    };
    // What the pipeline puts in is a word as any other.
    lines
        .filter(|line| line.starts_with("helm fleet ") && line.contains(" -f "))
        .map(|line| line.replace("${{ stage }}", "canary"))
        .map(|line| words(line.trim_start_matches("helm fleet ")))
        .collect()
}

#[test]
fn every_command_of_the_templates_is_understood() {
    for name in TEMPLATES {
        let commands = commands(name);
        let verbs: Vec<&str> = commands
            .iter()
            .filter_map(|words| words.first())
            .map(String::as_str)
            .collect();
        for verb in ["validate", "preflight", "upgrade"] {
            assert!(verbs.contains(&verb), "{name} runs no {verb}: {commands:?}");
        }
        for words in commands {
            let line = std::iter::once("helm fleet".to_owned()).chain(words.iter().cloned());
            if let Err(error) = FleetCli::try_parse_from(line) {
                panic!("{name}: {words:?}: {error}");
            }
        }
    }
}

#[test]
fn what_writes_never_waits_for_somebody_at_a_terminal() {
    for name in TEMPLATES {
        for words in commands(name).iter().filter(|words| words[0] == "upgrade") {
            assert!(words.contains(&"--yes".to_owned()), "{name}: {words:?}");
        }
    }
}

#[test]
fn no_template_holds_or_stores_a_secret() {
    for name in TEMPLATES {
        let mut found = Vec::new();
        texts(&template(name), &mut found);
        for text in found {
            // The job's own token is handed on to the step and ends with the job.
            let text = text.replace("$(System.AccessToken)", "");
            assert!(
                !text.contains("secrets.") && !text.contains("CLIENT_SECRET"),
                "{name}: {text}"
            );
        }
    }
}
