//! `kubectl wi image push`: the probe's image from an archive to a registry, without a container engine.

mod archive;
mod credentials;
mod reference;
mod registry;

use aks_shared::args::OutputArgs;
use aks_shared::trust::TrustedRoots;
use aks_shared::{Command, ExitStatus, Failure, OutputFormat, Session};
use archive::Archive;
use clap::{Args, Subcommand};
use credentials::Credentials;
use reference::Reference;
use registry::{Pushed, Registry};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// Bound on one request: a layer of some megabytes over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(5);

/// Bring the image of the probe to a registry
#[derive(Debug, Clone, Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    action: ImageAction,
}

#[derive(Debug, Clone, Subcommand)]
enum ImageAction {
    Push(PushArgs),
}

/// Push an OCI archive to a registry; no container engine is needed
///
/// Signs in as docker and podman do: with what `docker login`, `podman login` or `az acr login` left in
/// `$DOCKER_CONFIG/config.json` or `$REGISTRY_AUTH_FILE`, credential helpers included.
#[derive(Debug, Clone, Args)]
struct PushArgs {
    /// Where it goes
    #[arg(value_name = "REGISTRY/REPOSITORY:TAG")]
    reference: Reference,
    /// The image, an OCI archive
    #[arg(long, value_name = "FILE")]
    archive: PathBuf,
    /// Trust the certificate authorities in this PEM file besides the system's; without it $AKS_WI_CA_FILE
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Command for ImageArgs {
    fn output(&self) -> &OutputArgs {
        let ImageAction::Push(args) = &self.action;
        &args.output
    }

    async fn run(self, session: &Session) -> Result<ExitStatus, Failure> {
        let ImageAction::Push(args) = self.action;
        tokio::select! {
            done = push(&args, session) => done,
            () = session.interrupt.cancelled() => {
                Err(session.interrupt.failure("interrupted; what was pushed so far has no tag"))
            }
        }
    }
}

async fn push(args: &PushArgs, session: &Session) -> Result<ExitStatus, Failure> {
    let refused = |error: &dyn std::error::Error| Failure::from_error(ExitStatus::Refused, error);
    let archive = Archive::read(&args.archive).map_err(|error| {
        refused(&error).hint("the archive is an OCI image layout in a tar, as skopeo, podman save --format oci-archive and docker buildx write it")
    })?;
    let roots = TrustedRoots::of_file(args.ca_file.as_deref(), &session.env)
        .map_err(|error| Failure::from_error(ExitStatus::Usage, &error))?;
    let http = roots
        .http_client(REQUEST_TIMEOUT)
        .map_err(|error| refused(&error))?;
    let credentials = Credentials::find(&args.reference.registry, &session.env)
        .await
        .map_err(|error| refused(&error))?;
    let mut registry = Registry::new(http, &args.reference, credentials);
    let task = session.ui.task(args.reference.to_string());
    let pushed = registry.push(&archive, &|text| task.say(text)).await;
    let Pushed { digest, blobs } = pushed.map_err(|error| {
        let failure = Failure::from_error(ExitStatus::Failed, &error);
        if error.is_about_rights() {
            failure.hint(format!(
                "sign in with the right to push: docker login {0}, podman login {0} or az acr login",
                args.reference.registry
            ))
        } else {
            failure
        }
    })?;
    task.finish(&format!("{digest}, {blobs} blobs pushed"));
    let by_digest = args.reference.by_digest(&digest);
    let ui = &session.ui;
    let text = match ui.format() {
        OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Ndjson => {
            let pushed = json!({
                "image": args.reference.to_string(), "digest": digest, "imageByDigest": by_digest, "blobsPushed": blobs,
            });
            let document = ExitStatus::Ok.document(aks_shared::failure::API_VERSION, "PushedImage", pushed);
            ui.document(&document)?;
            return Ok(ExitStatus::Ok);
        }
        OutputFormat::Table | OutputFormat::Wide | OutputFormat::Values => {
            format!("{}\n{by_digest}\n", args.reference)
        }
        OutputFormat::Name => format!("{by_digest}\n"),
    };
    ui.data(&text)?;
    Ok(ExitStatus::Ok)
}
