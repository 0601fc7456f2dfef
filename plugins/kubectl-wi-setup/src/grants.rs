//! Grants by themselves: the file by which whoever sets identities up asks the owner of the vaults for their rights,
//! and carrying such a file out. No cluster is asked.

mod file;
mod plan;

pub(crate) use file::{GRANTS, GrantFile, export};

use crate::Step;
use crate::apply::Writer;
use crate::args::SetupArgs;
use crate::file::FileText;
use crate::outcome::ChangeRecord;
use crate::rights::{self, Right};
use aks_shared::azure::Azure;
use aks_shared::failure::API_VERSION;
use aks_shared::format::OutputFormat;
use aks_shared::{ExitStatus, Failure, Session};
use plan::GrantsPlan;
use serde_json::{Value, json};

/// Carries a file of grants out: observe, show, confirm, write.
pub(crate) async fn run(
    file: &FileText,
    args: &SetupArgs,
    azure: &Azure,
    session: &Session,
) -> Result<ExitStatus, Failure> {
    let wanted: GrantFile = file.read()?;
    let plan = plan::observe(azure, &wanted).await?;
    show(session, args, &plan)?;
    let conflicts = plan.conflicts();
    if !conflicts.is_empty() {
        return Err(Failure::refused(conflicts.join("; ")));
    }
    if args.confirm.dry_run {
        let status = if args.confirm.detailed_exitcode && !plan.is_empty() {
            ExitStatus::ChangesPending
        } else {
            ExitStatus::Ok
        };
        session
            .ui
            .document(&document("GrantsPlan", status, azure, &json!(plan)))?;
        return Ok(status);
    }
    rights::check_all(azure, needed(&plan)).await?;
    if !plan.is_empty() {
        tokio::select! {
            answer = session.ui.confirm("Apply this plan?", &args.confirm) => answer?,
            () = session.interrupt.cancelled() => return Err(crate::run::interrupted(session)),
        }
    }
    let changes = write(azure, &plan, session).await?;
    let text = match session.ui.format() {
        OutputFormat::Name => {
            let names = changes
                .iter()
                .map(|change| ["roleassignment/", &change.name, "\n"]);
            names.flatten().collect()
        }
        OutputFormat::Table | OutputFormat::Wide => table(&changes),
        OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Ndjson | OutputFormat::Values => {
            String::new()
        }
    };
    print(session, &text)?;
    let content = json!({"changes": changes});
    session
        .ui
        .document(&document("GrantsResult", ExitStatus::Ok, azure, &content))?;
    Ok(ExitStatus::Ok)
}

/// Refuses flags that a file of grants leaves nothing to do for.
pub(crate) fn check_flags(args: &SetupArgs) -> Result<(), Failure> {
    if args.workload.skipped().contains(&Step::Grants) {
        return Err(
            Failure::usage("the file holds grants, and the flags leave grants to others")
                .hint("kubectl wi setup --only grants -f FILE"),
        );
    }
    Ok(())
}

async fn write(azure: &Azure, plan: &GrantsPlan, session: &Session) -> Result<Vec<ChangeRecord>, Failure> {
    let task = session.ui.task("grants");
    let say = |text: &str| task.say(text);
    let mut writer = Writer::new("write", azure, &session.interrupt, &say);
    for holder in &plan.holders {
        for change in &holder.grants {
            writer.grant(change, &holder.principal_id).await?;
        }
        for change in &holder.vault_policies {
            writer.policy(change, &holder.principal_id).await?;
        }
    }
    task.finish(&match writer.changes.len() {
        0 => "nothing to change".to_owned(),
        1 => "1 change".to_owned(),
        many => format!("{many} changes"),
    });
    Ok(writer.changes)
}

fn needed(plan: &GrantsPlan) -> Vec<Right> {
    let mut rights = Vec::new();
    for holder in &plan.holders {
        let grants = holder.grants.iter().filter_map(|grant| grant.written());
        rights.extend(grants.map(|grant| Right::new(rights::ASSIGN_ROLE, grant.scope.as_str())));
        let policies = holder.vault_policies.iter().filter_map(|policy| policy.written());
        rights.extend(policies.map(|policy| Right::new(rights::WRITE_POLICY, policy.id.as_str())));
    }
    rights.sort();
    rights.dedup();
    rights
}

fn show(session: &Session, args: &SetupArgs, plan: &GrantsPlan) -> Result<(), Failure> {
    let text = plan.to_string();
    if args.confirm.dry_run && matches!(session.ui.format(), OutputFormat::Table | OutputFormat::Wide) {
        return print(session, &text);
    }
    session.ui.status(text.trim_end());
    Ok(())
}

fn print(session: &Session, text: &str) -> Result<(), Failure> {
    let printed = session.ui.data(text);
    printed.map_err(|error| Failure::from_error(ExitStatus::Failed, &error))
}

fn table(changes: &[ChangeRecord]) -> String {
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            vec![
                change.action.to_owned(),
                change.object.to_owned(),
                change.name.clone(),
            ]
        })
        .collect();
    aks_shared::ui::table(&["ACTION", "OBJECT", "NAME"], &rows)
}

fn document(kind: &str, status: ExitStatus, azure: &Azure, content: &Value) -> Value {
    let mut document = json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "exitCode": status.code(),
        "exitName": status.name(),
        "principal": azure.principal,
    });
    if let (Value::Object(document), Value::Object(content)) = (&mut document, content) {
        document.extend(content.clone());
    }
    document
}
