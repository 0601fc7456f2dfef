//! Grants by themselves: the file by which whoever sets identities up asks the owner of the vaults for their rights,
//! and carrying such a file out. No cluster is asked.

mod file;
mod plan;

pub(crate) use file::{GRANTS, GrantFile, export};

use crate::Step;
use crate::apply::Writer;
use crate::args::SetupArgs;
use crate::file::FileText;
use crate::outcome::{ChangeRecord, counted};
use crate::rights;
use crate::run::{before_any_write, tell_plan};
use aks_shared::azure::Azure;
use aks_shared::failure::API_VERSION;
use aks_shared::format::OutputFormat;
use aks_shared::{ExitStatus, Failure, Session};
use plan::GrantsPlan;
use serde_json::json;

/// Carries a file of grants out: observe, show, confirm, write.
pub(crate) async fn run(
    file: &FileText,
    args: &SetupArgs,
    azure: &Azure,
    session: &Session,
) -> Result<ExitStatus, Failure> {
    let wanted: GrantFile = file.read()?;
    let plan = before_any_write(session, plan::observe(azure, &wanted)).await??;
    tell_plan(session, args.confirm.dry_run, &plan.to_string())?;
    let conflicts = plan.conflicts();
    if !conflicts.is_empty() {
        return Err(Failure::refused(conflicts.join("; ")));
    }
    if args.confirm.dry_run {
        let status = args.confirm.unchanged(!plan.is_empty());
        let content = json!({"principal": azure.principal, "holders": plan.holders, "notes": plan.notes});
        session
            .ui
            .document(&status.document(API_VERSION, "GrantsPlan", content))?;
        return Ok(status);
    }
    rights::check_all(azure, plan.needed()).await?;
    if !plan.is_empty() {
        before_any_write(session, session.ui.confirm("Apply this plan?", &args.confirm)).await??;
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
    session.ui.data(&text)?;
    let content = json!({"principal": azure.principal, "changes": changes});
    session
        .ui
        .document(&ExitStatus::Ok.document(API_VERSION, "GrantsResult", content))?;
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
    task.finish(&counted(&writer.changes));
    Ok(writer.changes)
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
