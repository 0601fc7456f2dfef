//! A copy of an issuer's discovery document at another address, as self-managed clusters publish theirs in a storage
//! account: it goes on naming the issuer that it was copied from.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::door::FaultError;
use crate::files::{self, FileError};
use crate::spec::Cluster;
use crate::state::StateDir;

/// Beside the API server, whose certificate is good for its address whatever the port.
const PORT: u16 = 8443;
const TIMEOUT: Duration = Duration::from_secs(5);

/// What tokens name as issuer when it is the place of the copy.
pub(super) fn issuer(cluster: &Cluster) -> String {
    format!("https://{}:{PORT}/", cluster.address)
}

/// The clusters whose document was copied. A copy stays as long as the sandbox does; no token need name it.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<BTreeSet<String>>);

impl Copies {
    /// Publishes the document of a cluster, once.
    pub(super) fn publish(&self, state: &StateDir, cluster: &Cluster) -> Result<(), FaultError> {
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if published.contains(&cluster.name) {
            return Ok(());
        }
        let tls = Arc::new(tls(state, cluster)?);
        let folder = state.cluster(&cluster.name);
        let listener = TcpListener::bind((cluster.address, PORT))
            .map_err(|source| FileError::new("publish the document of", &folder, source))?;
        let document = document(cluster);
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                // One after another is enough; who does not come to an end is left after a while.
                let _ = answer(stream, &tls, &document);
            }
        });
        published.insert(cluster.name.clone());
        Ok(())
    }
}

fn tls(state: &StateDir, cluster: &Cluster) -> Result<ServerConfig, FaultError> {
    let folder = state.cluster(&cluster.name);
    let unusable = |error: rustls::pki_types::pem::Error| rustls::Error::General(error.to_string());
    let certificate = files::read(&folder.join("server.pem"))?;
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable)?;
    let key = files::read(&folder.join("server.key"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unusable)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}

/// The document as the API server published it before it was told of another issuer; the keys are where they were.
fn document(cluster: &Cluster) -> String {
    let issuer = cluster.issuer();
    let document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    document.to_string()
}

fn answer(stream: TcpStream, tls: &Arc<ServerConfig>, document: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let connection = ServerConnection::new(Arc::clone(tls)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = String::new();
    let mut lines = BufReader::new(&mut stream);
    lines.read_line(&mut request)?;
    // The rest of the request has to be taken in before the answer.
    while lines.read_line(&mut String::new())? > 2 {}
    let found = request.split(' ').nth(1) == Some("/.well-known/openid-configuration");
    let (status, body) = if found {
        ("200 OK", document)
    } else {
        ("404 Not Found", "")
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}
