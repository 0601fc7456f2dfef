//! The command: clusters in parallel, one report each, one exit status.

use crate::args::{VerifyArgs, probe_options};
use crate::render;
use crate::report::{ClusterResult, Document, Report};
use crate::verification::{ProbeOptions, Verification, VerifyError, verify};
use aks_shared::args::OutputArgs;
use aks_shared::azure::{Azure, AzureError};
use aks_shared::cluster::{Cluster, Connection};
use aks_shared::identity::ServiceAccountRef;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::{Command, ExitStatus, Failure, OutputFormat, Session};
use futures::StreamExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many clusters are verified at once.
const CONCURRENCY: usize = 8;

impl Command for VerifyArgs {
    fn output(&self) -> &OutputArgs {
        &self.output
    }

    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        let kubeconfig = Kubeconfig::load(self.kube.kubeconfig.as_deref(), &session.env)?;
        let contexts = if self.all_contexts {
            kubeconfig.contexts()
        } else {
            kubeconfig.select(&self.kube.context)?
        };
        if contexts.is_empty() {
            return Err(Failure::usage("the kubeconfig has no contexts"));
        }
        let options = probe_options(&self, &session.env)?;
        let azure = tokio::select! {
            azure = sign_in(&self, session) => azure?,
            () = session.interrupt.cancelled() => return Err(interrupted(session)),
        };
        let connection = Connection::new(&self.kube, options.roots.clone(), &session.env);
        let run = Run {
            args: &self,
            session,
            kubeconfig: &kubeconfig,
            connection,
            options,
            azure,
        };
        let outcomes: Vec<(String, Result<Report, Failure>)> = futures::stream::iter(contexts)
            .map(|context| run.one(context))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        if session.interrupt.is_raised() {
            let told = outcomes.iter().filter_map(|(context, outcome)| match outcome {
                Err(failure) if failure.status == ExitStatus::Interrupted => {
                    Some(format!("{context}: {}", failure.message))
                }
                Ok(_) | Err(_) => None,
            });
            return Err(interrupted(session).with_causes(told.collect()));
        }
        conclude(&self, session, outcomes)
    }
}

/// What all clusters of a run share.
struct Run<'a> {
    args: &'a VerifyArgs,
    session: &'a Session,
    kubeconfig: &'a Kubeconfig,
    connection: Connection,
    options: ProbeOptions,
    azure: Option<Azure>,
}

impl Run<'_> {
    async fn one(&self, context: String) -> (String, Result<Report, Failure>) {
        let task = self.session.ui.task(&context);
        let steps = Steps::new(self.session, &context);
        let result = self
            .report(&context, &|message| {
                steps.begin(message);
                task.say(message);
            })
            .await;
        steps.end();
        if self.session.ui.draws_bars() {
            let word = result
                .as_ref()
                .map_or("not verified", |report| report.verdict().name());
            task.finish(word);
        }
        (context, result)
    }

    async fn report(&self, context: &str, say: &(dyn Fn(&str) + Sync)) -> Result<Report, Failure> {
        say("connecting");
        let cluster = tokio::select! {
            cluster = Cluster::connect(self.kubeconfig, context, &self.connection) =>
                cluster.map_err(|error| Failure::from_error(ExitStatus::Refused, &error))?,
            () = self.session.interrupt.cancelled() =>
                return Err(VerifyError::Interrupted { left: None }.into()),
        };
        let namespace = self
            .args
            .namespace
            .clone()
            .unwrap_or_else(|| cluster.namespace.clone());
        let account = ServiceAccountRef::new(namespace, &self.args.service_account)
            .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
        let verification = Verification {
            secrets: self.args.secret.clone(),
            from: self.args.from,
            ..Verification::new(account, self.options.clone())
        };
        Ok(verify(
            &cluster,
            self.azure.as_ref(),
            &verification,
            &self.session.interrupt,
            say,
        )
        .await?)
    }
}

/// Tells with `-v` how long each step of one cluster's verification took.
struct Steps<'a> {
    session: &'a Session,
    context: &'a str,
    current: Mutex<Option<(String, Instant)>>,
}

impl<'a> Steps<'a> {
    const fn new(session: &'a Session, context: &'a str) -> Self {
        Self {
            session,
            context,
            current: Mutex::new(None),
        }
    }

    /// Begins a step, which ends the one before.
    fn begin(&self, step: &str) {
        self.turn(Some((step.to_owned(), Instant::now())));
    }

    /// Ends the last step.
    fn end(&self) {
        self.turn(None);
    }

    fn turn(&self, next: Option<(String, Instant)>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((step, since)) = std::mem::replace(&mut *current, next) {
            took(self.session, &format!("{}: {step}", self.context), since);
        }
    }
}

fn took(session: &Session, what: &str, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    session.ui.detail(&format!("{what} took {seconds:.2} s"));
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match &error {
            VerifyError::Cluster { context, .. } => Self::from_error(ExitStatus::Refused, &error).hint(
                format!("does kubectl reach it? kubectl --context {context} get --raw /readyz"),
            ),
            VerifyError::Interrupted { .. } => Self::from_error(ExitStatus::Interrupted, &error),
        }
    }
}

fn interrupted(session: &Session) -> Failure {
    let status = session.interrupt.status().unwrap_or(ExitStatus::Interrupted);
    Failure::new(status, "interrupted")
}

/// Signs in. Nobody being signed in is a warning: the cluster's side can be verified without.
async fn sign_in(args: &VerifyArgs, session: &Session) -> Result<Option<Azure>, Failure> {
    let since = Instant::now();
    let connected = Azure::connect(&args.azure, &session.env).await;
    took(session, "signing in to Azure", since);
    match connected {
        Ok(azure) => {
            session
                .ui
                .detail(&format!("signed in to Azure as {}", azure.principal));
            Ok(Some(azure))
        }
        Err(AzureError::SignIn(error)) => {
            session
                .ui
                .warning(&format!("not signed in, so Azure's side stays unknown: {error}"));
            for answer in &error.answers {
                session.ui.detail(&answer.to_string());
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn conclude(
    args: &VerifyArgs,
    session: &Session,
    mut outcomes: Vec<(String, Result<Report, Failure>)>,
) -> Result<ExitStatus, Failure> {
    // One cluster that cannot be asked is the failure of the whole command.
    if let [(_, Err(_))] = outcomes.as_slice()
        && let Some((_, Err(failure))) = outcomes.pop()
    {
        return Err(failure);
    }
    let mut results = Vec::with_capacity(outcomes.len());
    let mut statuses = Vec::with_capacity(outcomes.len());
    for (context, outcome) in outcomes {
        let status = match &outcome {
            Ok(report) => report.status(args.fail_on.into()),
            Err(failure) => failure.status,
        };
        statuses.push(status);
        results.push(ClusterResult::new(context, status, outcome));
    }
    let status = ExitStatus::combine(statuses);
    write(args.junit.as_deref(), || render::junit::junit(&results))?;
    write(args.markdown.as_deref(), || {
        Ok(render::markdown::markdown(&results))
    })?;
    let ui = &session.ui;
    let text = match ui.format() {
        OutputFormat::Table => render::checklist::checklist(&results, render::checklist::Detail::Faults),
        OutputFormat::Wide => render::checklist::checklist(&results, render::checklist::Detail::Everything),
        OutputFormat::Name => render::checklist::names(&results),
        OutputFormat::Json | OutputFormat::Yaml => {
            ui.document(&Document::new(status, &results))?;
            return Ok(status);
        }
    };
    ui.data(&text)
        .map_err(|error| Failure::from_error(ExitStatus::Failed, &error))?;
    Ok(status)
}

fn write(path: Option<&Path>, text: impl FnOnce() -> Result<String, Failure>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, text()?).map_err(|error| {
        Failure::new(ExitStatus::Failed, format!("cannot write {}", path.display())).caused_by(&error)
    })
}
