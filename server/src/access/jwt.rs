//! OAuth 2.0 bearer tokens: JSON Web Tokens (RFC 7519) that the configured issuer signed for this server.
//!
//! A token says by itself with what it is signed; that is only ever compared with what is allowed: never `none`, never a symmetric method,
//! never a key that the token brings along or points to.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind as Fault;
use jsonwebtoken::{decode, decode_header, Algorithm, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::jwks::Issuer;
use crate::config::{self, ConfigError};

/// Longest token.
const LONGEST: usize = 8192;
/// Longest name that is made of a token's subject.
const LONGEST_NAME: usize = 64;
/// What may be signed with.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is wrong: 401.
    Invalid(&'static str),
    /// It is right and lacks the scope that this server asks for: 403.
    Scope(String),
    /// Nothing can be said, as the issuer's keys are not known: 503.
    NoKeys,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Invalid(why) => f.write_str(why),
            Refusal::Scope(scope) => write!(f, "the token does not hold the scope {scope}"),
            Refusal::NoKeys => f.write_str("the issuer's keys cannot be fetched at the moment; try again"),
        }
    }
}

/// What verifies tokens.
#[derive(Debug)]
pub struct Tokens {
    issuer: Issuer,
    expected: Validation,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    client_id: Option<String>,
    azp: Option<String>,
    scope: Option<Value>,
    scp: Option<Value>,
}

impl Tokens {
    /// As configured; None where no tokens are.
    ///
    /// # Errors
    /// Names the setting or the file that cannot be used.
    pub fn new(jwt: &config::Jwt) -> Result<Option<Self>, ConfigError> {
        let Some(issuer) = Issuer::new(jwt)? else { return Ok(None) };
        let missing = |name: &str| {
            ConfigError::new(format!("{name} is not set; without it, tokens that were made for others would be taken"))
        };
        let named = jwt.issuer.as_deref().ok_or_else(|| missing("jwt.issuer"))?;
        let audience = jwt.audience.as_deref().ok_or_else(|| missing("jwt.audience"))?;
        let mut expected = Validation::new(Algorithm::RS256);
        expected.algorithms = algorithms(&jwt.algorithms)?;
        expected.leeway = jwt.leeway_s;
        expected.validate_nbf = true;
        expected.set_issuer(&[named]);
        expected.set_audience(&[audience]);
        expected.set_required_spec_claims(&["exp", "iss", "aud"]);
        Ok(Some(Self { issuer, expected, scope: jwt.scope.clone() }))
    }

    /// Whether `text` has the shape of a token.
    pub fn is_shape(text: &str) -> bool {
        let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte));
        text.split('.').count() == 3 && text.split('.').all(is_part) && text.starts_with("ey")
    }

    /// Whom `token` names: `jwt:` and its subject.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn verify(&self, token: &str) -> Result<Arc<str>, Refusal> {
        const FORM: Refusal = Refusal::Invalid("the token is none that can be read");
        if token.len() > LONGEST {
            return Err(Refusal::Invalid("the token is too long"));
        }
        // One that is not known, `none` first of all, cannot be read as a header.
        let header = decode_header(token).map_err(|_| FORM)?;
        if !self.expected.algorithms.contains(&header.alg) {
            return Err(Refusal::Invalid("the token is signed with a method that this server does not take"));
        }
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: what is critical and not understood makes a token invalid; we understand none.
            return Err(Refusal::Invalid("the token asks for extensions that this server does not know"));
        }
        let keys = self.issuer.keys_with(header.kid.as_deref()).await;
        if keys.is_empty() {
            return Err(Refusal::NoKeys);
        }
        let expected = Validation { algorithms: vec![header.alg], ..self.expected.clone() };
        let mut refusal = Refusal::Invalid("the token is signed with a key that is not the issuer's");
        for candidate in keys.candidates(header.kid.as_deref(), header.alg) {
            match decode::<Claims>(token, &candidate.key, &expected) {
                Ok(data) => return self.name(&data.claims),
                Err(error) => match error.kind() {
                    Fault::InvalidSignature => refusal = Refusal::Invalid("the signature of the token is wrong"),
                    fault => return Err(Refusal::Invalid(reason(fault))),
                },
            }
        }
        Err(refusal)
    }

    /// Looks for other keys of the issuer.
    pub async fn refresh(&self) {
        self.issuer.refresh().await;
    }

    fn name(&self, claims: &Claims) -> Result<Arc<str>, Refusal> {
        if let Some(scope) = &self.scope {
            if ![&claims.scope, &claims.scp].into_iter().flatten().any(|held| holds(held, scope)) {
                return Err(Refusal::Scope(scope.clone()));
            }
        }
        let subject = [&claims.sub, &claims.client_id, &claims.azp].into_iter().flatten().find(|name| !name.is_empty());
        let subject = subject.ok_or(Refusal::Invalid("the token names nobody: it has no sub, client_id or azp"))?;
        Ok(plain_name(subject).into())
    }
}

/// A name that can be put into a log. Different subjects have different names.
fn plain_name(subject: &str) -> String {
    let is_plain = subject.len() <= LONGEST_NAME
        && subject.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@|:/+-".contains(&byte));
    if is_plain {
        format!("jwt:{subject}")
    } else {
        format!("jwt:#{}", &blake3::hash(subject.as_bytes()).to_hex()[..32])
    }
}

fn holds(held: &Value, scope: &str) -> bool {
    match held {
        Value::String(text) => text.split_ascii_whitespace().any(|word| word == scope),
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(scope)),
        _ => false,
    }
}

fn reason(fault: &Fault) -> &'static str {
    match fault {
        Fault::ExpiredSignature => "the token has expired",
        Fault::ImmatureSignature => "the token is not valid yet",
        Fault::InvalidIssuer => "the token is of another issuer",
        Fault::InvalidAudience => "the token is for another audience",
        Fault::MissingRequiredClaim(_) => "the token lacks exp, iss or aud",
        Fault::InvalidClaimFormat(_) => "a time in the token is no number",
        _ => "the token cannot be verified",
    }
}

fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, ConfigError> {
    let known = ALGORITHMS.map(|(name, _)| name).join(", ");
    if names.is_empty() {
        return Err(ConfigError::new(format!("jwt.algorithms is empty; give some of {known}")));
    }
    let find = |name: &String| {
        let found = ALGORITHMS.into_iter().find(|(known, _)| known == name);
        found.map(|(_, algorithm)| algorithm).ok_or_else(|| {
            ConfigError::new(format!("jwt.algorithms has {name:?}, which cannot be used; give some of {known}"))
        })
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_logs_are_plain_and_different() {
        assert_eq!(plain_name("user-7@example.org"), "jwt:user-7@example.org");
        let (one, two) = (plain_name("a\nb"), plain_name("a\rb"));
        assert!(one.starts_with("jwt:#") && one != two && !one.contains('\n'));
        assert_eq!(plain_name(&"x".repeat(1000)).len(), 37);
    }

    #[test]
    fn a_scope_is_held_in_a_text_or_a_list() {
        for (held, holds_it) in [
            (Value::from("openid emotion"), true),
            (Value::from("emotions emotio"), false),
            (serde_json::json!(["emotion"]), true),
            (serde_json::json!(["emotion openid"]), false),
            (serde_json::json!({"emotion": true}), false),
            (Value::Null, false),
        ] {
            assert_eq!(holds(&held, "emotion"), holds_it, "{held}");
        }
    }

    #[test]
    fn what_is_symmetric_or_unsigned_cannot_be_allowed() {
        for bad in ["none", "None", "HS256", "HS512", "", "rs256"] {
            assert!(algorithms(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(algorithms(&[]).is_err());
        let names = config::Jwt::default().algorithms;
        assert_eq!(algorithms(&names).unwrap(), ALGORITHMS.map(|(_, algorithm)| algorithm));
    }

    #[test]
    fn tokens_have_a_shape() {
        assert!(Tokens::is_shape("eyJh.eyJz.c2ln") && Tokens::is_shape("eyJh.eyJz."));
        for other in ["el_abc", "a.b.c", "eyJh.eyJz", "eyJh.e yJ.c", "eyJh.eyJz.c.d", ""] {
            assert!(!Tokens::is_shape(other), "{other}");
        }
    }
}
