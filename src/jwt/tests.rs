use super::*;
use crate::config::KeyOrigin;
use http::header::COOKIE;
use http::{HeaderName, HeaderValue};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const RSA: &[u8] = include_bytes!("keys/rsa_private.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("keys/rsa_public.pem");
const EC: &[u8] = include_bytes!("keys/ec_private.pem");
const EC_PUBLIC: &[u8] = include_bytes!("keys/ec_public.pem");
const ED: &[u8] = include_bytes!("keys/ed_private.pem");
const ED_PUBLIC: &[u8] = include_bytes!("keys/ed_public.pem");

const NOW: u64 = 1_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn config(key: JwtKey, algorithms: &[&str]) -> Jwt {
    Jwt {
        source: JwtSource::Authorization,
        key,
        origin: KeyOrigin::Config,
        algorithms: algorithms.iter().map(|name| name.to_string()).collect(),
        issuer: None,
        audience: Vec::new(),
        leeway: Duration::ZERO,
    }
}

fn secret() -> Jwt {
    config(JwtKey::Secret(SECRET.to_vec()), &["HS256"])
}

fn verifier(config: &Jwt) -> Verifier {
    Verifier::new(config).expect("a valid config")
}

fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, key).expect("signed")
}

fn hs256(claims: &Value) -> String {
    signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), claims)
}

fn bearer(token: &str) -> HeaderMap {
    headers(&[(AUTHORIZATION, &format!("Bearer {token}"))])
}

fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("visible")))
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

fn subject(verifier: &Verifier, headers: &HeaderMap) -> Option<String> {
    let claims = verifier.verify(headers, at(NOW))?;
    Some(claims["sub"].as_str()?.to_owned())
}

fn base64url(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    text.as_bytes()
        .chunks(3)
        .flat_map(|chunk| {
            let bits = chunk
                .iter()
                .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()));
            (0..=chunk.len())
                .map(move |digit| char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]))
        })
        .collect()
}

#[test]
fn claims_and_times() {
    let leeway = Jwt {
        leeway: Duration::from_secs(10),
        ..secret()
    };
    let demanding = Jwt {
        issuer: Some("me".to_owned()),
        audience: vec!["us".to_owned(), "all of us".to_owned()],
        ..secret()
    };
    let exp = NOW + 1;
    for (name, config, claims, expected) in [
        ("plain", &secret(), json!({"exp": exp}), true),
        ("without exp", &secret(), json!({}), false),
        ("exp is now", &secret(), json!({"exp": NOW}), false),
        ("expired", &secret(), json!({"exp": 1}), false),
        (
            "exp as text",
            &secret(),
            json!({"exp": "9999999999"}),
            false,
        ),
        ("exp null", &secret(), json!({"exp": null}), false),
        (
            "exp with a fraction",
            &secret(),
            json!({"exp": NOW as f64 + 0.5}),
            true,
        ),
        ("negative exp", &secret(), json!({"exp": -1}), false),
        (
            "expired within leeway",
            &leeway,
            json!({"exp": NOW - 9}),
            true,
        ),
        (
            "expired past leeway",
            &leeway,
            json!({"exp": NOW - 10}),
            false,
        ),
        (
            "nbf is now",
            &secret(),
            json!({"exp": exp, "nbf": NOW}),
            true,
        ),
        (
            "not yet",
            &secret(),
            json!({"exp": exp, "nbf": NOW + 1}),
            false,
        ),
        (
            "nbf within leeway",
            &leeway,
            json!({"exp": exp, "nbf": NOW + 10}),
            true,
        ),
        (
            "nbf past leeway",
            &leeway,
            json!({"exp": exp, "nbf": NOW + 11}),
            false,
        ),
        (
            "nbf as text",
            &secret(),
            json!({"exp": exp, "nbf": "0"}),
            false,
        ),
        (
            "unasked aud",
            &secret(),
            json!({"exp": exp, "aud": "x"}),
            true,
        ),
        (
            "iss and aud",
            &demanding,
            json!({"exp": exp, "iss": "me", "aud": "us"}),
            true,
        ),
        (
            "one of aud",
            &demanding,
            json!({"exp": exp, "iss": "me", "aud": ["a", "us"]}),
            true,
        ),
        (
            "other iss",
            &demanding,
            json!({"exp": exp, "iss": "you", "aud": "us"}),
            false,
        ),
        (
            "no iss",
            &demanding,
            json!({"exp": exp, "aud": "us"}),
            false,
        ),
        (
            "the other of ours",
            &demanding,
            json!({"exp": exp, "iss": "me", "aud": "all of us"}),
            true,
        ),
        (
            "other aud",
            &demanding,
            json!({"exp": exp, "iss": "me", "aud": ["a"]}),
            false,
        ),
        (
            "no aud",
            &demanding,
            json!({"exp": exp, "iss": "me"}),
            false,
        ),
    ] {
        let verified = verifier(config).verify(&bearer(&hs256(&claims)), at(NOW));
        let expected = expected.then_some(claims);
        assert_eq!(verified.as_deref(), expected.as_ref(), "{name}");
    }
}

#[test]
fn forgeries() {
    let claims = json!({"sub": "root", "exp": NOW + 1});
    let payload = base64url(&claims.to_string());
    let genuine = hs256(&claims);
    let (message, signature) = genuine.rsplit_once('.').expect("three parts");
    let (head, _) = message.split_once('.').expect("three parts");
    let other = base64url(&json!({"sub": "other", "exp": NOW + 1}).to_string());
    let none = base64url(r#"{"alg":"none","typ":"JWT"}"#);
    let none_cased = base64url(r#"{"alg":"nOnE"}"#);
    let stranger = EncodingKey::from_secret(b"another secret");
    let critical = Header {
        crit: Some(vec!["exp".to_owned()]),
        ..Header::new(Algorithm::HS256)
    };
    let own_key = EncodingKey::from_secret(SECRET);
    let verifier = verifier(&secret());
    for (name, token) in [
        ("unsigned", format!("{message}.")),
        ("no signature part", message.to_owned()),
        ("alg none", format!("{none}.{payload}.")),
        ("alg none, signed", format!("{none}.{payload}.{signature}")),
        ("alg nOnE", format!("{none_cased}.{payload}.")),
        ("other payload", format!("{head}.{other}.{signature}")),
        ("wrong key", signed(Algorithm::HS256, &stranger, &claims)),
        (
            "algorithm not allowed",
            signed(Algorithm::HS512, &own_key, &claims),
        ),
        (
            "critical",
            encode(&critical, &claims, &own_key).expect("signed"),
        ),
        (
            "claims are no object",
            signed(Algorithm::HS256, &own_key, &json!(["root"])),
        ),
        ("four parts", format!("{genuine}.x")),
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("garbage", "%%%.%%%.%%%".to_owned()),
    ] {
        assert_eq!(verifier.verify(&bearer(&token), at(NOW)), None, "{name}");
    }
    let verified = verifier.verify(&bearer(&genuine), at(NOW));
    assert_eq!(verified.as_deref(), Some(&claims));
}

/// RFC 7519 §4: of two claims of one name the app may read the other.
#[test]
fn doubled_claims_are_no_token() {
    let key = EncodingKey::from_secret(SECRET);
    let verifier = verifier(&secret());
    let exp = NOW + 1;
    let rows = [
        ("once", format!(r#"{{"exp":{exp},"sub":"me"}}"#), true),
        (
            "twice",
            format!(r#"{{"exp":{exp},"sub":"me","sub":"you"}}"#),
            false,
        ),
        (
            "twice, deeper",
            format!(r#"{{"exp":{exp},"sub":"me","org":{{"id":1,"id":2}}}}"#),
            false,
        ),
    ];
    for (name, claims, expected) in rows {
        let message = format!("{}.{}", base64url(r#"{"alg":"HS256"}"#), base64url(&claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed");
        let found = subject(&verifier, &bearer(&format!("{message}.{signature}")));
        assert_eq!(found.is_some(), expected, "{name}");
    }
}

#[test]
fn public_keys_verify_and_are_no_secrets() {
    let claims = json!({"sub": "root", "exp": NOW + 1});
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("an RSA key");
    let ec = EncodingKey::from_ec_pem(EC).expect("an EC key");
    let ed = EncodingKey::from_ed_pem(ED).expect("an Ed25519 key");
    for (public, name, algorithm, key) in [
        (RSA_PUBLIC, "RS256", Algorithm::RS256, &rsa),
        (RSA_PUBLIC, "PS384", Algorithm::PS384, &rsa),
        (EC_PUBLIC, "ES256", Algorithm::ES256, &ec),
        (ED_PUBLIC, "EdDSA", Algorithm::EdDSA, &ed),
    ] {
        let verifier = verifier(&config(JwtKey::Pem(public.to_vec()), &[name]));
        let genuine = signed(algorithm, key, &claims);
        assert_eq!(
            subject(&verifier, &bearer(&genuine)).as_deref(),
            Some("root"),
            "{name}"
        );
        // RFC 8725 §2.1: the public key taken for an HMAC secret.
        for secret in [public, public.trim_ascii()] {
            let confused = signed(Algorithm::HS256, &EncodingKey::from_secret(secret), &claims);
            assert_eq!(subject(&verifier, &bearer(&confused)), None, "{name}");
        }
        let other = signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), &claims);
        assert_eq!(subject(&verifier, &bearer(&other)), None, "{name}");
    }
    let rs512 = verifier(&config(JwtKey::Pem(RSA_PUBLIC.to_vec()), &["RS512"]));
    let token = signed(Algorithm::RS256, &rsa, &claims);
    assert_eq!(subject(&rs512, &bearer(&token)), None, "not in the list");
}

fn jwk(public: &EncodingKey, algorithm: Algorithm, more: Value) -> Value {
    let jwk = Jwk::from_encoding_key(public, algorithm).expect("a JWK");
    let mut jwk = serde_json::to_value(jwk).expect("JSON");
    jwk.as_object_mut().expect("an object").remove("alg");
    for (name, value) in more.as_object().expect("an object") {
        jwk[name] = value.clone();
    }
    jwk
}

#[test]
fn key_sets() {
    const WHOLE_FAMILIES: [&str; 8] = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    ];
    let rsa = EncodingKey::from_rsa_pem(RSA).expect("an RSA key");
    let ec = EncodingKey::from_ec_pem(EC).expect("an EC key");
    let shared = EncodingKey::from_secret(SECRET);
    let claims = json!({"sub": "root", "exp": NOW + 1});
    let token = |algorithm, key: &EncodingKey, kid: Option<&str>| {
        let header = Header {
            kid: kid.map(str::to_owned),
            ..Header::new(algorithm)
        };
        encode(&header, &claims, key).expect("signed")
    };
    let rsa_key = |more| jwk(&rsa, Algorithm::RS256, more);
    let ec_key = |more| jwk(&ec, Algorithm::ES256, more);
    let both = || vec![rsa_key(json!({"kid": "r"})), ec_key(json!({"kid": "e"}))];
    let set = |keys: Vec<Value>| JwtKey::Jwks(json!({"keys": keys}).to_string());
    for (name, keys, token, expected) in [
        (
            "by kid",
            both(),
            token(Algorithm::ES256, &ec, Some("e")),
            true,
        ),
        (
            "by kid, the other",
            both(),
            token(Algorithm::RS256, &rsa, Some("r")),
            true,
        ),
        (
            "beside algorithms of no use",
            vec![rsa_key(json!({"alg": "RS256"}))],
            token(Algorithm::RS256, &rsa, None),
            true,
        ),
        (
            "kid of another key",
            both(),
            token(Algorithm::ES256, &ec, Some("r")),
            false,
        ),
        ("no kid", both(), token(Algorithm::ES256, &ec, None), true),
        (
            "unknown kid",
            both(),
            token(Algorithm::RS256, &rsa, Some("x")),
            true,
        ),
        (
            "not in the set",
            both(),
            token(Algorithm::HS256, &shared, None),
            false,
        ),
        (
            "for another algorithm",
            vec![
                rsa_key(json!({"alg": "RS512"})),
                rsa_key(json!({"n": "AQAB"})),
                ec_key(json!({})),
            ],
            token(Algorithm::RS256, &rsa, None),
            false,
        ),
        (
            "for encryption",
            vec![
                rsa_key(json!({"use": "enc"})),
                rsa_key(json!({"n": "AQAB"})),
                ec_key(json!({})),
            ],
            token(Algorithm::RS256, &rsa, None),
            false,
        ),
        (
            "for signing only",
            vec![
                rsa_key(json!({"key_ops": ["sign"]})),
                rsa_key(json!({"n": "AQAB"})),
                ec_key(json!({})),
            ],
            token(Algorithm::RS256, &rsa, None),
            false,
        ),
        (
            "beside an unknown kind",
            vec![
                json!({"kty": "XXX"}),
                rsa_key(json!({"use": "sig"})),
                ec_key(json!({})),
            ],
            token(Algorithm::RS256, &rsa, None),
            true,
        ),
    ] {
        let verifier = verifier(&config(set(keys), &WHOLE_FAMILIES));
        let verified = subject(&verifier, &bearer(&token)).is_some();
        assert_eq!(verified, expected, "{name}");
    }
}

#[test]
fn where_the_token_is() {
    let token = hs256(&json!({"sub": "root", "exp": NOW + 1}));
    let cookie = Jwt {
        source: JwtSource::Cookie("t".to_owned()),
        ..secret()
    };
    const FIELD: HeaderName = HeaderName::from_static("x-id-token");
    let header = Jwt {
        source: JwtSource::Header(FIELD),
        ..secret()
    };
    let field = |scheme: &str| (FIELD, format!("{scheme}{token}"));
    let bearer = |scheme: &str| (AUTHORIZATION, format!("{scheme}{token}"));
    let in_cookie = |before: &str, after: &str| (COOKIE, format!("{before}{token}{after}"));
    for (name, config, fields, expected) in [
        ("bearer", &secret(), vec![bearer("Bearer ")], true),
        ("lower case", &secret(), vec![bearer("bearer  ")], true),
        ("other scheme", &secret(), vec![bearer("Basic ")], false),
        ("no scheme", &secret(), vec![bearer("")], false),
        (
            "two lines",
            &secret(),
            vec![bearer("Bearer "), bearer("Bearer ")],
            false,
        ),
        (
            "not in the field",
            &secret(),
            vec![in_cookie("t=", "")],
            false,
        ),
        ("nothing", &secret(), vec![], false),
        ("cookie", &cookie, vec![in_cookie("a=1; t=", "; b=2")], true),
        ("other cookie", &cookie, vec![in_cookie("tt=", "")], false),
        (
            "doubled cookie",
            &cookie,
            vec![in_cookie("t=", "; t=x")],
            false,
        ),
        ("a field", &header, vec![field("")], true),
        ("with its scheme", &header, vec![field("bearer ")], true),
        ("another scheme", &header, vec![field("Token ")], false),
        ("two fields", &header, vec![field(""), field("")], false),
        ("another field", &header, vec![bearer("Bearer ")], false),
        ("not in a cookie", &cookie, vec![bearer("Bearer ")], false),
    ] {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str()))
            .collect();
        let verified = subject(&verifier(config), &headers(&fields)).is_some();
        assert_eq!(verified, expected, "{name}");
    }
}

#[test]
fn refused_configs() {
    use JwtConfigError as Error;
    let secret = || JwtKey::Secret(SECRET.to_vec());
    let pem = |pem: &[u8]| JwtKey::Pem(pem.to_vec());
    let unfit = |name: &str| Error::Unfit(name.to_owned());
    for (name, key, algorithms, expected) in [
        ("no algorithm", secret(), &[][..], Error::NoAlgorithm),
        (
            "none",
            secret(),
            &["none"],
            Error::UnknownAlgorithm("none".to_owned()),
        ),
        (
            "ES512",
            secret(),
            &["ES512"],
            Error::UnknownAlgorithm("ES512".to_owned()),
        ),
        (
            "empty secret",
            JwtKey::Secret(Vec::new()),
            &["HS256"],
            Error::EmptySecret,
        ),
        ("secret for RSA", secret(), &["RS256"], unfit("RS256")),
        (
            "RSA key for HMAC",
            pem(RSA_PUBLIC),
            &["HS256"],
            unfit("HS256"),
        ),
        ("EC key for RSA", pem(EC_PUBLIC), &["RS256"], unfit("RS256")),
        ("private key", pem(RSA), &["RS256"], Error::Pem),
        (
            "garbage",
            pem(b"-----BEGIN PUBLIC KEY-----\nx"),
            &["RS256"],
            Error::Pem,
        ),
        ("not text", pem(b"\xFF"), &["RS256"], Error::Pem),
        (
            "empty set",
            JwtKey::Jwks(r#"{"keys":[]}"#.to_owned()),
            &["RS256"],
            unfit("RS256"),
        ),
    ] {
        let error = Verifier::new(&config(key, algorithms)).expect_err(name);
        assert_eq!(error, expected, "{name}");
    }
    let error = Verifier::new(&config(JwtKey::Jwks("{".to_owned()), &["RS256"]));
    assert!(matches!(error, Err(Error::Jwks(_))));
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?}", verifier(&secret()));
    assert!(
        !shown.contains("secret of") && shown.contains("redacted"),
        "{shown}"
    );
}

fn count_kept(verifier: &Verifier) -> usize {
    verifier.keys.load().decisions.len()
}

/// What was found of a signature is kept, but whether the token holds is asked anew: not before `nbf`, not from
/// `exp` on, not under another key.
#[test]
fn a_kept_decision_holds_no_longer_than_its_token() {
    let leeway = Jwt {
        leeway: Duration::from_secs(5),
        ..secret()
    };
    let verifier = verifier(&leeway);
    let token = hs256(&json!({"sub": "root", "nbf": NOW, "exp": NOW + 60}));
    let fields = bearer(&token);
    let verified = |seconds: u64| verifier.verify(&fields, at(seconds)).is_some();
    assert!(verified(NOW) && count_kept(&verifier) == 1);
    for (seconds, expected) in [
        (NOW + 64, true),
        (NOW - 5, true),
        (NOW - 6, false),
        (NOW, true),
        (NOW + 65, false),
    ] {
        assert_eq!(verified(seconds), expected, "{seconds}");
    }
    assert_eq!(count_kept(&verifier), 0, "it has expired");
    assert!(
        verified(NOW) && count_kept(&verifier) == 1,
        "the clock went back"
    );

    let (body, signature) = token.rsplit_once('.').expect("a signature");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let forged = bearer(&format!("{body}.{first}{}", &signature[1..]));
    assert_eq!(verifier.verify(&forged, at(NOW)), None, "another signature");

    let other = JwtKey::Secret(b"another secret of at least thirty-two bytes".to_vec());
    assert_eq!(verifier.replace_keys(&other), Ok(1));
    assert!(!verified(NOW), "the key was taken out");
    assert_eq!(verifier.replace_keys(&leeway.key), Ok(1));
    assert!(verified(NOW), "and is back");
}

/// However many tokens come, genuine or not, what is kept is bounded, and who goes on asking is not pushed out.
#[test]
fn floods_of_tokens_take_no_more_than_their_room() {
    let verifier = verifier(&secret());
    let claims = json!({"sub": "root", "exp": NOW + 60});
    let regular = bearer(&hs256(&claims));
    assert!(verifier.verify(&regular, at(NOW)).is_some());
    let other = EncodingKey::from_secret(b"another secret of at least thirty-two bytes");
    for nth in 0..1_000 {
        let forged = signed(
            Algorithm::HS256,
            &other,
            &json!({"sub": nth, "exp": NOW + 60}),
        );
        assert_eq!(verifier.verify(&bearer(&forged), at(NOW)), None);
    }
    assert_eq!(
        count_kept(&verifier),
        1,
        "what no key has signed is not kept"
    );
    for nth in 0..30_000 {
        let genuine = bearer(&hs256(&json!({"sub": nth, "exp": NOW + 60})));
        assert!(verifier.verify(&genuine, at(NOW)).is_some());
        assert!(verifier.verify(&regular, at(NOW)).is_some());
    }
    let kept = verifier.keys.load();
    assert!(
        (5_000..=16 * 1024).contains(&kept.decisions.len()),
        "{}",
        kept.decisions.len()
    );
    assert!(
        kept.decisions.bytes() <= 16 << 20,
        "{}",
        kept.decisions.bytes()
    );
    let token = regular[AUTHORIZATION].to_str().expect("text");
    let digest = TokenDigest::of(&token.as_bytes()[b"Bearer ".len()..]);
    assert!(
        kept.decisions.find(&digest, NOW as f64).is_some(),
        "the regular one"
    );
    let vast = "x".repeat(100_000);
    let vast = bearer(&hs256(&json!({"sub": vast, "exp": NOW + 60})));
    let before = kept.decisions.len();
    assert!(verifier.verify(&vast, at(NOW)).is_some());
    assert!(kept.decisions.len() <= before, "too large to be kept");
    let late = bearer(&hs256(&json!({"sub": "late", "exp": NOW + 600})));
    for nth in 0..1_000 {
        let late = hs256(&json!({"sub": nth, "exp": NOW + 600}));
        assert!(verifier.verify(&bearer(&late), at(NOW + 60)).is_some());
    }
    assert!(verifier.verify(&late, at(NOW + 60)).is_some());
    assert!(kept.decisions.len() <= 1_001, "what has expired gives way");
}

/// What a request pays for its token, with and without a decision that is kept.
#[test]
#[ignore = "a measurement: run it with --release --nocapture"]
fn the_cost_of_a_token() {
    const ROUNDS: u32 = 2_000;
    let claims = json!({
        "iss": "https://login.example.com/", "aud": "api", "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
        "iat": NOW, "exp": NOW + 60, "azp": "my_client_id", "scope": "openid profile email",
        "role": "editor", "org": {"id": 7, "name": "Example"},
    });
    let pem = |pem: &[u8]| JwtKey::Pem(pem.to_vec());
    for (algorithm, key, signer) in [
        (
            Algorithm::HS256,
            secret().key,
            EncodingKey::from_secret(SECRET),
        ),
        (
            Algorithm::RS256,
            pem(RSA_PUBLIC),
            EncodingKey::from_rsa_pem(RSA).expect("a key"),
        ),
        (
            Algorithm::ES256,
            pem(EC_PUBLIC),
            EncodingKey::from_ec_pem(EC).expect("a key"),
        ),
        (
            Algorithm::EdDSA,
            pem(ED_PUBLIC),
            EncodingKey::from_ed_pem(ED).expect("a key"),
        ),
    ] {
        let config = config(key, &[&format!("{algorithm:?}")]);
        let verifier = verifier(&config);
        let token = signed(algorithm, &signer, &claims);
        let fields = bearer(&token);
        let time = |what: &dyn Fn()| {
            let start = crate::clock::monotonic();
            (0..ROUNDS).for_each(|_| what());
            crate::clock::monotonic().duration_since(start) / ROUNDS
        };
        let checked = time(&|| {
            let claims = verifier.keys.load().find_claims(token.as_bytes());
            assert!(claims.is_some_and(|claims| verifier.holds(&claims, NOW as f64)));
        });
        let kept = time(&|| assert!(verifier.verify(&fields, at(NOW)).is_some()));
        println!(
            "{algorithm:?}, {} bytes: {checked:?} checked, {kept:?} kept",
            token.len()
        );
    }
}
