//! HTTP in a place that has no certificate store: the roots that the probe carries, and what it says of failures.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// No HTTP client could be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The extra roots hold no certificate that can be used.
    #[error("the extra certificate authorities hold no usable PEM certificate")]
    NoCertificate,
    /// The TLS stack refuses to start.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP stack refuses to start.
    #[error("cannot set up HTTP")]
    Http(#[from] reqwest::Error),
}

/// An HTTP client that believes Mozilla's roots, which this binary carries, and the ones in `extra_pem`. It
/// follows no redirect: a token must not travel.
pub fn client(extra_pem: Option<&str>, timeout: Duration) -> Result<reqwest::Client, TransportError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(pem) = extra_pem {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(TransportError::NoCertificate);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .user_agent(concat!("wi-probe/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .https_only(true)
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .timeout(timeout)
        .tls_backend_preconfigured(config)
        .build()?)
}

/// A failed request in one line: the chain of causes without repetitions, and without the URL.
pub fn describe(error: &dyn Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    shorten(&texts.join(": "), 400)
}

/// A text of at most `longest` bytes, cut at a character's border.
pub(crate) fn shorten(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = (0..=longest)
        .rev()
        .find(|&index| text.is_char_boundary(index))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("aäb", 2), "a…");
    }

    #[test]
    fn roots_that_are_none_are_refused() {
        assert!(matches!(
            client(Some("nothing"), Duration::from_secs(1)),
            Err(TransportError::NoCertificate)
        ));
        assert!(client(None, Duration::from_secs(1)).is_ok());
    }
}
