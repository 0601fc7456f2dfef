//! The programs and images that a sandbox runs: from the tool cache, and from this workspace by cargo.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command::{self, CommandError};
use crate::environment::{self, Helm, LinkError};
use crate::files::{self, FileError};
use crate::image::{self, Image, ImageError};
use crate::packages::{self, NODE_PACKAGES, PackagesError};
use crate::spec::{Kind, NodeImage, Programs, Spec};
use crate::state::{self, StateDir, StateError};
use crate::tools::{Tool, Toolbox, ToolsError};

/// Why a program is missing.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// A tool of the cache.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// A Debian package.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// An image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Cargo failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Cargo built something else.
    #[error("cargo built no program `{0}`")]
    NotBuilt(&'static str),
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program cannot be put in place.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No place for images.
    #[error(transparent)]
    State(#[from] StateError),
}

impl ProgramsError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tools(error) => error.hint().map(str::to_owned),
            Self::Packages(error) => error.hint(),
            _ => None,
        }
    }
}

/// Makes everything present that clusters of this kind need; builds what is missing.
pub fn ensure(kind: Kind, talk: &mut dyn FnMut(&str)) -> Result<(Programs, Vec<NodeImage>), ProgramsError> {
    let mut tools = vec![
        Tool::Etcd,
        Tool::KubeApiserver,
        Tool::Kubectl,
        Tool::Helm3,
        Tool::Helm4,
    ];
    if kind != Kind::ApiOnly {
        tools.extend([Tool::KubeControllerManager, Tool::KubeScheduler]);
    }
    match kind {
        Kind::Nodes => {
            packages::ensure(NODE_PACKAGES, talk)?;
            tools.extend([Tool::Kubelet, Tool::Webhook, Tool::Pause, Tool::DemoApp]);
        }
        Kind::Workloads => tools.push(Tool::Kwok),
        Kind::ApiOnly => {}
    }
    let toolbox = Toolbox::open()?;
    toolbox.ensure(&tools, talk)?;
    let programs = Programs {
        etcd: toolbox.path(Tool::Etcd),
        kube_apiserver: toolbox.path(Tool::KubeApiserver),
        kube_controller_manager: toolbox.path(Tool::KubeControllerManager),
        kube_scheduler: toolbox.path(Tool::KubeScheduler),
        kubelet: toolbox.path(Tool::Kubelet),
        kwok: toolbox.path(Tool::Kwok),
        webhook: toolbox.path(Tool::Webhook),
        azure: azure()?,
    };
    let images = if kind == Kind::Nodes {
        node_images(&toolbox, talk)?
    } else {
        Vec::new()
    };
    Ok((programs, images))
}

/// The simulated Azure.
pub fn azure() -> Result<PathBuf, ProgramsError> {
    let built = workspace_programs(&["build", "--package", AZURE], &[])?;
    built.get(AZURE).cloned().ok_or(ProgramsError::NotBuilt(AZURE))
}

const AZURE: &str = "azure-sim";

/// Puts what people call on the path of the sandbox's environment.
pub fn link(state: &StateDir, spec: &Spec) -> Result<(), ProgramsError> {
    let toolbox = Toolbox::open()?;
    let helms = [
        (Helm::Three, toolbox.path(Tool::Helm3)),
        (Helm::Four, toolbox.path(Tool::Helm4)),
    ];
    // The plugins lie, once built, where cargo has put the simulated Azure.
    let built = spec.programs.azure.parent().unwrap_or(Path::new("/"));
    Ok(environment::link_programs(
        state,
        &toolbox.path(Tool::Kubectl),
        helms,
        built,
    )?)
}

/// The archives of all images of a node, written anew: they are small and follow their programs.
fn node_images(toolbox: &Toolbox, talk: &mut dyn FnMut(&str)) -> Result<Vec<NodeImage>, ProgramsError> {
    let probe = probe(talk)?;
    let images = [
        image::pause(toolbox),
        image::busybox(),
        image::demo_app(toolbox),
        image::wi_probe(&probe),
    ];
    let folder = state::root()?.join(".images");
    files::create_folder(&folder)?;
    images.iter().map(|image| archive(image, &folder)).collect()
}

fn archive(image: &Image, folder: &Path) -> Result<NodeImage, ProgramsError> {
    let name = image.reference.replace(['/', ':'], "_");
    let archive = folder.join(format!("{name}.tar"));
    image.write(&archive)?;
    Ok(NodeImage {
        reference: image.reference.clone(),
        archive,
    })
}

/// The probe of `kubectl wi verify`, static so that its image needs nothing else.
pub fn probe(talk: &mut dyn FnMut(&str)) -> Result<PathBuf, ProgramsError> {
    talk("checking wi-probe (it builds for a minute when it has changed)");
    let arguments = ["rustc", "--release", "--package", "wi-probe", "--bin", "wi-probe"];
    let built = workspace_programs(&arguments, &["-C", "target-feature=+crt-static"])?;
    built
        .get("wi-probe")
        .cloned()
        .ok_or(ProgramsError::NotBuilt("wi-probe"))
}

/// What programs are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// To be developed.
    Dev,
    /// To be shipped.
    Release,
}

impl Profile {
    /// As cargo calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

/// The plugins of this workspace.
pub fn plugins(
    profile: Profile,
    talk: &mut dyn FnMut(&str),
) -> Result<BTreeMap<String, PathBuf>, ProgramsError> {
    talk("building the plugins");
    let mut arguments = vec!["build", "--profile", profile.name()];
    for package in PLUGINS {
        arguments.extend(["--package", package]);
    }
    workspace_programs(&arguments, &[])
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// The packages whose programs a user calls.
pub const PLUGINS: [&str; 4] = [
    "kubectl-wi",
    "kubectl-wi-setup",
    "kubectl-wi-verify",
    "helm-fleet",
];

/// Cargo, without what cargo sets for this program: its children would build everything anew for it.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    let leaked = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
        "CARGO_PRIMARY_",
    ];
    let is_leaked =
        |name: &str| name == "LD_LIBRARY_PATH" || leaked.iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_leaked) {
            command.env_remove(name);
        }
    }
    command
}

/// Builds by cargo; each program's name and path. Compiler errors go to stderr as they come.
fn workspace_programs(
    arguments: &[&str],
    compiler: &[&str],
) -> Result<BTreeMap<String, PathBuf>, ProgramsError> {
    let mut command = cargo();
    command
        .args(arguments)
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit());
    if !compiler.is_empty() {
        command.arg("--").args(compiler);
    }
    let messages = command::run(&mut command)?;
    let program = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str()?;
        Some((
            message["target"]["name"].as_str()?.to_owned(),
            PathBuf::from(path),
        ))
    };
    Ok(messages.lines().filter_map(program).collect())
}
