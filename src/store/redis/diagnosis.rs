//! What is wrong with a Redis that cannot be used, and what helps, in words for its operator.

use super::error::Error;

/// How Redis is addressed, as far as the words depend on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Address {
    /// Host and port; several, with commas, of a cluster or of sentinels.
    pub(super) hosts: String,
    pub(super) is_tls: bool,
    pub(super) is_cluster: bool,
    /// The name of the primary that sentinels are asked for.
    pub(super) master: Option<String>,
    /// Whom Pannier logs in as.
    pub(super) user: String,
    /// What matches all names of the namespace, as `ACL SETUSER` takes it.
    pub(super) names: String,
}

/// What is wrong, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What is wrong.
    pub cause: String,
    /// What the operator can do.
    pub remedy: String,
}

impl Diagnosis {
    fn new(cause: impl Into<String>, remedy: impl Into<String>) -> Diagnosis {
        Diagnosis {
            cause: cause.into(),
            remedy: remedy.into(),
        }
    }
}

/// What `error` says of the Redis at `address`.
pub(super) fn diagnose(error: &Error, address: &Address) -> Diagnosis {
    if let (Error::Timeout, Some(master)) = (error, &address.master) {
        return Diagnosis::new(
            format!("no primary of the name {master:?} answers in time"),
            "see whether the sentinels know that name (SENTINEL MASTERS), mend master in [redis], and see whether the primary runs",
        );
    }
    match error {
        Error::Connection(words) => diagnose_connection(words, address),
        Error::Timeout => Diagnosis::new(
            "it does not answer in time",
            match address.is_tls {
                true => {
                    "see whether it runs and is not overloaded; if it speaks no TLS, write redis:// in [redis] url, or tls = false"
                }
                false => {
                    "see whether it runs and is not overloaded, and whether a firewall is in between"
                }
            },
        ),
        Error::Login(words) if words.starts_with("NOAUTH") && address.master.is_some() => {
            Diagnosis::new(
                "it demands a password, or its sentinels do, and [redis] has none for them",
                "write that of the primary into [redis] password, and that of the sentinels into sentinel_password",
            )
        }
        Error::Login(words) if words.starts_with("NOAUTH") => Diagnosis::new(
            "it demands a password, and [redis] has none",
            "write it into [redis] password, or into url as in redis://user:password@host",
        ),
        Error::Login(_) => Diagnosis::new(
            format!(
                "it refuses the login of the user {:?}: wrong password, no such user, or one that is off",
                address.user
            ),
            "mend user and password in [redis] and reload, or the user in Redis (ACL SETUSER)",
        ),
        Error::Rights(rights) => diagnose_rights(rights, address),
        Error::Cluster(words) => diagnose_cluster(words, address),
        Error::Crowded(_) => Diagnosis::new(
            "it has as many clients as it takes (max number of clients reached)",
            "raise maxclients in Redis, or end other clients of it",
        ),
        Error::ReadOnly(words) => diagnose_refusal(words),
        Error::Full(words) => Diagnosis::new(
            format!("its memory is full ({words})"),
            "raise maxmemory in Redis",
        ),
        Error::NotReady(words) => Diagnosis::new(
            format!("it is not ready ({words})"),
            "wait until it is; its own log says more",
        ),
        Error::OtherLayout(_) => Diagnosis::new(
            error.to_string(),
            "end the sidecars of the other version, or give them a [redis] namespace of their own",
        ),
        Error::Down | Error::NoRoom | Error::Void | Error::WrongType(_) => Diagnosis::new(
            error.to_string(),
            "nothing, if it passes; see the log of Redis",
        ),
        Error::Other(words) => diagnose_other(words),
    }
}

/// Of a node of a cluster, which is addressed as it announces itself.
const OTHER_NAME_OF_NODE: &str = "have the nodes announce a name of the certificate: cluster-announce-hostname in Redis, and \
     cluster-preferred-endpoint-type hostname; or have the certificates made with the addresses that they announce";

/// Of a certificate of Redis that no other word tells.
const ANY_CERTIFICATE: &str = "InvalidCertificate";

/// Of each failure to connect: a word that tells it, the cause and the remedy. The first that fits counts.
const CONNECTIONS: &[(&str, &str, &str)] = &[
    // What the server says of Pannier's certificate, as OpenSSL words it; the rest is what Pannier finds.
    (
        "AlertReceived(CertificateExpired)",
        "it refuses Pannier's own TLS certificate: that has expired",
        "renew the certificate in [redis] cert_file",
    ),
    (
        "AlertReceived(CertificateRevoked)",
        "it refuses Pannier's own TLS certificate: that was revoked",
        "name another in [redis] cert_file and key_file",
    ),
    (
        "AlertReceived(UnknownCA)",
        "it refuses Pannier's own TLS certificate: it does not know the authority that signed that",
        "name a certificate that its authority has signed in [redis] cert_file and key_file, or add the other authority to tls-ca-cert-file in Redis",
    ),
    (
        "AlertReceived(BadCertificate)",
        "it refuses Pannier's own TLS certificate: that is broken, or not valid yet",
        "see the dates of the certificate in [redis] cert_file and the clocks of both machines, or have it made anew",
    ),
    (
        "AlertReceived(UnsupportedCertificate)",
        "it refuses Pannier's own TLS certificate: that is not one for clients, or of a kind that it does not take",
        "have the certificate in [redis] cert_file made with extendedKeyUsage clientAuth",
    ),
    (
        "AlertReceived(DecryptError)",
        "it refuses Pannier's own TLS certificate: the signature on it does not hold",
        "name a certificate that its authority has signed in [redis] cert_file and key_file",
    ),
    (
        "AlertReceived(CertificateUnknown)",
        "it refuses Pannier's own TLS certificate, and does not say why",
        "see its log, and the certificate in [redis] cert_file",
    ),
    (
        "AlertReceived(AccessDenied)",
        "it refuses Pannier's own TLS certificate, and does not say why",
        "see its log, and the certificate in [redis] cert_file",
    ),
    (
        "AlertReceived(ProtocolVersion)",
        "it speaks no version of TLS that Pannier does",
        "have it speak TLS 1.2 or 1.3 (tls-protocols in Redis)",
    ),
    (
        "ServerDoesNotSupportTls12Or13",
        "it speaks no version of TLS that Pannier does",
        "have it speak TLS 1.2 or 1.3 (tls-protocols in Redis)",
    ),
    (
        "ServerTlsVersionIsDisabledByOurConfig",
        "it speaks no version of TLS that Pannier does",
        "have it speak TLS 1.2 or 1.3 (tls-protocols in Redis)",
    ),
    (
        "AlertReceived(HandshakeFailure)",
        "it has no cipher in common with Pannier, or demands a TLS certificate of its clients",
        "see tls-ciphers and tls-ciphersuites in Redis; if it has tls-auth-clients, name cert_file and key_file in [redis]",
    ),
    (
        "InCommon)",
        "it has no cipher in common with Pannier",
        "see tls-ciphers and tls-ciphersuites in Redis, and the key of its certificate",
    ),
    (
        "refused",
        "nothing listens there",
        "start Redis there, or mend host and port in [redis]",
    ),
    (
        "lookup address",
        "its name cannot be resolved",
        "mend the host in [redis], or the DNS",
    ),
    (
        "CaUsedAsEndEntity",
        "its certificate is self-signed, and marked as that of an authority",
        "have the certificate signed by an authority, or made with basicConstraints CA:FALSE, and name what signed it in [redis] ca_file",
    ),
    (
        "UnknownIssuer",
        "its certificate is self-signed, or signed by an authority that is not trusted here",
        "name the certificate that signed it in [redis] ca_file",
    ),
    (
        "NotValidForName",
        "its TLS certificate is for other names",
        "write a name of the certificate as the host in [redis]",
    ),
    (
        "Expired",
        "its TLS certificate has expired",
        "renew the certificate of Redis",
    ),
    (
        "NotValidYet",
        "its TLS certificate is not valid yet",
        "see the clock here and the dates of the certificate of Redis",
    ),
    (
        "InvalidPurpose",
        "its TLS certificate is not one for servers",
        "have the certificate of Redis made with extendedKeyUsage serverAuth",
    ),
    (
        "InvalidCertificate(Revoked)",
        "its TLS certificate was revoked",
        "give Redis another",
    ),
    (
        "InvalidContentType",
        "it does not speak TLS",
        "write redis:// in [redis] url (tls = false beside host), or the port where it does",
    ),
    (
        "CertificateRequired",
        "it demands a TLS certificate of its clients, and Pannier has none",
        "name one that its authority has signed in [redis] cert_file and key_file",
    ),
    (
        ANY_CERTIFICATE,
        "its TLS certificate is not taken here",
        "have the certificate of Redis made anew: X.509 version 3, signed with SHA-256 or better",
    ),
    (
        "unreachable",
        "there is no way to its address",
        "mend the host in [redis], or the network",
    ),
    (
        "No route",
        "there is no way to its address",
        "mend the host in [redis], or the network",
    ),
];

fn diagnose_connection(words: &str, address: &Address) -> Diagnosis {
    let known = CONNECTIONS.iter().find(|(word, _, _)| words.contains(word));
    if let Some((word, cause, remedy)) = known {
        // What the library says of TLS is for its developers, but where there are no better words.
        let is_of_tls = words.contains(['{', '(']);
        let is_told = !is_of_tls || *word == ANY_CERTIFICATE && !words.contains('{');
        let cause = match is_told {
            true => format!("{cause} ({words})"),
            false => (*cause).to_owned(),
        };
        return match (&address.master, address.is_cluster) {
            (Some(master), _) if is_of_tls => Diagnosis::new(
                format!("of the primary {master:?}, or of its sentinels: {cause}"),
                *remedy,
            ),
            (Some(master), _) => Diagnosis::new(
                format!("of the primary {master:?}, or of its sentinels: {cause}"),
                "see where the sentinels say that it is (SENTINEL GET-MASTER-ADDR-BY-NAME), start it there or have them fail over",
            ),
            (None, true) if words.contains("refused") => Diagnosis::new(
                cause,
                "start the node there, mend nodes in [redis], or have it announce an address that is reached from here (cluster-announce-ip)",
            ),
            (None, true) if words.contains("NotValidForName") => {
                Diagnosis::new(cause, OTHER_NAME_OF_NODE)
            }
            _ => Diagnosis::new(cause, *remedy),
        };
    }
    let remedy = match address.is_tls {
        true => "see its log; if it speaks no TLS, write redis:// in [redis] url, or tls = false",
        false => "see its log; if it expects TLS, write rediss:// in [redis] url, or tls = true",
    };
    Diagnosis::new(format!("the connection broke ({words})"), remedy)
}

fn diagnose_rights(rights: &str, address: &Address) -> Diagnosis {
    let user = &address.user;
    if rights.is_empty() {
        return Diagnosis::new(
            format!("the user {user:?} lacks the right to a command of Pannier's scripts"),
            "`pannier check --connect FILE` names it",
        );
    }
    let rights = rights.replace('~', &address.names);
    Diagnosis::new(
        format!("the user {user:?} lacks rights: {rights}"),
        format!("in Redis: ACL SETUSER {user} {rights}"),
    )
}

fn diagnose_cluster(words: &str, address: &Address) -> Diagnosis {
    if words.contains("cluster support disabled") {
        return Diagnosis::new(
            "it is no cluster",
            "write redis:// in [redis] url, or host in place of nodes",
        );
    }
    if address.is_cluster {
        return Diagnosis::new(
            format!("the cluster is not whole ({words})"),
            "see CLUSTER INFO in Redis",
        );
    }
    Diagnosis::new(
        format!("it is a node of a cluster, asked as a single Redis ({words})"),
        "write redis-cluster:// in [redis] url, or nodes = [\"host:port\"] in place of host",
    )
}

/// A Redis that refuses writes, and so purges.
fn diagnose_refusal(words: &str) -> Diagnosis {
    match words.split(' ').next().unwrap_or_default() {
        "NOREPLICAS" => Diagnosis::new(
            "it takes no purges, since too few replicas follow it (NOREPLICAS)",
            "bring its replicas back, or lower min-replicas-to-write in Redis",
        ),
        "MISCONF" => Diagnosis::new(
            "it takes no purges, since it cannot save its data (MISCONF)",
            "mend its disk (its log says why), or set stop-writes-on-bgsave-error no in Redis",
        ),
        _ => Diagnosis::new(
            "it takes no purges, since it is a replica (READONLY)",
            "let [redis] lead to the primary; with sentinels or nodes it is followed by itself",
        ),
    }
}

fn diagnose_other(words: &str) -> Diagnosis {
    let words = words.trim();
    // What it was sent is no news.
    let words = words.split(", with args").next().unwrap_or(words);
    let lacks = |command: &str| words.contains(&format!("unknown command '{command}'"));
    if lacks("SENTINEL") {
        return Diagnosis::new(
            "it is no sentinel",
            "name sentinels in [redis] sentinels (mostly on port 26379), or write host in place of sentinels and master",
        );
    }
    if lacks("EVAL") || lacks("CLUSTER") {
        return Diagnosis::new(
            format!("it is a sentinel, or lacks what Pannier needs ({words})"),
            "of sentinels write sentinels = [\"host:port\"] and master in [redis]; else use Redis 7 or later, with all its commands",
        );
    }
    if words.starts_with("DENIED") {
        return Diagnosis::new(
            "it is in protected mode, and lets in its own machine alone",
            "give its user a password (ACL SETUSER default, requirepass) and write it into [redis] password, or set protected-mode no where its network is private",
        );
    }
    if words.contains("DB index") {
        return Diagnosis::new(
            format!("it has no database of that number ({words})"),
            "mend the number behind the host in [redis] url, or database",
        );
    }
    if words.starts_with("Decode Error") {
        return Diagnosis::new(
            format!("what answers there is not Redis ({words})"),
            "mend host and port in [redis]",
        );
    }
    if words.contains("sentinel") {
        return Diagnosis::new(
            format!("no sentinel answers well ({words})"),
            "see whether they run there, and mend sentinels, master and sentinel_password in [redis]",
        );
    }
    if words.contains("unknown command") || words.starts_with("NOPROTO") {
        return Diagnosis::new(
            format!("it lacks what Pannier needs ({words})"),
            "use Redis 7 or later, with all its commands (no rename-command)",
        );
    }
    Diagnosis::new(
        words,
        "`pannier check --connect FILE` and the log of Redis may say more",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address {
            hosts: "cache:6379".to_owned(),
            is_tls: url.starts_with("rediss"),
            is_cluster: url.starts_with("redis-cluster"),
            master: url.contains("sentinel").then(|| "main".to_owned()),
            user: "app".to_owned(),
            names: "~{pannier}*".to_owned(),
        }
    }

    #[test]
    fn each_kind_of_trouble_has_its_cause_and_its_remedy() {
        let connection = |words: &str| Error::Connection(words.to_owned());
        let (plain, tls, cluster) = ("redis", "rediss", "redis-cluster");
        #[rustfmt::skip]
        let rows = [
            (connection("Connection refused"), plain, "nothing listens there (Connection refused)", "start Redis"),
            (connection("failed to lookup address information: Name or service not known"), plain, "cannot be resolved", "DNS"),
            (connection("InvalidCertificate(UnknownIssuer)"), tls, "self-signed", "ca_file"),
            (connection("InvalidCertificate(NotValidForNameContext { expected: x })"), tls, "its TLS certificate is for other names", "name of the certificate"),
            (connection("InvalidCertificate(NotValidForNameContext { expected: x })"), cluster, "its TLS certificate is for other names", "cluster-announce-hostname"),
            (connection("InvalidMessage(InvalidContentType)"), tls, "does not speak TLS", "redis://"),
            (connection("InvalidCertificate(ExpiredContext { time: 1, not_after: 0 })"), tls, "its TLS certificate has expired", "certificate of Redis"),
            (connection("InvalidCertificate(NotValidYetContext { time: 0, not_before: 1 })"), tls, "its TLS certificate is not valid yet", "clock"),
            (connection("InvalidCertificate(InvalidPurposeContext { required: ServerAuth, presented: [ClientAuth] })"), tls, "its TLS certificate is not one for servers", "serverAuth"),
            (connection("InvalidCertificate(Revoked)"), tls, "its TLS certificate was revoked", "give Redis another"),
            (connection("InvalidCertificate(BadSignature)"), tls, "its TLS certificate is not taken here (InvalidCertificate(BadSignature))", "certificate of Redis"),
            (connection("InvalidCertificate(Other(OtherError(UnsupportedCertVersion)))"), tls, "its TLS certificate is not taken here", "version 3"),
            (connection("AlertReceived(CertificateRequired)"), tls, "demands a TLS certificate", "cert_file"),
            (connection("AlertReceived(CertificateExpired)"), tls, "it refuses Pannier's own TLS certificate: that has expired", "cert_file"),
            (connection("AlertReceived(CertificateRevoked)"), tls, "it refuses Pannier's own TLS certificate: that was revoked", "cert_file"),
            (connection("AlertReceived(UnknownCA)"), tls, "it refuses Pannier's own TLS certificate: it does not know the authority", "cert_file"),
            (connection("AlertReceived(BadCertificate)"), tls, "it refuses Pannier's own TLS certificate: that is broken, or not valid yet", "cert_file"),
            (connection("AlertReceived(UnsupportedCertificate)"), tls, "it refuses Pannier's own TLS certificate: that is not one for clients", "clientAuth"),
            (connection("AlertReceived(CertificateUnknown)"), tls, "it refuses Pannier's own TLS certificate, and does not say why", "cert_file"),
            (connection("AlertReceived(AccessDenied)"), tls, "it refuses Pannier's own TLS certificate, and does not say why", "cert_file"),
            (connection("AlertReceived(DecryptError)"), tls, "it refuses Pannier's own TLS certificate: the signature", "cert_file"),
            (connection("AlertReceived(ProtocolVersion)"), tls, "no version of TLS", "tls-protocols"),
            (connection("PeerIncompatible(ServerDoesNotSupportTls12Or13)"), tls, "no version of TLS", "tls-protocols"),
            (connection("PeerIncompatible(ServerTlsVersionIsDisabledByOurConfig)"), tls, "no version of TLS", "tls-protocols"),
            (connection("AlertReceived(HandshakeFailure)"), tls, "no cipher in common", "cert_file"),
            (connection("PeerIncompatible(NoKxGroupsInCommon)"), tls, "no cipher in common", "tls-ciphers"),
            (connection("AlertReceived(UnknownCA)"), "rediss-sentinel", "of the primary \"main\", or of its sentinels: it refuses", "cert_file"),
            (connection("Connection reset by peer"), plain, "broke (Connection reset", "rediss://"),
            (Error::Timeout, plain, "does not answer", "firewall"),
            (Error::Timeout, tls, "does not answer", "redis://"),
            (Error::Login("NOAUTH Authentication required.".into()), plain, "demands a password", "redis://user:password@host"),
            (Error::Login("WRONGPASS invalid".into()), plain, "user \"app\": wrong password", "ACL SETUSER"),
            (Error::Rights("+mget ~".into()), plain, "lacks rights: +mget ~{pannier}*", "ACL SETUSER app +mget ~{pannier}*"),
            (Error::Rights(String::new()), plain, "lacks the right", "check --connect"),
            (Error::Cluster("MOVED 3999 127.0.0.1:6381".into()), plain, "node of a cluster", "redis-cluster://"),
            (Error::Cluster("CLUSTERDOWN Hash slot not served".into()), cluster, "not whole", "CLUSTER INFO"),
            (Error::Cluster("ERR This instance has cluster support disabled".into()), cluster, "no cluster", "redis://"),
            (Error::Crowded("ERR max number of clients reached".into()), plain, "as many clients", "maxclients"),
            (Error::ReadOnly("READONLY You can't write".into()), plain, "a replica", "primary"),
            (Error::ReadOnly("NOREPLICAS Not enough".into()), plain, "too few replicas", "min-replicas-to-write"),
            (Error::ReadOnly("MISCONF Redis is".into()), plain, "cannot save", "disk"),
            (Error::Full("OOM command".into()), plain, "memory is full", "maxmemory"),
            (Error::NotReady("LOADING Redis is loading".into()), plain, "not ready (LOADING", "wait"),
            (Error::OtherLayout(2), plain, "stored layout 2", "namespace"),
            (Error::Other("ERR DB index is out of range".into()), plain, "no database", "[redis] url"),
            (Error::Other("Decode Error: frame_type".into()), plain, "not Redis", "port"),
            (Error::Timeout, "redis-sentinel", "name \"main\"", "SENTINEL MASTERS"),
            (Error::Login("NOAUTH Authentication required.".into()), "redis-sentinel", "its sentinels do", "sentinel_password"),
            (connection("Connection refused"), "redis-sentinel", "primary \"main\"", "fail over"),
            (connection("Connection refused"), cluster, "nothing listens", "cluster-announce-ip"),
            (Error::Other("Failed to connect to all sentinel nodes.".into()), "redis-sentinel", "no sentinel answers", "sentinel_password"),
            (Error::Other("ERR unknown command 'SENTINEL', with args beginning with: 'x'".into()), "redis-sentinel", "no sentinel", "host"),
            (Error::Other("ERR unknown command 'EVAL', with args beginning with: '#!lua".into()), plain, "a sentinel, or lacks what Pannier needs (ERR unknown command 'EVAL')", "sentinels ="),
            (Error::Other("unknown command: time client".into()), plain, "needs (unknown command: time client)", "rename-command"),
            (Error::Other("DENIED Redis is running in protected mode".into()), plain, "protected mode", "password"),
        ];
        for (error, url, cause, remedy) in rows {
            let found = diagnose(&error, &address(url));
            assert!(found.cause.contains(cause), "{error:?}: {found:?}");
            assert!(found.remedy.contains(remedy), "{error:?}: {found:?}");
            assert!(
                !found.cause.contains('{') || found.cause.contains("~{"),
                "{found:?}"
            );
        }
    }
}
