//! A certificate and its private key, as `[listen]` and `[redis]` name them: read, and tried together, so that a
//! handshake cannot fail for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Input;
use super::readable::warn_of_readable;
use crate::config::Tls;
use crate::config::certificates::find_end;
use crate::config::read::Reader;

/// What clients may choose from (RFC 7301), the first that both know.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The files of a certificate and of its private key, as two keys of a table name them, and what they hold.
pub(super) struct KeyPair {
    names: [&'static str; 2],
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
}

impl KeyPair {
    /// When the certificate itself ends.
    pub(super) fn ends(&self) -> Option<SystemTime> {
        self.chain.first().and_then(find_end)
    }
}

/// `None`: plain HTTP, or an error that has been reported.
pub(super) fn read_tls(reader: &mut Reader<'_>, input: &Input<'_>) -> Option<Tls> {
    let only_newest = reader.word("tls_min_version") == "1.3";
    read_server(reader, input, &PROTOCOLS, only_newest)
}

/// The same of the admin interface, which speaks HTTP/1.1 alone.
pub(super) fn read_admin_tls(reader: &mut Reader<'_>, input: &Input<'_>) -> Option<Tls> {
    read_server(reader, input, &PROTOCOLS[1..], false)
}

fn read_server(
    reader: &mut Reader<'_>,
    input: &Input<'_>,
    protocols: &[&[u8]],
    only_newest: bool,
) -> Option<Tls> {
    let pair = read_key_pair(reader, input, ["tls_cert", "tls_key"])?;
    let (cert, key, ends) = (pair.cert.clone(), pair.key.clone(), pair.ends());
    let mut server = build_server(reader, pair, only_newest)?;
    server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Some(Tls {
        cert: make_absolute(cert),
        key: make_absolute(key),
        ends,
        server: Arc::new(server),
    })
}

/// The certificate and key that the keys `names` give; `None`: neither is given, or an error has been reported.
pub(super) fn read_key_pair(
    reader: &mut Reader<'_>,
    input: &Input<'_>,
    names: [&'static str; 2],
) -> Option<KeyPair> {
    let [cert_name, key_name] = names;
    let [cert, key] = names.map(|name| reader.text(name).map(|path| input.path(&path)));
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) if !reader.gives(key_name) => {
            let remedy = format!(
                "write {key_name} = \"key.pem\", the file of the certificate's private key"
            );
            reader.reject(cert_name, format!("{key_name} is missing"), remedy);
            return None;
        }
        (None, Some(_)) if !reader.gives(cert_name) => {
            let remedy =
                format!("write {cert_name} = \"cert.pem\", the file of the key's certificate");
            reader.reject(key_name, format!("{cert_name} is missing"), remedy);
            return None;
        }
        _ => return None,
    };
    // Both are read, so that both are reported.
    let chain = read_chain(reader, cert_name, &cert);
    let private = read_private_key(reader, key_name, &key);
    warn_of_readable(reader, key_name, &key, "a private key");
    Some(KeyPair {
        names,
        chain: chain?,
        private: private?,
        cert,
        key,
    })
}

fn read_chain(
    reader: &mut Reader<'_>,
    name: &str,
    path: &Path,
) -> Option<Vec<CertificateDer<'static>>> {
    let pem = read_file(reader, name, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            let what = format!("{} holds no certificate", path.display());
            let remedy = "write the path of a PEM file with BEGIN CERTIFICATE, yours first";
            reader.reject(name, what, remedy);
            None
        }
    }
}

fn read_private_key(
    reader: &mut Reader<'_>,
    name: &str,
    path: &Path,
) -> Option<PrivateKeyDer<'static>> {
    let pem = read_file(reader, name, path)?;
    let shown = path.display();
    let what = match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => return Some(key),
        Err(pem::Error::NoItemsFound) if holds_encrypted_key(&pem) => {
            format!("the private key in {shown} is encrypted")
        }
        Err(pem::Error::NoItemsFound) => format!("{shown} holds no private key"),
        Err(error) => format!("{shown} is broken ({error})"),
    };
    let remedy = "write the path of a PEM file with BEGIN PRIVATE KEY, without a password";
    reader.reject(name, what, remedy);
    None
}

fn holds_encrypted_key(pem: &[u8]) -> bool {
    const MARK: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";
    pem.windows(MARK.len()).any(|window| window == MARK)
}

fn read_file(reader: &mut Reader<'_>, key: &str, path: &Path) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let what = format!("{} cannot be read ({error})", path.display());
            reader.reject(
                key,
                what,
                "write the path of a PEM file that this user may read",
            );
            None
        }
    }
}

fn build_server(reader: &mut Reader<'_>, pair: KeyPair, only_newest: bool) -> Option<ServerConfig> {
    let versions = if only_newest {
        &[&TLS13][..]
    } else {
        &[&TLS13, &TLS12][..]
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("ring serves TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(pair.chain.clone(), pair.private.clone_key());
    match made {
        Ok(server) => Some(server),
        Err(error) => {
            refuse(reader, &pair, &error);
            None
        }
    }
}

/// Reports a pair with which no client could show who it is.
pub(super) fn check_for_client(reader: &mut Reader<'_>, pair: &KeyPair) {
    let provider = rustls::crypto::ring::default_provider();
    let made = CertifiedKey::from_der(pair.chain.clone(), pair.private.clone_key(), &provider);
    if let Err(error) = made {
        refuse(reader, pair, &error);
    }
}

fn refuse(reader: &mut Reader<'_>, pair: &KeyPair, error: &rustls::Error) {
    let (cert, key) = (pair.cert.display(), pair.key.display());
    let [cert_name, key_name] = pair.names;
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => reader.reject(
            key_name,
            format!("the key in {key} does not belong to the first certificate in {cert}"),
            "write the paths of a certificate and the key it was made for",
        ),
        rustls::Error::InvalidCertificate(CertificateError::BadEncoding) => reader.reject(
            cert_name,
            format!("the first certificate in {cert} is broken"),
            "write the path of a PEM file with BEGIN CERTIFICATE, yours first",
        ),
        error => reader.reject(
            key_name,
            format!("the key in {key} cannot be used ({error})"),
            "write the path of an RSA key of 2048 bits or more, an ECDSA key or an Ed25519 key",
        ),
    }
}

/// As the watch of the files needs it, whatever the working directory becomes.
fn make_absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
