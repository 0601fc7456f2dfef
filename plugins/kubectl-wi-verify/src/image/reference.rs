//! Where an image goes: `REGISTRY/REPOSITORY:TAG`. Pure.

use std::fmt;
use std::str::FromStr;

/// A tag of a repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Host, and port where it is not 443.
    pub(super) registry: String,
    /// The repository.
    pub(super) repository: String,
    /// The tag.
    pub(super) tag: String,
}

/// A text that names no tag of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is no image: it must be REGISTRY/REPOSITORY:TAG, as in myregistry.azurecr.io/wi-probe:1.0"
)]
pub(super) struct ReferenceError {
    given: String,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ReferenceError {
            given: text.to_owned(),
        };
        let (registry, rest) = text.split_once('/').ok_or_else(error)?;
        let (repository, tag) = rest.rsplit_once(':').ok_or_else(error)?;
        // A first part without dot and port is a repository of Docker Hub, which a push must name in full.
        let is_host = registry.contains(['.', ':']) || registry == "localhost";
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let tagged = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_good = is_host
            && registry
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))
            && !repository.is_empty()
            && !repository.split('/').any(str::is_empty)
            && repository.chars().all(plain)
            && (1..=128).contains(&tag.len())
            && tag.chars().all(tagged);
        if !is_good {
            return Err(error());
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

impl Reference {
    /// The same image by what it is, whatever the tag comes to mean.
    pub(super) fn by_digest(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.registry, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_registry_repository_and_tag() {
        for text in [
            "myregistry.azurecr.io/wi-probe:1.0",
            "127.0.0.1:5000/tools/wi-probe:dev",
            "localhost/wi-probe:x",
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        for bad in [
            "wi-probe:1.0",
            "tools/wi-probe:1.0",
            "r.io/wi-probe",
            "r.io/Wi:1",
            "r.io//x:1",
            "r.io/x:",
            "r.io/x@sha256:00",
            "https://r.io/x:1",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
