//! The bytes of an image: one layer, its configuration, the manifest and the index, as an OCI image layout.

use super::{Content, Entry, Image, ImageError, elf};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use tar::{Builder, EntryType, Header};

const DIRECTORY_MODE: u32 = 0o755;
const EXECUTABLE: u32 = 0o111;

/// One file of the layout, by its content's digest.
struct Blob {
    media_type: &'static str,
    bytes: Vec<u8>,
}

impl Blob {
    fn json(media_type: &'static str, value: &Value) -> Self {
        Self {
            media_type,
            bytes: value.to_string().into_bytes(),
        }
    }

    fn digest(&self) -> String {
        hexadecimal(&Sha256::digest(&self.bytes))
    }

    fn descriptor(&self) -> Value {
        json!({
            "mediaType": self.media_type,
            "digest": format!("sha256:{}", self.digest()),
            "size": self.bytes.len(),
        })
    }
}

/// A whole archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Archive {
    /// The tar.
    pub(super) bytes: Vec<u8>,
    /// The manifest's digest, by which registries know the image: `sha256:…`.
    pub(super) digest: String,
}

/// The archive of an image.
pub(super) fn pack(image: &Image) -> Result<Archive, ImageError> {
    let bad_reference = || ImageError::BadReference {
        reference: image.reference.clone(),
    };
    let (_, tag) = image
        .reference
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'))
        .ok_or_else(bad_reference)?;

    let layer = Blob {
        media_type: "application/vnd.oci.image.layer.v1.tar",
        bytes: layer(&image.entries)?,
    };
    let configuration = Blob::json(
        "application/vnd.oci.image.config.v1+json",
        &configuration(image, &layer.digest()),
    );
    let manifest = Blob::json(
        "application/vnd.oci.image.manifest.v1+json",
        &json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": configuration.descriptor(),
            "layers": [layer.descriptor()],
        }),
    );
    let mut listed = manifest.descriptor();
    listed["platform"] = json!({"architecture": architecture(), "os": "linux"});
    // containerd names the image by the first, other tools by the second.
    listed["annotations"] = json!({
        "io.containerd.image.name": image.reference,
        "org.opencontainers.image.ref.name": tag,
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [listed],
    });

    let mut files = BTreeMap::from([
        (
            "oci-layout".to_owned(),
            json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes(),
        ),
        ("index.json".to_owned(), index.to_string().into_bytes()),
    ]);
    let digest = format!("sha256:{}", manifest.digest());
    for blob in [layer, configuration, manifest] {
        files.insert(format!("blobs/sha256/{}", blob.digest()), blob.bytes);
    }
    let mut archive = Builder::new(Vec::new());
    for (name, bytes) in &files {
        append(&mut archive, name, EntryType::Regular, 0o644, bytes).expect("memory takes every byte");
    }
    let bytes = archive.into_inner().expect("memory takes every byte");
    Ok(Archive { bytes, digest })
}

fn configuration(image: &Image, layer_digest: &str) -> Value {
    let environment: Vec<String> = image
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": image.entrypoint, "Env": environment, "User": image.user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    })
}

/// The name that images give to the architecture of this machine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The tar of an image's files, sorted, each below directories that exist.
fn layer(entries: &[Entry]) -> Result<Vec<u8>, ImageError> {
    let mut sorted: BTreeMap<String, &Content> = BTreeMap::new();
    for entry in entries {
        sorted.insert(relative(&entry.path)?, &entry.content);
    }
    let directory = Content::Directory { mode: DIRECTORY_MODE };
    let parents: Vec<String> = sorted.keys().flat_map(|path| parents(path)).collect();
    for parent in parents {
        sorted.entry(parent).or_insert(&directory);
    }

    let mut layer = Builder::new(Vec::new());
    for (path, content) in sorted {
        let written = match content {
            Content::File { host, mode } => {
                let bytes = read(host, *mode)?;
                append(&mut layer, &path, EntryType::Regular, *mode, &bytes)
            }
            Content::Directory { mode } => {
                append(&mut layer, &format!("{path}/"), EntryType::Directory, *mode, &[])
            }
            Content::Link { target } => {
                let mut header = header(EntryType::Symlink, 0o777, 0);
                layer.append_link(&mut header, &path, target)
            }
        };
        written.map_err(|_| ImageError::BadPath {
            path: format!("/{path}"),
        })?;
    }
    Ok(layer.into_inner().expect("memory takes every byte"))
}

/// A file of this machine; a program among them must be one that can start in an image.
fn read(host: &Path, mode: u32) -> Result<Vec<u8>, ImageError> {
    let failed = |source| ImageError::Read {
        path: host.to_owned(),
        source,
    };
    let bytes = std::fs::read(host).map_err(failed)?;
    if mode & EXECUTABLE != 0 && elf::is_static(&bytes) == Some(false) {
        return Err(ImageError::NotStatic {
            path: host.to_owned(),
        });
    }
    Ok(bytes)
}

fn append(
    archive: &mut Builder<Vec<u8>>,
    path: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    archive.append_data(&mut header(kind, mode, bytes.len()), path, bytes)
}

/// A header that tells nothing of when or by whom the archive was made.
fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(u64::try_from(size).expect("a size in memory fits in 64 bits"));
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// A path in the image without its leading slash.
fn relative(path: &str) -> Result<String, ImageError> {
    let bad = || ImageError::BadPath {
        path: path.to_owned(),
    };
    let inner = path.strip_prefix('/').ok_or_else(bad)?;
    if inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(bad());
    }
    Ok(inner.to_owned())
}

/// The directories above a path, outermost first.
fn parents(path: &str) -> Vec<String> {
    path.match_indices('/')
        .map(|(end, _)| path[..end].to_owned())
        .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read as _;

    fn image(host: &Path) -> Image {
        Image {
            reference: "text.sandbox/text:dev".to_owned(),
            entrypoint: vec!["/opt/text/run".to_owned()],
            environment: vec![("A".to_owned(), "b=c".to_owned())],
            user: "65532:65532".to_owned(),
            entries: vec![
                Entry::directory("/tmp", 0o1777),
                Entry::link("/bin/run", "/opt/text/run"),
                Entry::program("/opt/text/run", host),
            ],
        }
    }

    fn unpack(bytes: &[u8]) -> BTreeMap<String, (EntryType, u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        archive
            .entries()
            .expect("a tar")
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let path = entry.path().expect("a path").to_string_lossy().into_owned();
                let header = (
                    entry.header().entry_type(),
                    entry.header().mode().expect("a mode"),
                );
                let mut content = Vec::new();
                entry.read_to_end(&mut content).expect("its bytes");
                (path, (header.0, header.1, content))
            })
            .collect()
    }

    fn script() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "#!/bin/text\n").expect("it can be written");
        file
    }

    #[test]
    fn every_digest_of_the_layout_is_the_digest_of_its_file() {
        let script = script();
        let archive = pack(&image(script.path())).expect("an archive");
        let layout = unpack(&archive.bytes);
        let index: Value = serde_json::from_slice(&layout["index.json"].2).expect("json");
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"]
                .as_str()
                .expect("a digest")
                .replace("sha256:", "");
            let bytes = &layout[&format!("blobs/sha256/{digest}")].2;
            assert_eq!(hexadecimal(&Sha256::digest(bytes)), digest);
            assert_eq!(descriptor["size"], bytes.len());
            bytes.clone()
        };
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "text.sandbox/text:dev"
        );
        assert_eq!(index["manifests"][0]["digest"], archive.digest);
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).expect("json");
        let configuration: Value = serde_json::from_slice(&blob(&manifest["config"])).expect("json");
        assert_eq!(
            configuration["rootfs"]["diff_ids"][0],
            manifest["layers"][0]["digest"]
        );
        assert_eq!(configuration["config"]["Env"][0], "A=b=c");

        let files = unpack(&blob(&manifest["layers"][0]));
        let paths: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            ["bin/", "bin/run", "opt/", "opt/text/", "opt/text/run", "tmp/"]
        );
        assert_eq!(files["tmp/"].1, 0o1777);
        assert_eq!(files["bin/run"].0, EntryType::Symlink);
        assert_eq!(
            files["opt/text/run"],
            (EntryType::Regular, 0o755, b"#!/bin/text\n".to_vec())
        );
    }

    #[test]
    fn the_same_content_gives_the_same_bytes_in_any_order() {
        let script = script();
        let forward = image(script.path());
        let mut backward = forward.clone();
        backward.entries.reverse();
        assert_eq!(
            pack(&forward).expect("an archive"),
            pack(&backward).expect("an archive")
        );
    }

    #[test]
    fn a_dynamic_program_is_refused() {
        let refused = pack(&image(Path::new("/bin/sh")));
        assert!(
            matches!(refused, Err(ImageError::NotStatic { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn paths_stay_inside_the_image() {
        for path in ["run", "/", "/a/../b", "/a//b", "/a/"] {
            assert!(relative(path).is_err(), "{path}");
        }
        assert_eq!(relative("/a/b").expect("a path"), "a/b");
    }
}
