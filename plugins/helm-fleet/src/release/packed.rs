//! How Helm packs a release into a Secret: base64 of gzip of JSON, on top of the Secret's own base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::api::core::v1::Secret;
use std::io::{Read, Write};

/// The JSON of a record: base64 of gzip, on top of the Secret's own base64.
pub(crate) fn unpack(secret: &Secret) -> Result<Vec<u8>, &'static str> {
    let data = secret
        .data
        .as_ref()
        .and_then(|data| data.get("release"))
        .ok_or("it has no key release")?;
    let packed = STANDARD.decode(&data.0).map_err(|_| "it is not base64")?;
    if !packed.starts_with(&[0x1f, 0x8b]) {
        // Helm 2 and its early successors did not compress.
        return Ok(packed);
    }
    let mut text = Vec::new();
    GzDecoder::new(packed.as_slice())
        .read_to_end(&mut text)
        .map_err(|_| "it is not gzip")?;
    Ok(text)
}

/// The reverse of [`unpack`].
pub(crate) fn pack(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text)?;
    Ok(STANDARD.encode(encoder.finish()?).into_bytes())
}
