//! What a run leaves besides its result: values for charts, a Markdown report, outputs of a pipeline's step.

use crate::args::SetupArgs;
use crate::grants;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::render;
use crate::selection::Unit;
use crate::values::{self, Mapping, ValuesError};
use aks_shared::ci::{CiSystem, StepOutputs};
use aks_shared::format::{self, OutputFormat};
use aks_shared::{ExitStatus, Failure, Session};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What is written for others to use.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Results for charts and pipelines")]
pub(crate) struct ResultArgs {
    /// Helm value that -o values and --values-dir set, in place of the usual chart's; repeat it for several
    #[arg(long, value_name = "KEY=FACT")]
    values_map: Vec<Mapping>,
    /// Write Helm values to this folder, a file for each cluster
    #[arg(long, value_name = "DIR")]
    values_dir: Option<PathBuf>,
    /// Write the plan, or what was done, as Markdown to this file as well
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Set outputs of this pipeline step: every id, exitCode and exitName
    #[arg(long, value_name = "SYSTEM", value_enum)]
    ci: Option<CiSystem>,
}

/// Where the results of a run go.
#[derive(Debug, Clone)]
pub(crate) struct Outputs {
    args: ResultArgs,
    export_grants: Option<PathBuf>,
    step: Option<StepOutputs>,
}

/// One workload's end, for those who read it.
pub(crate) type Ended<'a> = (&'a Unit, Option<&'a Outcome>, Option<&'a Failure>);

impl Outputs {
    /// Checks before the run that its results can go where they shall.
    pub(crate) fn prepare(args: &SetupArgs, session: &Session) -> Result<Self, Failure> {
        let results = &args.results;
        let prints_values = session.ui.format() == OutputFormat::Values;
        if args.confirm.dry_run && (prints_values || results.values_dir.is_some()) {
            return Err(
                Failure::usage("a dry run has no values: some are known after apply")
                    .hint("leave out --dry-run, or print the plan with -o json"),
            );
        }
        if args.confirm.dry_run && args.workload.export_grants.is_some() {
            return Err(Failure::usage(
                "a dry run exports no grants: an identity may be known after apply only",
            )
            .hint("leave out --dry-run; --export-grants itself makes no grant"));
        }
        if !results.values_map.is_empty() && !prints_values && results.values_dir.is_none() {
            return Err(
                Failure::usage("--values-map says which values, and nothing asks for them")
                    .hint("add -o values or --values-dir DIR"),
            );
        }
        let step = results
            .ci
            .map(|system| StepOutputs::of(system, &session.env))
            .transpose()?;
        Ok(Self {
            args: results.clone(),
            export_grants: args.workload.export_grants.clone(),
            step,
        })
    }

    /// Writes the plans of a run that changes nothing.
    pub(crate) fn plans<'a>(
        &self,
        session: &Session,
        plans: impl Iterator<Item = (&'a Unit, Option<&'a Plan>, Option<&'a Failure>)>,
    ) -> Result<(), Failure> {
        match &self.args.markdown {
            Some(path) => write(session, path, &render::markdown::plans(plans)),
            None => Ok(()),
        }
    }

    /// Writes what became of the workloads of a run; `cloud` is named as go-autorest does.
    pub(crate) fn outcomes(
        &self,
        session: &Session,
        cloud: &str,
        ended: &[Ended<'_>],
    ) -> Result<(), Failure> {
        if let Some(path) = &self.args.markdown {
            write(session, path, &render::markdown::outcomes(ended.iter().copied()))?;
        }
        self.set(session, &step_outputs(ended))?;
        if let Some(path) = &self.export_grants {
            grants::export(path, ended)?;
            session
                .ui
                .status(&format!("for the owner of the vaults: {}", path.display()));
        }
        let of = |outcome: &Outcome| values::values(outcome, cloud, &self.args.values_map);
        if let Some(folder) = &self.args.values_dir {
            std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
            for (unit, outcome) in done(ended) {
                let text = json_text(&of(outcome)?)?;
                write(session, &folder.join(file_name(unit)), &text)?;
            }
        }
        if session.ui.format() == OutputFormat::Values {
            let mut all: Vec<(&Unit, Value)> = Vec::new();
            for (unit, outcome) in done(ended) {
                all.push((unit, of(outcome)?));
            }
            if let Some(document) = document(all, ended.len() == 1) {
                session.ui.data(&json_text(&document)?)?;
            }
        }
        Ok(())
    }

    /// Sets the step's outputs of how the command ended: codes other than 0 end many a step before it can look.
    pub(crate) fn status(&self, session: &Session, status: ExitStatus) -> Result<(), Failure> {
        let outputs = [
            ("exitCode".to_owned(), status.code().to_string()),
            ("exitName".to_owned(), status.name().to_owned()),
        ];
        self.set(session, &outputs)
    }

    fn set(&self, session: &Session, outputs: &[(String, String)]) -> Result<(), Failure> {
        let Some(step) = &self.step else { return Ok(()) };
        let printed = step.set(outputs).map_err(|error| {
            Failure::new(ExitStatus::Failed, "cannot set the outputs of the step").caused_by(&error)
        })?;
        for line in printed {
            session.ui.ci_command(&line);
        }
        Ok(())
    }
}

impl From<ValuesError> for Failure {
    fn from(error: ValuesError) -> Self {
        Self::from_error(ExitStatus::Usage, &error)
            .hint("--values-map KEY=FACT takes the paths of the document that -o json prints; what was done stays: run the command again")
    }
}

fn done<'a>(ended: &'a [Ended<'a>]) -> impl Iterator<Item = (&'a Unit, &'a Outcome)> {
    ended
        .iter()
        .filter_map(|(unit, outcome, _)| Some((*unit, (*outcome)?)))
}

/// The values of the only workload, or of several by context, and by service account where a context has several.
fn document(mut all: Vec<(&Unit, Value)>, only_one: bool) -> Option<Value> {
    if only_one {
        return all.pop().map(|(_, values)| values);
    }
    let mut contexts = Map::new();
    for (unit, values) in all {
        if unit.label == unit.context {
            contexts.insert(unit.context.clone(), values);
        } else {
            let accounts = contexts.entry(unit.context.clone()).or_insert_with(|| json!({}));
            accounts[unit.account.to_string()] = values;
        }
    }
    Some(Value::Object(contexts))
}

/// A file's name of characters that every system takes.
fn file_name(unit: &Unit) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = unit.label.chars().map(plain).collect();
    format!("{}.json", name.trim_start_matches('.'))
}

fn step_outputs(ended: &[Ended<'_>]) -> Vec<(String, String)> {
    let mut outputs = Vec::new();
    let facts = |outcome: &Outcome| {
        [
            ("clientId", outcome.client_id.clone()),
            ("principalId", outcome.principal_id.clone()),
            ("tenantId", outcome.tenant_id.clone()),
            ("identityId", outcome.identity_id.to_string()),
            ("identityName", outcome.identity_name.clone()),
            ("namespace", outcome.namespace.clone()),
            ("serviceAccount", outcome.service_account.clone()),
        ]
    };
    if let [(_, Some(only), _)] = ended {
        outputs.extend(facts(only).map(|(name, value)| (name.to_owned(), value)));
    }
    let all: Vec<Value> = done(ended)
        .map(|(unit, outcome)| {
            let mut item: Map<String, Value> = facts(outcome)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .collect();
            item.insert("context".to_owned(), json!(unit.context));
            Value::Object(item)
        })
        .collect();
    outputs.push(("identities".to_owned(), Value::Array(all).to_string()));
    outputs
}

fn json_text(value: &Value) -> Result<String, Failure> {
    format::to_json(value).map_err(|error| Failure::from_error(ExitStatus::Failed, &error))
}

fn write(session: &Session, path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| unwritten(path, &error))?;
    session.ui.detail(&format!("wrote {}", path.display()));
    Ok(())
}

/// A result that cannot be written; what the run itself did is done all the same.
pub(crate) fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(ExitStatus::Failed, format!("cannot write {}", path.display())).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::plan::tests::{everything, workload};

    fn unit(label: &str, context: &str) -> Unit {
        Unit {
            label: label.into(),
            context: context.into(),
            account: workload().account,
        }
    }

    fn outcome() -> Outcome {
        let plan = plan(&workload(), &everything());
        Outcome::of(&plan, "client".into(), "principal".into(), Vec::new())
    }

    #[test]
    fn one_workload_has_its_ids_as_outputs_and_several_a_list() {
        let (a, b, outcome) = (unit("a", "a"), unit("b", "b"), outcome());
        let names = |ended: &[Ended<'_>]| -> Vec<String> {
            step_outputs(ended).into_iter().map(|(name, _)| name).collect()
        };
        assert!(names(&[(&a, Some(&outcome), None)]).contains(&"clientId".to_owned()));
        let several = [(&a, Some(&outcome), None), (&b, None, None)];
        assert_eq!(names(&several), ["identities"]);
        let list: Value = serde_json::from_str(&step_outputs(&several)[0].1).unwrap();
        assert_eq!(list[0]["context"], "a");
        assert_eq!(list[0]["clientId"], "client");
        assert_eq!(list.as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn values_of_several_are_told_apart() {
        let (plain, first) = (unit("a", "a"), unit("b shop/orders", "b"));
        let both = document(vec![(&plain, json!(1)), (&first, json!(2))], false);
        assert_eq!(both, Some(json!({"a": 1, "b": {"shop/orders": 2}})));
        assert_eq!(document(vec![(&plain, json!(1))], true), Some(json!(1)));
        assert_eq!(document(Vec::new(), true), None);
        assert_eq!(file_name(&first), "b-shop-orders.json");
        assert_eq!(file_name(&unit("../../x", "x")), "-..-x.json");
    }
}
