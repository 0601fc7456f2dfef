//! An OCI image layout in a tar, read whole: a probe's image is a few megabytes.
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    /// The file cannot be read, or is no tar.
    #[error("cannot read the archive {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It lacks something that an image layout has.
    #[error("the archive has no {0}")]
    Missing(String),
    /// A file of it is not what it should be.
    #[error("{name} of the archive is not what it should be")]
    Unreadable {
        /// The file in the archive.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// It has several images, of which none is the one to push.
    #[error("the archive has {0} images; it must have one")]
    Several(usize),
}

/// A piece of an image, named by its digest.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
}

impl Descriptor {
    /// Whether it names an index of manifests, as images of several platforms have it.
    fn is_index(&self) -> bool {
        [
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ]
        .contains(&self.media_type.as_str())
    }
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// An image of an archive.
pub(super) struct Archive {
    files: BTreeMap<String, Vec<u8>>,
    /// Its manifest, or the index of those of its platforms.
    pub(super) manifest: Descriptor,
    /// The manifests that an index names.
    pub(super) platforms: Vec<Descriptor>,
    /// What the manifests name, each once.
    pub(super) blobs: Vec<Descriptor>,
}

impl Archive {
    /// Reads the archive's one image.
    pub(super) fn read(path: &Path) -> Result<Self, ArchiveError> {
        let files = files(path).map_err(|source| ArchiveError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::of(files)
    }

    fn of(files: BTreeMap<String, Vec<u8>>) -> Result<Self, ArchiveError> {
        let index: Index = parse(&files, "index.json")?;
        let [manifest] = index.manifests.as_slice() else {
            return Err(ArchiveError::Several(index.manifests.len()));
        };
        let platforms = if manifest.is_index() {
            parse::<Index>(&files, &place(&manifest.digest))?.manifests
        } else {
            Vec::new()
        };
        let manifests = if platforms.is_empty() {
            std::slice::from_ref(manifest)
        } else {
            &platforms
        };
        let mut blobs = BTreeMap::new();
        for manifest in manifests {
            let read: Manifest = parse(&files, &place(&manifest.digest))?;
            for blob in std::iter::once(read.config).chain(read.layers) {
                let place = place(&blob.digest);
                if !files.contains_key(&place) {
                    return Err(ArchiveError::Missing(place));
                }
                blobs.insert(place, blob);
            }
        }
        Ok(Self {
            manifest: manifest.clone(),
            platforms,
            blobs: blobs.into_values().collect(),
            files,
        })
    }

    /// The bytes of a piece.
    pub(super) fn bytes(&self, piece: &Descriptor) -> &[u8] {
        self.files
            .get(&place(&piece.digest))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

fn files(path: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut archive = tar::Archive::new(std::fs::File::open(path)?);
    let mut files = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name.strip_prefix("./").unwrap_or(&name).to_owned(), bytes);
    }
    Ok(files)
}

/// Where a piece stands in a layout.
fn place(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

fn parse<T: serde::de::DeserializeOwned>(
    files: &BTreeMap<String, Vec<u8>>,
    name: &str,
) -> Result<T, ArchiveError> {
    let bytes = files
        .get(name)
        .ok_or_else(|| ArchiveError::Missing(name.to_owned()))?;
    serde_json::from_slice(bytes).map_err(|source| ArchiveError::Unreadable {
        name: name.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn layout(manifests: &Value) -> BTreeMap<String, Vec<u8>> {
        let piece = |digest: &str| json!({"mediaType": "m", "digest": digest, "size": 1});
        let manifest = json!({"config": piece("sha256:c"), "layers": [piece("sha256:l")]});
        let file = |name: &str, value: &Value| (name.to_owned(), value.to_string().into_bytes());
        BTreeMap::from([
            file("index.json", &json!({"manifests": manifests})),
            file("blobs/sha256/m", &manifest),
            file("blobs/sha256/c", &json!({})),
            file("blobs/sha256/l", &json!("layer")),
        ])
    }

    #[test]
    fn the_one_image_is_found_with_all_its_pieces() {
        let one = json!([{"mediaType": "m", "digest": "sha256:m"}]);
        let archive = Archive::of(layout(&one)).unwrap();
        let digests: Vec<&str> = archive.blobs.iter().map(|blob| blob.digest.as_str()).collect();
        assert_eq!(digests, ["sha256:c", "sha256:l"]);
        assert_eq!(archive.bytes(&archive.blobs[1]), b"\"layer\"");
        let mut torn = layout(&one);
        torn.remove("blobs/sha256/l");
        assert!(matches!(Archive::of(torn), Err(ArchiveError::Missing(place)) if place == "blobs/sha256/l"));
    }

    #[test]
    fn an_image_of_several_platforms_has_the_manifests_of_all() {
        let piece = |digest: &str| json!({"mediaType": "m", "digest": digest});
        let index = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:i"});
        let mut files = layout(&json!([index]));
        let mut file =
            |name: &str, value: Value| files.insert(name.to_owned(), value.to_string().into_bytes());
        file(
            "blobs/sha256/i",
            json!({"manifests": [piece("sha256:m"), piece("sha256:n")]}),
        );
        file(
            "blobs/sha256/n",
            json!({"config": piece("sha256:d"), "layers": [piece("sha256:l")]}),
        );
        file("blobs/sha256/d", json!({}));
        let archive = Archive::of(files).unwrap();
        let digests = |pieces: &[Descriptor]| -> Vec<String> {
            pieces.iter().map(|piece| piece.digest.clone()).collect()
        };
        assert_eq!(archive.manifest.digest, "sha256:i");
        assert_eq!(digests(&archive.platforms), ["sha256:m", "sha256:n"]);
        assert_eq!(digests(&archive.blobs), ["sha256:c", "sha256:d", "sha256:l"]);
    }

    #[test]
    fn none_and_several_images_are_refused() {
        assert!(matches!(
            Archive::of(layout(&json!([]))),
            Err(ArchiveError::Several(0))
        ));
        assert!(matches!(
            Archive::of(BTreeMap::new()),
            Err(ArchiveError::Missing(_))
        ));
    }
}
