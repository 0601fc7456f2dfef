//! `azure-sim`: the simulated Azure as a server.

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use azure_sim::{AdminError, AdminListener, Authority, AzureSim, Seed, SeedError, StartError, TlsError};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// A simulated Azure that enforces what Azure enforces.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve what a seed describes, until it is told to stop
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// What exists at the start, JSON
    #[arg(long, value_name = "FILE")]
    seed: PathBuf,
    /// Certificate of the authority for all addresses, PEM; issuers are trusted by it as well
    #[arg(long, value_name = "FILE")]
    ca_cert: PathBuf,
    /// Key of that authority, PEM
    #[arg(long, value_name = "FILE")]
    ca_key: PathBuf,
    /// Unix socket of the admin interface
    #[arg(long, value_name = "PATH", conflicts_with = "admin")]
    admin_socket: Option<PathBuf>,
    /// Address of the admin interface, loopback only
    #[arg(long, value_name = "ADDR:PORT", value_parser = loopback)]
    admin: Option<SocketAddr>,
    /// File to which every request is appended, one JSON document per line
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "not ADDR:PORT".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("not a loopback address".to_owned())
    }
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("cannot read the seed")]
    Seed(#[from] SeedError),
    #[error("cannot use the certificate authority")]
    Tls(#[from] TlsError),
    #[error("cannot start")]
    Start(#[from] StartError),
    #[error("no admin interface")]
    Admin(#[from] AdminError),
    #[error("cannot run")]
    Io(#[from] std::io::Error),
}

fn main() -> ExitCode {
    let Command::Serve(serve) = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let run = || -> Result<(), ServeError> {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(run(serve))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text += "\ncaused by: ";
                text += &error.to_string();
                cause = error.source();
            }
            // Nobody is left to hear that this failed.
            let _ = writeln!(std::io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> Result<(), ServeError> {
    let seed = Seed::from_file(&serve.seed)?;
    let authority = Authority::from_files(&serve.ca_cert, &serve.ca_key)?;
    let admin = match (&serve.admin_socket, serve.admin) {
        (Some(path), _) => Some(AdminListener::socket(path)?),
        (None, Some(address)) => Some(AdminListener::address(address).await?),
        (None, None) => None,
    };
    let mut terminated = signal(SignalKind::terminate())?;
    let sim = Arc::new(AzureSim::start_with(seed, authority, serve.log.as_deref())?);
    let admin = async {
        match admin {
            Some(listener) => listener.serve(Arc::clone(&sim)).await,
            None => std::future::pending().await,
        }
    };
    writeln!(std::io::stdout(), "ready")?;
    std::io::stdout().flush()?;
    tokio::select! {
        served = admin => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    if let Some(path) = &serve.admin_socket {
        std::fs::remove_file(path)?;
    }
    Ok(())
}
