//! Names by which secrets are called, in requests and in answers: one list. Neither case nor `-` and `_` matter in them,
//! since each app spells them otherwise: `X-Auth-Token`, `XAuthToken`, `auth_token`.

/// Bytes of a name without its signs that need no allocation.
const SHORT: usize = 64;

/// Whether the field of this name (in lower case) hands over or proves who somebody is. `key`, which much else is called,
/// counts by the words before it alone.
pub fn names_a_secret(name: &str) -> bool {
    words_in(name).any(is_secret_word) || without_signs(name, has_compound)
}

/// Whether the field of this name (in lower case) holds a token against forged writes: it says nothing of who reads, and
/// frameworks send it with all requests.
pub fn names_a_forgery_token(name: &str) -> bool {
    let contains = |name: &[u8]| {
        let of_forgery: [&[u8]; 5] = [
            b"csrf",
            b"xsrf",
            b"antiforgery",
            b"authenticitytoken",
            b"requestverificationtoken",
        ];
        (0..name.len()).any(|at| of_forgery.iter().any(|word| name[at..].starts_with(word)))
    };
    without_signs(name, contains)
}

/// The words between `-`, `_` and other signs.
pub fn words_in(name: &str) -> impl Iterator<Item = &str> {
    name.split(|letter: char| !letter.is_ascii_alphanumeric())
}

/// Words that say it by themselves, whatever stands beside them.
fn is_secret_word(word: &str) -> bool {
    matches!(
        word,
        "assertion"
            | "auth"
            | "authentication"
            | "cookie"
            | "cred"
            | "creds"
            | "dpop"
            | "jws"
            | "jwt"
            | "kerberos"
            | "oauth"
            | "oidc"
            | "otp"
            | "passport"
            | "saml"
            | "sess"
            | "session"
            | "sid"
            | "sso"
            | "ticket"
            | "totp"
    ) || word.ends_with("token")
}

/// Whether a name without its signs has words in it that say it together. By their first letters: most requests have some
/// fields that nothing is known of.
fn has_compound(name: &[u8]) -> bool {
    (0..name.len()).any(|at| {
        let rest = &name[at..];
        let compounds: &[&[u8]] = match rest[0] {
            b'a' => &[
                b"accesskey",
                b"accesstoken",
                b"apikey",
                b"apitoken",
                b"appkey",
                b"appsecret",
                b"authkey",
                b"authorization",
                b"authtoken",
            ],
            b'b' => &[b"bearer"],
            b'c' => &[b"clientcert", b"clientkey", b"credential"],
            b'i' => &[b"idtoken"],
            b'j' => &[b"jwt"],
            b'l' => &[b"loginkey"],
            b'p' => &[
                b"passcode",
                b"passphrase",
                b"passwd",
                b"password",
                b"privatekey",
            ],
            b'r' => &[b"refreshtoken"],
            b's' => &[
                b"secret",
                b"sessid",
                b"sessionid",
                b"sessionkey",
                b"sessiontoken",
                b"subscriptionkey",
            ],
            b'u' => &[b"userkey", b"usertoken"],
            b'w' => &[b"webtoken"],
            _ => &[],
        };
        compounds.iter().any(|compound| rest.starts_with(compound))
    })
}

/// What `is` says of the letters and digits of `name`.
fn without_signs(name: &str, is: impl Fn(&[u8]) -> bool) -> bool {
    let letters = name.bytes().filter(u8::is_ascii_alphanumeric);
    if name.len() > SHORT {
        return is(&letters.collect::<Vec<u8>>());
    }
    let (mut short, mut len) = ([0; SHORT], 0);
    for letter in letters {
        short[len] = letter;
        len += 1;
    }
    is(&short[..len])
}
