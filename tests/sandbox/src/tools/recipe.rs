//! What is built: the modules below `tests/sandbox/go`, their programs, and the digest that names the result.

use super::{Tool, ToolsError};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One Go module and the programs that one `go build` makes from it.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The name of its directory.
    pub(super) name: &'static str,
    /// The version of what is built, as its own `--version` prints it.
    pub(super) version: &'static str,
    /// What is stamped into the programs: variables and their values.
    stamps: &'static [(&'static str, &'static str)],
    pub(super) programs: &'static [Program],
}

/// A program of a recipe.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) tool: Tool,
    /// The import path of its main package.
    pub(super) package: &'static str,
    /// The file name that `go build` gives it.
    pub(super) built_as: &'static str,
}

const fn program(tool: Tool, package: &'static str, built_as: &'static str) -> Program {
    Program {
        tool,
        package,
        built_as,
    }
}

impl Recipe {
    /// Every recipe; what takes longest and is needed first comes first.
    pub(super) const ALL: &'static [Self] = &[
        Self {
            name: "kubernetes",
            version: "1.34.4",
            stamps: &[
                ("k8s.io/component-base/version.gitVersion", "v1.34.4"),
                ("k8s.io/component-base/version.gitMajor", "1"),
                ("k8s.io/component-base/version.gitMinor", "34"),
                ("k8s.io/client-go/pkg/version.gitVersion", "v1.34.4"),
                ("k8s.io/client-go/pkg/version.gitMajor", "1"),
                ("k8s.io/client-go/pkg/version.gitMinor", "34"),
            ],
            programs: &[
                program(
                    Tool::KubeApiserver,
                    "k8s.io/kubernetes/cmd/kube-apiserver",
                    "kube-apiserver",
                ),
                program(
                    Tool::KubeControllerManager,
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                    "kube-controller-manager",
                ),
                program(
                    Tool::KubeScheduler,
                    "k8s.io/kubernetes/cmd/kube-scheduler",
                    "kube-scheduler",
                ),
                program(Tool::Kubelet, "k8s.io/kubernetes/cmd/kubelet", "kubelet"),
                program(Tool::Kubectl, "k8s.io/kubernetes/cmd/kubectl", "kubectl"),
            ],
        },
        Self {
            name: "etcd",
            version: "3.6.6",
            stamps: &[],
            programs: &[program(Tool::Etcd, "go.etcd.io/etcd/server/v3", "server")],
        },
        Self {
            name: "webhook",
            version: "1.3.0",
            stamps: &[
                (
                    "github.com/Azure/azure-workload-identity/pkg/version.BuildVersion",
                    "v1.3.0",
                ),
                // Only named in what the proxy's opt-in annotation injects; nothing is pulled from there.
                (
                    "github.com/Azure/azure-workload-identity/pkg/webhook.ProxyImageVersion",
                    "v1.3.0",
                ),
            ],
            programs: &[program(
                Tool::Webhook,
                "github.com/Azure/azure-workload-identity/cmd/webhook",
                "webhook",
            )],
        },
        Self {
            name: "pause",
            version: "dev",
            stamps: &[],
            programs: &[program(Tool::Pause, "aks-sandbox/pause", "pause")],
        },
        Self {
            name: "demo-app",
            version: "dev",
            stamps: &[],
            programs: &[program(Tool::DemoApp, "aks-sandbox/demo-app", "demo-app")],
        },
        Self {
            name: "helm3",
            version: "3.22.0",
            stamps: &[
                ("helm.sh/helm/v3/internal/version.version", "v3.22.0"),
                // What charts see as the cluster's version without a cluster: that of its client-go.
                ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", "1"),
                ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", "37"),
                ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor", "1"),
                ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor", "37"),
            ],
            programs: &[program(Tool::Helm3, "helm.sh/helm/v3/cmd/helm", "helm")],
        },
        Self {
            name: "kwok",
            version: "0.7.0",
            stamps: &[],
            programs: &[program(Tool::Kwok, "sigs.k8s.io/kwok/cmd/kwok", "kwok")],
        },
        Self {
            name: "helm4",
            version: "4.3.1",
            stamps: &[("helm.sh/helm/v4/internal/version.version", "v4.3.1")],
            programs: &[program(Tool::Helm4, "helm.sh/helm/v4/cmd/helm", "helm")],
        },
        Self {
            name: "krew",
            version: "0.4.4",
            stamps: &[("sigs.k8s.io/krew/internal/version.gitTag", "v0.4.4")],
            programs: &[
                program(Tool::Krew, "sigs.k8s.io/krew/cmd/krew", "krew"),
                program(
                    Tool::ValidateKrewManifest,
                    "sigs.k8s.io/krew/cmd/validate-krew-manifest",
                    "validate-krew-manifest",
                ),
            ],
        },
    ];

    /// The recipe that builds a tool.
    pub(super) fn of(tool: Tool) -> &'static Self {
        Self::ALL
            .iter()
            .find(|recipe| recipe.builds(tool))
            .expect("a test holds that every tool has one")
    }

    pub(super) fn builds(&self, tool: Tool) -> bool {
        self.programs.iter().any(|program| program.tool == tool)
    }

    /// Its directory in the checkout.
    pub(super) fn directory(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join(self.name)
    }

    /// What is built, for people.
    pub(super) fn title(&self) -> String {
        match self.programs.len() {
            1 => format!("{} {}", self.name, self.version),
            count => format!("{} {} ({count} programs)", self.name, self.version),
        }
    }

    /// The flags of `go build` that decide the programs' content.
    pub(super) fn flags(&self) -> Vec<String> {
        let mut linker = String::from("-s -w");
        for (variable, value) in self.stamps {
            write!(linker, " -X {variable}={value}").expect("writing to a String does not fail");
        }
        ["-mod=readonly", "-trimpath", "-buildvcs=false"]
            .map(String::from)
            .into_iter()
            .chain([format!("-ldflags={linker}")])
            .collect()
    }

    /// The digest of all that decides the programs' content, as 16 hexadecimal digits.
    pub(super) fn key(&self, go_release: &str) -> Result<String, ToolsError> {
        let directory = self.directory();
        let mut files = Vec::new();
        source_files(&directory, &mut files)?;
        files.sort();

        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        };
        add(go_release.as_bytes());
        for flag in self.flags() {
            add(flag.as_bytes());
        }
        for program in self.programs {
            add(program.package.as_bytes());
            add(program.tool.file_name().as_bytes());
        }
        for file in &files {
            let name = file.strip_prefix(&directory).unwrap_or(file);
            add(name.as_os_str().as_encoded_bytes());
            add(&std::fs::read(file).map_err(ToolsError::file("read", file))?);
        }
        Ok(digest
            .finalize()
            .iter()
            .take(8)
            .fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("writing to a String does not fail");
                text
            }))
    }
}

/// The files of a recipe that a build reads; tests do not count.
fn source_files(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), ToolsError> {
    let failed = |error| ToolsError::file("read", directory)(error);
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            source_files(&path, found)?;
        } else if (name.ends_with(".go") && !name.ends_with("_test.go"))
            || matches!(&*name, "go.mod" | "go.sum")
        {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_follows_the_go_release() {
        let recipe = Recipe::of(Tool::Pause);
        let key = recipe.key("go1.26.8 linux amd64").expect("the recipe is here");
        assert_eq!(
            key,
            recipe.key("go1.26.8 linux amd64").expect("the recipe is here")
        );
        assert_ne!(
            key,
            recipe.key("go1.26.9 linux amd64").expect("the recipe is here")
        );
        assert_eq!(key.len(), 16);
    }

    #[test]
    fn versions_agree_with_the_pinned_modules() {
        for recipe in Recipe::ALL.iter().filter(|recipe| recipe.version != "dev") {
            let module = std::fs::read_to_string(recipe.directory().join("go.mod")).expect("a go.mod");
            let package = recipe.programs[0].package;
            let pinned = module.lines().map(str::trim).any(|line| {
                let line = line.strip_prefix("require ").unwrap_or(line);
                let mut words = line.split_whitespace();
                words.next().is_some_and(|path| package.starts_with(path))
                    && words.next() == Some(&format!("v{}", recipe.version))
            });
            assert!(pinned, "{} is not pinned to {}", recipe.name, recipe.version);
        }
    }

    #[test]
    fn tests_do_not_count_as_sources() {
        let mut files = Vec::new();
        source_files(&Recipe::of(Tool::DemoApp).directory(), &mut files).expect("the recipe is here");
        assert!(files.iter().any(|file| file.ends_with("main.go")), "{files:?}");
        assert!(
            !files
                .iter()
                .any(|file| file.to_string_lossy().ends_with("_test.go")),
            "{files:?}"
        );
    }
}
