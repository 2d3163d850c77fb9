//! Tokens of an issuer of our own, good ones and bad ones.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use emotion_llama_server::config::Config;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{encode, Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData};
use rsa::pkcs1::EncodeRsaPrivateKey;
use serde_json::{json, Value};

/// Who signs.
pub const ISSUER: &str = "https://issuer.example";
/// For whom.
pub const AUDIENCE: &str = "emotion-llama";

/// A key that signs, and what the issuer tells of it.
pub struct Signer {
    /// Its name.
    pub id: &'static str,
    /// The method.
    pub algorithm: Algorithm,
    /// The private key.
    pub key: EncodingKey,
    /// The public key.
    pub jwk: Value,
}

/// An RSA key called `rsa`.
pub fn rsa() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| rsa_of(2048, "rsa"))
}

/// An RSA key of so many bits.
pub fn rsa_of(bits: usize, id: &'static str) -> Signer {
    let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap();
    let key = EncodingKey::from_rsa_der(private.to_pkcs1_der().unwrap().as_bytes());
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap()).unwrap();
    jwk["kid"] = id.into();
    jwk["use"] = "sig".into();
    Signer { id, algorithm: Algorithm::RS256, key, jwk }
}

/// A P-256 key called `ec`.
pub fn ec() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let point = pair.der_bytes();
        let (x, y) = (base64(&point[1..33]), base64(&point[33..65]));
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "ec"});
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Signer { id: "ec", algorithm: Algorithm::ES256, key, jwk }
    })
}

/// An Ed25519 key called `ed`.
pub fn ed() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64(pair.der_bytes()), "kid": "ed", "alg": "EdDSA"});
        let key = EncodingKey::from_ed_der(&pair.serialize_der());
        Signer { id: "ed", algorithm: Algorithm::EdDSA, key, jwk }
    })
}

/// What the issuer publishes: the three keys, one for encryption, one of a kind that nobody knows, and one that is no secret.
pub fn jwks() -> Value {
    let mut encryption = rsa().jwk.clone();
    (encryption["kid"], encryption["use"]) = ("enc".into(), "enc".into());
    let strange = json!({"kty": "XYZ", "kid": "strange", "q": 7});
    let symmetric = json!({"kty": "oct", "k": base64(b"no secret at all"), "kid": "oct", "alg": "HS256"});
    json!({"keys": [strange, symmetric, encryption, rsa().jwk, ec().jwk, ed().jwk]})
}

/// Makes `config` take tokens of the issuer, whose keys lie in a file in `dir`.
pub fn take(config: &mut Config, dir: &Path) {
    let path = dir.join("jwks.json");
    std::fs::write(&path, jwks().to_string()).unwrap();
    config.jwt.jwks_file = Some(path);
    config.jwt.issuer = Some(ISSUER.into());
    config.jwt.audience = Some(AUDIENCE.into());
}

/// Seconds since 1970, and so many more.
pub fn in_seconds(more: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + more
}

/// Claims that are taken.
pub fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": in_seconds(600), "nbf": in_seconds(-5)})
}

/// Those claims with `change`.
pub fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

/// A token of `claims`.
pub fn token(signer: &Signer, claims: &Value) -> String {
    let header = Header { kid: Some(signer.id.into()), ..Header::new(signer.algorithm) };
    encode(&header, claims, &signer.key).unwrap()
}

/// A token with a header that no library writes, signed by `sign` where it is signed at all.
pub fn raw(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", base64(&signature))
}

/// `text` in the alphabet of tokens.
pub fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Every bad token with what is wrong with it. All get 401.
pub fn bad_tokens() -> Vec<(&'static str, String)> {
    let rsa = rsa();
    let good = token(rsa, &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let stranger = rsa_of(2048, "rsa");
    let unknown = rsa_of(2048, "unknown");
    let none = |alg: &str| raw(&json!({"alg": alg, "typ": "JWT"}), &claims(), |_| Vec::new());
    // The public key as a secret: what makes verifiers that trust the header's method take a forged token.
    let public = rsa.jwk["n"].as_str().unwrap().as_bytes();
    let symmetric = |kid: &str, secret: &[u8]| {
        let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap()
    };
    let with_header = |change: &dyn Fn(&mut Header)| {
        let mut header = Header { kid: Some("rsa".into()), ..Header::new(Algorithm::RS256) };
        change(&mut header);
        encode(&header, &claims(), &rsa.key).unwrap()
    };
    let carried = {
        let mut header = Header::new(Algorithm::RS256);
        header.jwk = serde_json::from_value(stranger.jwk.clone()).ok();
        encode(&header, &claims(), &stranger.key).unwrap()
    };
    let claim = |change: &dyn Fn(&mut Value)| token(rsa, &changed(change));
    let other_claims = base64(changed(|claims| claims["sub"] = "admin".into()).to_string().as_bytes());
    vec![
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg nOnE", none("nOnE")),
        ("no alg", raw(&json!({"typ": "JWT"}), &claims(), |_| Vec::new())),
        ("another key under the same name", token(&stranger, &claims())),
        ("a key that is not known", token(&unknown, &claims())),
        ("a key that the token brings along", carried),
        ("the public key as a secret", symmetric("rsa", public)),
        ("the symmetric key of the set", symmetric("oct", b"no secret at all")),
        ("a key for encryption", with_header(&|header| header.kid = Some("enc".into()))),
        ("another kind of key under that name", with_header(&|header| header.kid = Some("ec".into()))),
        ("critical extensions", with_header(&|header| header.crit = Some(vec!["b64".into()]))),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("other claims", format!("{}.{other_claims}.{}", parts[0], parts[2])),
        ("expired", claim(&|claims| claims["exp"] = in_seconds(-120).into())),
        ("never expires", claim(&|claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("a time that is no number", claim(&|claims| claims["exp"] = "tomorrow".into())),
        ("not valid yet", claim(&|claims| claims["nbf"] = in_seconds(120).into())),
        ("another audience", claim(&|claims| claims["aud"] = "another".into())),
        ("no audience", claim(&|claims| drop(claims.as_object_mut().unwrap().remove("aud")))),
        ("another issuer", claim(&|claims| claims["iss"] = "https://evil.example".into())),
        ("no issuer", claim(&|claims| drop(claims.as_object_mut().unwrap().remove("iss")))),
        ("nobody", claim(&|claims| drop(claims.as_object_mut().unwrap().remove("sub")))),
        ("claims that are no object", raw(&json!({"alg": "RS256", "kid": "rsa"}), &json!([1]), |_| vec![0; 256])),
        ("a header that is no JSON", format!("eyJ.{}.{}", parts[1], parts[2])),
        ("four parts", format!("{good}.x")),
        ("too long", format!("{good}{}", "A".repeat(9000))),
    ]
}
