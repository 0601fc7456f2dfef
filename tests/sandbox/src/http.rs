//! A small HTTPS client: enough to configure and to ask the servers of a sandbox, and nothing more.
//!
//! It speaks HTTP/1.0, so a response ends with its connection; it believes only the sandbox's own authority.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection failed.
    #[error("no connection to {server}")]
    Connection {
        /// Address or socket.
        server: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What came back is no HTTP.
    #[error("{server} answered something that is no HTTP")]
    Malformed {
        /// Address or socket.
        server: String,
    },
    /// A certificate or key cannot be used.
    #[error("cannot use the certificates: {0}")]
    Certificates(String),
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

impl Response {
    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A request to be sent.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// GET, POST, …
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Content type and body.
    pub body: Option<(&'a str, &'a str)>,
    /// Token of the caller.
    pub bearer: Option<&'a str>,
}

/// A client that trusts one authority and may show one certificate.
#[derive(Debug, Clone)]
pub struct Client {
    tls: Arc<ClientConfig>,
}

const TIMEOUT: Duration = Duration::from_secs(5);

impl Client {
    /// From PEM texts: the authority; certificate and key of the client.
    pub fn new(authority: &str, identity: Option<(&str, &str)>) -> Result<Self, HttpError> {
        let unusable = |error: &dyn std::error::Error| HttpError::Certificates(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        let builder =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| unusable(&error))?
                .with_root_certificates(roots);
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| unusable(&error))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unusable(&error))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| unusable(&error))?
            }
        };
        Ok(Self { tls: Arc::new(tls) })
    }

    /// Sends a request to a server.
    pub fn send(&self, address: SocketAddrV4, request: Request<'_>) -> Result<Response, HttpError> {
        let server = address.to_string();
        let talk = || {
            let stream = TcpStream::connect_timeout(&address.into(), TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            let connection = ClientConnection::new(
                Arc::clone(&self.tls),
                ServerName::from(std::net::IpAddr::from(*address.ip())),
            )
            .map_err(io::Error::other)?;
            exchange(StreamOwned::new(connection, stream), &server, request)
        };
        let bytes = talk().map_err(|source| HttpError::Connection {
            server: server.clone(),
            source,
        })?;
        parse(&bytes).ok_or(HttpError::Malformed { server })
    }
}

/// Sends a request through a Unix socket, without TLS.
pub fn send_local(socket: &Path, request: Request<'_>) -> Result<Response, HttpError> {
    let server = socket.display().to_string();
    let talk = || {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        exchange(stream, "localhost", request)
    };
    let bytes = talk().map_err(|source| HttpError::Connection {
        server: server.clone(),
        source,
    })?;
    parse(&bytes).ok_or(HttpError::Malformed { server })
}

fn exchange(mut stream: impl Read + Write, host: &str, request: Request<'_>) -> io::Result<Vec<u8>> {
    let Request {
        method,
        path,
        body,
        bearer,
    } = request;
    let caller = bearer
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n{caller}");
    let text = match body {
        None => format!("{head}\r\n"),
        Some((content_type, body)) => {
            let length = body.len();
            format!("{head}Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}")
        }
    };
    stream.write_all(text.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server may end the connection without TLS's own goodbye; the length is checked below.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        other => {
            other?;
        }
    }
    Ok(answer)
}

fn parse(answer: &[u8]) -> Option<Response> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let length = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    (length.is_none_or(|length| length <= body.len())).then(|| Response {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_taken_apart() {
        let response = parse(b"HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!((response.status, response.body.as_str()), (404, "{}"));
        assert!(!response.is_success());
    }

    #[test]
    fn a_cut_response_is_none() {
        assert!(parse(b"HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n{}").is_none());
        assert!(parse(b"HTTP/1.0 200 OK\r\n").is_none());
        assert!(parse(b"").is_none());
    }
}
