//! Which Helm this is, and whether it can be used.

use std::fmt;
use std::str::FromStr;

/// The version of a `helm` binary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HelmVersion {
    /// 3 or 4.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
    /// The patch version.
    pub patch: u32,
}

/// A version that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// `helm version` printed something else.
    #[error("{0:?} is no Helm version")]
    Malformed(String),
    /// Older than what is supported.
    #[error("Helm {0} is too old: 3.18.1 or newer is needed")]
    TooOld(HelmVersion),
    /// A version with a fault that breaks rollouts.
    #[error("Helm {version} cannot be used: {why}")]
    Broken {
        /// The version.
        version: HelmVersion,
        /// The fault.
        why: &'static str,
    },
}

impl HelmVersion {
    /// Refuses versions that are too old or known to be broken.
    pub fn check(self) -> Result<Self, VersionError> {
        match (self.major, self.minor, self.patch) {
            (0..=2, ..) | (3, 0..=17, _) => Err(VersionError::TooOld(self)),
            (3, 18, 0) => {
                // https://github.com/helm/helm/issues/30878
                Err(VersionError::Broken {
                    version: self,
                    why: "it renders some charts wrongly; 3.18.1 is fixed",
                })
            }
            (4, 2, 1) => {
                // https://github.com/helm/helm/issues/32214
                Err(VersionError::Broken {
                    version: self,
                    why: "its waits for hooks hang; 4.2.2 is fixed",
                })
            }
            _ => Ok(self),
        }
    }
}

impl fmt::Display for HelmVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for HelmVersion {
    type Err = VersionError;

    /// Reads `v3.21.4`, `v4.0.0-rc.1` or `v3.18.0+g1234567`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || VersionError::Malformed(text.trim().to_owned());
        let core = text
            .trim()
            .trim_start_matches('v')
            .split(['-', '+'])
            .next()
            .unwrap_or_default();
        let numbers: Vec<u32> = core
            .split('.')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| malformed())?;
        match numbers.as_slice() {
            [major, minor, patch] => Ok(Self {
                major: *major,
                minor: *minor,
                patch: *patch,
            }),
            [major, minor] => Ok(Self {
                major: *major,
                minor: *minor,
                patch: 0,
            }),
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_judged() {
        let judge = |text: &str| text.parse::<HelmVersion>().and_then(HelmVersion::check);
        assert_eq!(judge("v3.21.4+gabc").unwrap().to_string(), "3.21.4");
        assert_eq!(judge("v4.0.0-rc.1\n").unwrap().major, 4);
        assert!(judge("v3.19").is_ok());
        assert!(matches!(judge("v3.17.9"), Err(VersionError::TooOld(_))));
        for broken in ["v3.18.0", "v4.2.1"] {
            assert!(
                matches!(judge(broken), Err(VersionError::Broken { .. })),
                "{broken}"
            );
        }
        assert!(judge("v3.18.1").is_ok() && judge("v4.2.2").is_ok());
        assert!(matches!(judge("<no value>"), Err(VersionError::Malformed(_))));
    }
}
