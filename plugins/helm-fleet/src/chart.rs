//! The chart: found once, read once, known from then on by its digest.

use crate::digest::{self, Hasher};
use crate::fleet::ChartSpec;
use crate::folder::RunFolder;
use crate::helm::process::{Helm, HelmError};
use crate::helm::redact::Redaction;
use aks_shared::format;
use aks_shared::interrupt::Interrupt;
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bound on pulling a chart.
const PULL_DEADLINE: Duration = Duration::from_mins(5);

/// A chart on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    /// Its name, from `Chart.yaml`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of what it installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// Digest of all its content, hexadecimal.
    pub digest: String,
    /// The folder or the package.
    #[serde(skip)]
    pub path: PathBuf,
}

/// A chart cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// There is no such folder or file, and it is no reference that helm pulls.
    #[error("chart {reference:?} is neither a folder nor a .tgz file, nor a reference that helm pulls")]
    Unsupported {
        /// The reference.
        reference: String,
    },
    /// The chart cannot be read.
    #[error("cannot read chart {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `Chart.yaml` is missing or malformed.
    #[error("{} holds no chart", path.display())]
    Metadata {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: format::FormatError,
    },
    /// Helm cannot pull it.
    #[error("chart {reference:?} cannot be pulled")]
    Pull {
        /// The reference.
        reference: String,
        /// What helm said.
        source: HelmError,
    },
    /// It is another chart than the one that is pinned.
    #[error("chart {reference:?} has the digest {found}, and {pinned} is pinned")]
    Digest {
        /// The reference.
        reference: String,
        /// Its digest.
        found: String,
        /// What the fleet file says.
        pinned: String,
    },
}

/// The part of `Chart.yaml` that a release record repeats.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    version: String,
    app_version: Option<String>,
}

/// Where a chart comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A folder or a package on this machine.
    Local(PathBuf),
    /// What these arguments of `helm pull` get.
    Pulled(Vec<String>),
}

impl Origin {
    /// Where the chart of a fleet file comes from; relative paths start at the file's folder.
    pub fn of(spec: &ChartSpec, base: &Path) -> Result<Self, ChartError> {
        let reference = &spec.reference;
        let path = base.join(reference);
        if spec.repo.is_none() && !reference.contains("://") && path.exists() {
            return Ok(Self::Local(path));
        }
        let is_path = reference.starts_with(['.', '/']) || reference.matches('/').count() > 1;
        let in_repository = reference.contains('/') && !is_path;
        if !(spec.repo.is_some() || reference.contains("://") || in_repository) {
            return Err(ChartError::Unsupported {
                reference: reference.clone(),
            });
        }
        let flag = |flag: &str, value: &Option<String>| {
            let value = value.clone();
            value.map_or_else(Vec::new, |value| vec![flag.to_owned(), value])
        };
        let mut arguments = vec!["pull".to_owned(), reference.clone()];
        arguments.extend(flag("--repo", &spec.repo));
        arguments.extend(flag("--version", &spec.version));
        arguments.extend(spec.pull_args.iter().cloned());
        Ok(Self::Pulled(arguments))
    }
}

impl Chart {
    /// The chart of a fleet file, got once into the run's folder, where nobody changes it while the run lasts. It must
    /// be the one that is pinned; `helm` pulls it if need be.
    pub async fn keep<H>(
        spec: &ChartSpec,
        base: &Path,
        folder: &RunFolder,
        helm: H,
        interrupt: &Interrupt,
    ) -> Result<Self, ChartError>
    where
        H: AsyncFnOnce() -> Result<Helm, HelmError>,
    {
        let chart = match Origin::of(spec, base)? {
            Origin::Local(path) => {
                let name = if path.is_dir() { "chart" } else { "chart.tgz" };
                let copy = folder.copy(&path, name);
                Self::read(copy.map_err(|source| ChartError::Read { path, source })?)?
            }
            Origin::Pulled(arguments) => {
                let failed = |source| ChartError::Pull {
                    reference: spec.reference.clone(),
                    source,
                };
                let helm = helm().await.map_err(failed)?;
                Self::pull(&arguments, folder, &helm, interrupt)
                    .await
                    .map_err(failed)??
            }
        };
        let found = format!("sha256:{}", chart.digest);
        match &spec.digest {
            Some(pinned) if !pinned.eq_ignore_ascii_case(&found) => Err(ChartError::Digest {
                reference: spec.reference.clone(),
                found,
                pinned: pinned.clone(),
            }),
            _ => Ok(chart),
        }
    }

    /// Lets helm pull a package.
    async fn pull(
        arguments: &[String],
        folder: &RunFolder,
        helm: &Helm,
        interrupt: &Interrupt,
    ) -> Result<Result<Self, ChartError>, HelmError> {
        let destination = folder.path().join("pulled");
        if let Err(source) = fs::create_dir(&destination) {
            let path = destination;
            return Ok(Err(ChartError::Read { path, source }));
        }
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        arguments.extend(["--destination".into(), destination.clone().into_os_string()]);
        helm.run(&arguments, PULL_DEADLINE, &Redaction::default(), interrupt)
            .await?;
        Ok(package_in(&destination)
            .map_err(|source| ChartError::Read {
                path: destination,
                source,
            })
            .and_then(Self::read))
    }

    /// Reads a folder or a package.
    pub fn read(path: PathBuf) -> Result<Self, ChartError> {
        let read = |source| ChartError::Read {
            path: path.clone(),
            source,
        };
        let (metadata, digest) = if path.is_dir() {
            let metadata = fs::read_to_string(path.join("Chart.yaml")).map_err(read)?;
            (metadata, digest_of_folder(&path).map_err(read)?)
        } else {
            let package = fs::read(&path).map_err(read)?;
            let metadata = chart_yaml_of_package(&package).map_err(read)?;
            // As indexes of repositories and registries tell it.
            (metadata, digest::of_bytes(&package))
        };
        let metadata: Metadata = format::from_yaml(&metadata).map_err(|source| ChartError::Metadata {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            name: metadata.name,
            version: metadata.version,
            app_version: metadata.app_version,
            digest,
            path,
        })
    }
}

/// The only package in a folder.
fn package_in(folder: &Path) -> io::Result<PathBuf> {
    let mut packages = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    // With --verify or --prov there is the provenance beside it.
    packages.retain(|path| path.extension().is_some_and(|end| end == "tgz"));
    packages.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Hashes names and contents of all files of a folder, in the order of their names.
fn digest_of_folder(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    list(root, root, &mut files)?;
    files.sort();
    let mut hasher = Hasher::new("chart");
    for file in &files {
        hasher = hasher.bytes(&file.to_string_lossy(), &fs::read(root.join(file))?);
    }
    Ok(hasher.hex())
}

fn list(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, files)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            files.push(name.to_owned());
        }
    }
    Ok(())
}

/// The `CHART/Chart.yaml` of a gzipped tar archive.
fn chart_yaml_of_package(package: &[u8]) -> io::Result<String> {
    const BLOCK: usize = 512;
    let mut archive = Vec::new();
    GzDecoder::new(package).read_to_end(&mut archive)?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the package is no chart archive");
    let mut offset = 0;
    while let Some(header) = archive.get(offset..offset + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        // https://www.gnu.org/software/tar/manual/html_node/Standard.html: name at 0, size in octal at 124.
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&header[range])
                .trim_end_matches(['\0', ' '])
                .to_owned()
        };
        let name = text(0..100);
        let size = usize::from_str_radix(text(124..136).trim(), 8).map_err(|_| malformed())?;
        let content = offset + BLOCK;
        if name.split('/').count() == 2 && name.ends_with("/Chart.yaml") {
            let bytes = archive.get(content..content + size).ok_or_else(malformed)?;
            return Ok(String::from_utf8_lossy(bytes).into_owned());
        }
        offset = content + size.div_ceil(BLOCK) * BLOCK;
    }
    Err(malformed())
}

#[cfg(test)]
mod tests;
