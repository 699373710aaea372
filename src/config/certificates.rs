//! The certificates that a config names, and when they end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::Config;

/// A certificate that Pannier shows to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'c> {
    /// Where the config names it, such as `[listen] tls_cert`.
    pub key: &'static str,
    /// Its file.
    pub path: &'c Path,
    /// When it ends.
    pub ends: SystemTime,
}

/// From then on it is told.
const SOON: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 24 * 3600;

impl Shown<'_> {
    /// In words, if it has ended at `now` or is about to.
    pub fn warn(&self, now: SystemTime) -> Option<String> {
        let (key, path) = (self.key, self.path.display());
        let renew = "renew it: a reload takes the new one";
        match self.ends.duration_since(now) {
            Ok(left) if left > SOON => None,
            Ok(left) => Some(match left.as_secs() / DAY {
                0 => format!("{key}: the certificate in {path} ends within a day; {renew}"),
                days => format!("{key}: the certificate in {path} ends in {days} days; {renew}"),
            }),
            Err(_) => Some(format!(
                "{key}: the certificate in {path} has ended, and is refused; {renew}"
            )),
        }
    }
}

impl Config {
    /// Shows the certificates that `newer` has of the same files: they were read later.
    pub fn keep_certificates_of(&mut self, newer: &Config) {
        let servers = [
            (&mut self.listen.tls, &newer.listen.tls),
            (&mut self.admin.tls, &newer.admin.tls),
        ];
        for (own, newer) in servers {
            if let (Some(own), Some(newer)) = (own, newer)
                && (&own.cert, &own.key) == (&newer.cert, &newer.key)
            {
                own.ends = newer.ends;
                let mut server = ServerConfig::clone(&own.server);
                server.cert_resolver = newer.server.cert_resolver.clone();
                own.server = Arc::new(server);
            }
        }
    }

    /// All that others look at, as far as it is known when they end.
    pub fn shown_certificates(&self) -> Vec<Shown<'_>> {
        let servers = [
            ("[listen] tls_cert", &self.listen.tls),
            ("[admin] tls_cert", &self.admin.tls),
        ];
        let servers = servers.into_iter().filter_map(|(key, tls)| {
            let tls = tls.as_ref()?;
            Some((key, tls.cert.as_path(), tls.ends?))
        });
        let redis = self.redis.iter().filter_map(|redis| {
            let client = redis.access.tls.as_ref()?.client.as_ref()?;
            Some((
                "[redis] cert_file",
                client.cert_file.as_path(),
                client.ends?,
            ))
        });
        let all = servers.chain(redis);
        all.map(|(key, path, ends)| Shown { key, path, ends })
            .collect()
    }
}

/// When it ends (RFC 5280 §4.1.2.5); `None`: it cannot be read.
pub(super) fn find_end(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate.validity.not_after;
    Some(UNIX_EPOCH + Duration::from_secs(end.to_unix_duration().as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_in_time() {
        let ends = UNIX_EPOCH + Duration::from_secs(100 * DAY);
        let shown = Shown {
            key: "[listen] tls_cert",
            path: Path::new("cert.pem"),
            ends,
        };
        for (left, expected) in [
            (15 * DAY as i64, None),
            (14 * DAY as i64 + 1, None),
            (14 * DAY as i64, Some("ends in 14 days")),
            (DAY as i64, Some("ends in 1 days")),
            (DAY as i64 - 1, Some("within a day")),
            (-1, Some("has ended")),
        ] {
            let now = match left {
                0.. => ends - Duration::from_secs(left as u64),
                _ => ends + Duration::from_secs(left.unsigned_abs()),
            };
            let said = shown.warn(now);
            match expected {
                None => assert_eq!(said, None, "{left}"),
                Some(words) => assert!(said.is_some_and(|said| said.contains(words)), "{left}"),
            }
        }
    }

    #[test]
    fn its_end_is_read() {
        let mut params = rcgen::CertificateParams::new(vec!["h".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2031, 5, 4);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let end = find_end(certificate.der()).expect("it is there");
        assert_eq!(end, UNIX_EPOCH + Duration::from_secs(1_935_619_200));
        assert_eq!(find_end(&CertificateDer::from(vec![0x30, 0x01])), None);
    }
}
