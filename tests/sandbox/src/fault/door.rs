//! The socket between the command and the supervisor: one line of JSON each way.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::copy::{self, Copies};
use super::egress::{self, Egress};
use super::order::{
    EgressFault, FaultCommand, Gate, IssuerAct, IssuerFault, ProcessFault, WebhookAct, WebhookFault,
};
use super::target::{self, Process};
use crate::api::ApiError;
use crate::command::CommandError;
use crate::files::{self, FileError};
use crate::spec::{Cluster, Kind, Spec};
use crate::state::StateDir;
use crate::supervise::{Act, DisturbError, Supervisor, Unit};
use crate::{control_plane, pki, webhook};

/// Why there is no fault, or still one.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The sandbox does not answer.
    #[error("the sandbox's supervisor does not answer")]
    Door(#[source] io::Error),
    /// What came back is not understood.
    #[error("the sandbox's supervisor is of another version")]
    Version(#[source] serde_json::Error),
    /// The supervisor could not do it.
    #[error("{0}")]
    Refused(String),
    /// No such cluster.
    #[error("there is no cluster {0} in this sandbox")]
    Cluster(String),
    /// The cluster has no node.
    #[error("clusters of kind {0} have no node to disturb")]
    NoNode(Kind),
    /// A process.
    #[error(transparent)]
    Process(#[from] DisturbError),
    /// A rule.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A registration.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The socket's file, or a key's.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key.
    #[error(transparent)]
    Key(#[from] pki::PkiError),
    /// A certificate cannot be shown.
    #[error("the copy of the issuer's document cannot be published")]
    Certificate(#[from] rustls::Error),
    /// It was started and does not work.
    #[error("{0} does not answer again within {1:?}")]
    Unwell(String, Duration),
}

impl FaultError {
    /// What the user can do about it.
    pub fn hint(&self, name: &str) -> Option<String> {
        match self {
            Self::Refused(_) => Some(format!("cargo sandbox status --name {name}")),
            Self::Version(_) => Some(format!(
                "cargo sandbox down --name {name} && cargo sandbox up --name {name}"
            )),
            _ => None,
        }
    }
}

/// How long a restarted process may take to do its work again.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    error: Option<String>,
}

impl FaultCommand {
    /// Asks the sandbox; returns when it is done.
    pub fn run(&self, state: &StateDir) -> Result<(), FaultError> {
        let ask = || -> io::Result<String> {
            let mut stream = UnixStream::connect(state.fault_socket())?;
            stream.set_read_timeout(Some(PATIENCE * 2))?;
            writeln!(stream, "{}", serde_json::to_string(self)?)?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line)
        };
        let line = ask().map_err(FaultError::Door)?;
        let answer: Answer = serde_json::from_str(&line).map_err(FaultError::Version)?;
        answer
            .error
            .map_or(Ok(()), |error| Err(FaultError::Refused(error)))
    }
}

/// Inside: answers from now on.
pub fn serve(state: &StateDir, spec: &Spec, supervisor: &Supervisor) -> Result<(), FaultError> {
    let path = state.fault_socket();
    let listener = UnixListener::bind(&path).map_err(|source| FileError::new("listen at", &path, source))?;
    let desk = Desk {
        state: state.clone(),
        spec: spec.clone(),
        supervisor: supervisor.clone(),
        egress: Mutex::default(),
        copies: Copies::default(),
    };
    thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            // One after another, so that what is asked later is done later. A tester who has gone hears nothing.
            let _ = desk.attend(&stream);
        }
    });
    Ok(())
}

#[derive(Debug)]
struct Desk {
    state: StateDir,
    spec: Spec,
    supervisor: Supervisor,
    /// What is blocked, in the order in which it was asked for.
    egress: Mutex<Vec<EgressFault>>,
    /// What issuers published elsewhere.
    copies: Copies,
}

impl Desk {
    fn attend(&self, mut stream: &UnixStream) -> io::Result<()> {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let result = match serde_json::from_str::<FaultCommand>(&line) {
            Ok(command) => self.obey(&command),
            Err(error) => Err(FaultError::Version(error)),
        };
        let error = result.err().map(|error| {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(source) = cause {
                text = format!("{text}: {source}");
                cause = source.source();
            }
            text
        });
        writeln!(stream, "{}", serde_json::to_string(&Answer { error })?)
    }

    fn obey(&self, command: &FaultCommand) -> Result<(), FaultError> {
        let clusters = self.clusters(command.cluster())?;
        for cluster in clusters {
            match command {
                FaultCommand::Egress(fault) => self.egress(cluster, fault)?,
                FaultCommand::Api(fault) => self.process(cluster, Process::Api, fault.act)?,
                FaultCommand::Containerd(ProcessFault { act, .. }) => {
                    self.process(cluster, Process::Containerd, *act)?;
                }
                FaultCommand::Kubelet(fault) => self.process(cluster, Process::Kubelet, fault.act)?,
                FaultCommand::Webhook(fault) => self.webhook(cluster, fault.act)?,
                FaultCommand::Issuer(fault) => self.issuer(cluster, fault.act)?,
                FaultCommand::Calm { .. } => self.calm(cluster)?,
            }
        }
        Ok(())
    }

    fn clusters(&self, name: Option<&str>) -> Result<Vec<&Cluster>, FaultError> {
        let clusters = &self.spec.clusters;
        match name {
            None => Ok(clusters.iter().collect()),
            Some(name) => match clusters.iter().find(|cluster| cluster.name == name) {
                Some(cluster) => Ok(vec![cluster]),
                None => Err(FaultError::Cluster(name.to_owned())),
            },
        }
    }

    fn needs_node(&self) -> Result<(), FaultError> {
        if self.spec.kind == Kind::Nodes {
            Ok(())
        } else {
            Err(FaultError::NoNode(self.spec.kind))
        }
    }

    /// Does it to a process; where it shall run afterwards, waits until it does its work.
    fn process(&self, cluster: &Cluster, process: Process, act: Act) -> Result<(), FaultError> {
        if process != Process::Api {
            self.needs_node()?;
        }
        let unit = process.unit(cluster);
        self.supervisor.disturb(&unit, act)?;
        if matches!(act, Act::Stop | Act::Pause) {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        while !process.is_well(&self.state, cluster) {
            if Instant::now() > deadline {
                return Err(FaultError::Unwell(unit, PATIENCE));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn webhook(&self, cluster: &Cluster, act: WebhookAct) -> Result<(), FaultError> {
        self.needs_node()?;
        let (state, spec) = (&self.state, &self.spec);
        match act {
            WebhookAct::OtherCloud => {
                let unit = webhook::unit_of_another_cloud(state, spec, cluster);
                self.redefine(cluster, Process::Webhook, unit)?;
            }
            WebhookAct::Start => {
                self.redefine(cluster, Process::Webhook, webhook::unit(state, spec, cluster))?;
            }
            _ => (),
        }
        if let Some(act) = act.on_process() {
            self.process(cluster, Process::Webhook, act)?;
        }
        target::register(state, cluster, act)?;
        self.supervisor.board().faults(|faults| match act {
            WebhookAct::Remove | WebhookAct::Double | WebhookAct::OtherCloud => {
                let cluster = cluster.name.clone();
                faults.insert(FaultCommand::Webhook(WebhookFault { cluster, act }).to_string());
            }
            WebhookAct::Start => {
                let about = format!("webhook {} ", cluster.name);
                faults.retain(|fault| !fault.starts_with(&about));
            }
            WebhookAct::Kill | WebhookAct::Stop | WebhookAct::Pause => (),
        });
        Ok(())
    }

    /// Lets the API server's tokens differ from what it publishes, or agree with it.
    fn issuer(&self, cluster: &Cluster, act: IssuerAct) -> Result<(), FaultError> {
        let (state, programs, kind) = (&self.state, &self.spec.programs, self.spec.kind);
        let unit = match act {
            IssuerAct::Rotate => {
                let key = control_plane::unpublished_key(state, cluster);
                files::write(&key, &pki::signing_key()?)?;
                control_plane::api_server_with_unpublished_key(state, programs, kind, cluster)
            }
            IssuerAct::Move => {
                self.copies.publish(state, cluster)?;
                let issuer = copy::issuer(cluster);
                control_plane::api_server_of_another_issuer(state, programs, kind, cluster, &issuer)
            }
            IssuerAct::Restore => control_plane::api_server(state, programs, kind, cluster),
        };
        self.redefine(cluster, Process::Api, unit)?;
        self.supervisor.board().faults(|faults| {
            let about = format!("issuer {} ", cluster.name);
            faults.retain(|fault| !fault.starts_with(&about));
            if act != IssuerAct::Restore {
                let cluster = cluster.name.clone();
                faults.insert(FaultCommand::Issuer(IssuerFault { cluster, act }).to_string());
            }
        });
        Ok(())
    }

    /// Starts a process anew where it shall be another one; returns when it does its work.
    fn redefine(&self, cluster: &Cluster, process: Process, unit: Unit) -> Result<(), FaultError> {
        if self.supervisor.redefine(unit)? {
            self.supervisor.disturb(&process.unit(cluster), Act::Kill)?;
            self.process(cluster, process, Act::Start)?;
        }
        Ok(())
    }

    fn egress(&self, cluster: &Cluster, fault: &EgressFault) -> Result<(), FaultError> {
        self.needs_node()?;
        let mut egress = self.egress.lock().unwrap_or_else(PoisonError::into_inner);
        let to = match fault.gate {
            Gate::Block => Some(fault.to.unwrap_or(Egress::All)),
            Gate::Open => fault.to,
        };
        let mut wanted = egress.clone();
        wanted.retain(|other| other.cluster != cluster.name || to.is_some() && other.to != to);
        if fault.gate == Gate::Block {
            wanted.push(EgressFault { to, ..fault.clone() });
        }
        let own = wanted.iter().filter(|other| other.cluster == cluster.name);
        let blocked: Vec<_> = own.filter_map(|other| Some((other.to?, other.reject))).collect();
        egress::set(self.spec.range, cluster, &blocked)?;
        let lines: BTreeSet<String> = wanted
            .iter()
            .map(|fault| FaultCommand::Egress(fault.clone()).to_string())
            .collect();
        self.supervisor.board().faults(|faults| {
            faults.retain(|fault| !fault.starts_with("egress "));
            faults.extend(lines);
        });
        *egress = wanted;
        Ok(())
    }

    /// Everything as it was, the API server first, as the rest needs it.
    fn calm(&self, cluster: &Cluster) -> Result<(), FaultError> {
        let has_node = self.spec.kind == Kind::Nodes;
        self.issuer(cluster, IssuerAct::Restore)?;
        for process in Process::ALL {
            if has_node || process == Process::Api {
                self.process(cluster, process, Act::Start)?;
            }
        }
        if has_node {
            self.egress(cluster, &EgressFault::open(cluster))?;
            self.webhook(cluster, WebhookAct::Start)?;
        }
        Ok(())
    }
}
