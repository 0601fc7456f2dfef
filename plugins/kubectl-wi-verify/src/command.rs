//! The command: clusters in parallel, one report each, one exit status.

mod conclusion;
mod patience;
mod steps;

use crate::args::{VerifyArgs, probe_options};
use crate::facts::workload::WorkloadRef;
use crate::facts::{self, WorkloadFacts};
use crate::report::Report;
use crate::verification::{ProbeOptions, Verification, VerifyError, verify};
use aks_shared::args::OutputArgs;
use aks_shared::azure::{Azure, AzureError, SignInError};
use aks_shared::cluster::{Cluster, Connection};
use aks_shared::identity::ServiceAccountRef;
use aks_shared::kubeconfig::Kubeconfig;
use aks_shared::requests::Requests;
use aks_shared::shell::{place_flags, quoted};
use aks_shared::{Command, ExitStatus, Failure, Session};
use conclusion::{Outcome, conclude, conclude_round, signature};
use futures::StreamExt;
use std::time::{Duration, Instant};
use steps::{Steps, took};

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
        if self.watch {
            return run.watch(&contexts).await;
        }
        let outcomes = run.all(&contexts, Progress::Told).await?;
        conclude(&self, session, outcomes)
    }
}

/// Whether the steps of a round are told where no bars show them.
#[derive(Clone, Copy)]
enum Progress {
    Told,
    /// They are those of the round before.
    KnownAlready,
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
    /// Verifies every cluster once; an interruption is a failure.
    async fn all(&self, contexts: &[String], progress: Progress) -> Result<Vec<Outcome>, Failure> {
        let session = self.session;
        let before = Requests::so_far();
        let outcomes: Vec<Outcome> = futures::stream::iter(contexts.iter().cloned())
            .map(|context| self.one(context, progress))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        session.ui.detail(&Requests::so_far().since(before).to_string());
        if session.interrupt.is_raised() {
            let told = outcomes.iter().filter_map(|(context, outcome)| match outcome {
                Err(failure) if failure.status == ExitStatus::Interrupted => {
                    Some(format!("{context}: {}", failure.message))
                }
                Ok(_) | Err(_) => None,
            });
            return Err(interrupted(session).with_causes(told.collect()));
        }
        Ok(outcomes)
    }

    /// Verifies again and again, and prints a round that ends otherwise than the one before.
    async fn watch(&self, contexts: &[String]) -> Result<ExitStatus, Failure> {
        if self.session.ui.format().is_document() {
            return Err(
                Failure::usage("--watch prints one result after another, which is no document")
                    .hint("leave out --watch, or use -o table, wide or name"),
            );
        }
        let mut before = None;
        let mut progress = Progress::Told;
        loop {
            let outcomes = self.all(contexts, progress).await?;
            progress = Progress::KnownAlready;
            let now = signature(&outcomes);
            if before.as_ref() != Some(&now) {
                conclude_round(self.args, self.session, outcomes)?;
                before = Some(now);
            }
            tokio::select! {
                () = tokio::time::sleep(self.args.interval) => {}
                () = self.session.interrupt.cancelled() => return Err(interrupted(self.session)),
            }
        }
    }

    async fn one(&self, context: String, progress: Progress) -> Outcome {
        let task = self.session.ui.task(&context);
        let steps = Steps::new(self.session, &context);
        let result = self
            .patiently(&context, &|message| {
                let is_new = steps.begin(message) && matches!(progress, Progress::Told);
                if is_new || self.session.ui.draws_bars() {
                    task.say(message);
                }
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

    /// Verifies round after round until all is well or `--wait` is over; without it, once.
    async fn patiently(&self, context: &str, say: &(dyn Fn(&str) + Sync)) -> Result<Report, Failure> {
        let end = Instant::now() + self.args.wait;
        let left = || end.saturating_duration_since(Instant::now());
        loop {
            let result = self.report(context, patience::round(left()), say).await;
            let Some(lacking) = patience::lacking(&result, self.args.fail_on.into(), left()) else {
                return result;
            };
            say(&format!("not well yet ({lacking}), so once more"));
            tokio::select! {
                () = tokio::time::sleep(patience::PAUSE) => {}
                () = self.session.interrupt.cancelled() =>
                    return Err(VerifyError::Interrupted { left: None }.into()),
            }
        }
    }

    /// Verifies once; the probe may wait for `wait`.
    async fn report(
        &self,
        context: &str,
        wait: Duration,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Report, Failure> {
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
        let workload = match &self.args.workload {
            Some(workload) => Some(read_workload(&cluster, &namespace, workload).await?),
            None => None,
        };
        let name = workload.as_ref().map(|workload| workload.account.as_str());
        let name = name.or(self.args.service_account.as_deref()).unwrap_or_default();
        let account = ServiceAccountRef::new(namespace, name)
            .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
        let verification = Verification {
            secrets: self.args.secret.clone(),
            from: self.args.from,
            workload,
            surroundings: true,
            least_privilege: self.args.least_privilege,
            ..Verification::new(
                account,
                ProbeOptions {
                    wait,
                    ..self.options.clone()
                },
            )
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

/// A workload that is not there leaves nothing to verify.
async fn read_workload(
    cluster: &Cluster,
    namespace: &str,
    workload: &WorkloadRef,
) -> Result<WorkloadFacts, Failure> {
    let list = format!(
        "kubectl {} get deployments,statefulsets,daemonsets,jobs,cronjobs,pods",
        place_flags(&cluster.context, namespace)
    );
    match facts::workload::read(cluster, namespace, workload).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(Failure::refused(format!(
            "there is no {workload} in namespace {namespace} of {}",
            cluster.context
        ))
        .hint(list)),
        Err(error) => Err(
            Failure::refused(format!("{workload} of {} cannot be read", cluster.context))
                .caused_by(&error)
                .hint(list),
        ),
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match &error {
            VerifyError::Cluster { context, .. } => {
                Self::from_error(ExitStatus::Refused, &error).hint(format!(
                    "does kubectl reach it? kubectl --context {} get --raw /readyz",
                    quoted(context)
                ))
            }
            VerifyError::Interrupted { .. } => Self::from_error(ExitStatus::Interrupted, &error),
        }
    }
}

fn interrupted(session: &Session) -> Failure {
    session.interrupt.failure("interrupted")
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
        Err(AzureError::SignIn(error @ SignInError::NoToken { .. })) => {
            session
                .ui
                .warning(&format!("not signed in, so Azure's side stays unknown: {error}"));
            for answer in error.answers() {
                session.ui.detail(&answer.to_string());
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
