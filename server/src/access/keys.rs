//! API keys: hashed where they are kept, compared in constant time.
//!
//! The file is TOML, made by `emotion-llama keys`:
//!
//! ```toml
//! [[keys]]
//! name = "kiosk-3"                  # for logs
//! hash = "sha256:9f0c…:5d41…"       # of salt and key
//! rate = "100/minute"               # optional
//! rights = ["analyze", "metrics"]   # optional; these are all
//! ```
//!
//! A fast hash is right here: a key that this program makes has 256 random bits, which nobody tries out. Keys of people's own making are
//! taken from 16 characters on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::rates::Rate;
use crate::config::{self, ConfigError, Secret};

/// What keys that are made here begin with, so that they are recognised where they should not be.
const PREFIX: &str = "el_";
/// Shortest key that is hashed.
const SHORTEST: usize = 16;
/// Longest key.
const LONGEST: usize = 512;
/// Longest name.
const LONGEST_NAME: usize = 64;
/// Most keys of a file: each of them is compared with what is sent.
const MOST: usize = 4096;
/// What a file's hash begins with.
const METHOD: &str = "sha256";

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Everything but `/metrics`.
    Analyze,
    /// `/metrics`.
    Metrics,
}

/// Who holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name for logs.
    pub name: Arc<str>,
    /// How often it may call; None for what the configuration says.
    pub rate: Option<Rate>,
    rights: Vec<Right>,
}

impl Holder {
    /// Somebody who may do everything.
    pub fn new(name: Arc<str>, rate: Option<Rate>) -> Self {
        Self { name, rate, rights: vec![Right::Analyze, Right::Metrics] }
    }

    /// Whether the key has a right.
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// SHA-256 of a salt and a key. It has no `==` outside of tests: that would stop at the first byte that differs.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq))]
pub struct Hash {
    salt: [u8; 16],
    digest: [u8; 32],
}

impl Hash {
    /// Of `key`, with a new salt.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn of(key: &[u8]) -> Result<Self, ConfigError> {
        let salt = random()?;
        Ok(Self { salt, digest: digest(&salt, key) })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (method, salt, digest) = (parts.next()?, parts.next()?, parts.next()?);
        let is_whole = method == METHOD && parts.next().is_none();
        Some(Self { salt: unhex(salt)?, digest: unhex(digest)? }).filter(|_| is_whole)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{METHOD}:{}:{}", hex(&self.salt), hex(&self.digest))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(hidden)")
    }
}

/// A set of keys.
#[derive(Debug, Default)]
struct Ring(Vec<(Hash, Arc<Holder>)>);

impl Ring {
    /// Compares with every key, and every byte of each, so that neither says where it was different.
    fn find(&self, key: &[u8]) -> Option<Arc<Holder>> {
        let mut found = 0u64;
        for (number, (hash, _)) in (1u64..).zip(&self.0) {
            let is_equal = digest(&hash.salt, key).ct_eq(&hash.digest);
            found.conditional_assign(&number, is_equal);
        }
        let index = usize::try_from(found.checked_sub(1)?).ok()?;
        self.0.get(index).map(|(_, holder)| Arc::clone(holder))
    }
}

/// All keys: those of the configuration, and those of the file as it is now.
#[derive(Debug)]
pub struct Keys {
    given: Ring,
    path: Option<PathBuf>,
    file: ArcSwap<(Ring, Option<SystemTime>)>,
}

impl Keys {
    /// As configured.
    ///
    /// # Errors
    /// Names the file or the key that cannot be used.
    pub fn new(access: &config::Access) -> Result<Self, ConfigError> {
        let given = access.keys.iter().zip(1..).map(|(key, number): (&Secret, usize)| {
            let key = key.reveal().as_bytes();
            if key.is_empty() || key.len() > LONGEST || !key.iter().all(u8::is_ascii_graphic) {
                return Err(ConfigError::new(format!(
                    "access.keys: key {number} cannot be sent in a header; give 1 to {LONGEST} printable ASCII characters without spaces"
                )));
            }
            Ok((Hash::of(key)?, Arc::new(Holder::new(format!("key-{number}").into(), None))))
        });
        let given = Ring(given.collect::<Result<_, _>>()?);
        let file = match &access.keys_file {
            Some(path) => (read(path)?, changed(path)),
            None => (Ring::default(), None),
        };
        Ok(Self { given, path: access.keys_file.clone(), file: ArcSwap::from_pointee(file) })
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.path.is_none() && self.given.0.is_empty()
    }

    /// Who holds `key`.
    pub fn find(&self, key: &[u8]) -> Option<Arc<Holder>> {
        if key.is_empty() || key.len() > LONGEST {
            return None;
        }
        let (given, file) = (self.given.find(key), self.file.load().0.find(key));
        given.or(file)
    }

    /// Reads the file again if it was changed. Where it cannot be used, the keys that were read last stay.
    pub fn refresh(&self) {
        let Some(path) = &self.path else { return };
        let time = changed(path);
        if time == self.file.load().1 {
            return;
        }
        match read(path) {
            Ok(ring) => {
                tracing::info!(keys = ring.0.len(), "the file of keys was read again");
                self.file.store(Arc::new((ring, time)));
            }
            Err(error) => {
                tracing::error!(%error, "the file of keys was changed and cannot be used; the keys before stay")
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    keys: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    hash: String,
    rate: Option<String>,
    rights: Option<Vec<Right>>,
}

fn read(path: &Path) -> Result<Ring, ConfigError> {
    let wrong = |why: String| ConfigError::new(format!("the file of keys {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    parse(&text).map_err(wrong)
}

fn parse(text: &str) -> Result<Ring, String> {
    // The message alone: the rest shows lines of the file.
    let file: File = toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())?;
    if file.keys.len() > MOST {
        return Err(format!(
            "there are {} keys; at most {MOST} can be used, give tokens (jwt) to more callers",
            file.keys.len()
        ));
    }
    let mut ring = Ring::default();
    for entry in file.keys {
        let name = check_name(&entry.name)?;
        if ring.0.iter().any(|(_, holder)| holder.name.as_ref() == name) {
            return Err(format!("the name {name} is there twice; give each key its own"));
        }
        let hash = Hash::parse(&entry.hash)
            .ok_or_else(|| format!("the hash of {name} is none; make one with `emotion-llama keys`"))?;
        let rate =
            entry.rate.as_deref().map(Rate::parse).transpose().map_err(|why| format!("the rate of {name}: {why}"))?;
        let mut holder = Holder::new(name.into(), rate);
        if let Some(rights) = entry.rights {
            holder.rights = rights;
        }
        ring.0.push((hash, Arc::new(holder)));
    }
    Ok(ring)
}

/// The names that are put into logs and files.
fn check_name(name: &str) -> Result<&str, String> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte));
    if is_plain && (1..=LONGEST_NAME).contains(&name.len()) {
        return Ok(name);
    }
    Err(format!("{name:?} is no name of a key; give 1 to {LONGEST_NAME} letters, digits, '.', '_', '@' and '-'"))
}

/// A new key with 256 random bits.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_key() -> Result<String, ConfigError> {
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

/// What the file of keys says of `key`.
///
/// # Errors
/// Says what is wrong with the key, the name or the rate.
pub fn entry(name: &str, key: &str, rate: Option<&str>) -> Result<String, ConfigError> {
    let name = check_name(name).map_err(ConfigError::new)?;
    if !(SHORTEST..=LONGEST).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ConfigError::new(format!(
            "the key cannot be used; give {SHORTEST} to {LONGEST} printable ASCII characters without spaces"
        )));
    }
    let mut text = format!("[[keys]]\nname = {name:?}\nhash = \"{}\"\n", Hash::of(key.as_bytes())?);
    if let Some(rate) = rate {
        Rate::parse(rate).map_err(ConfigError::new)?;
        text.push_str(&format!("rate = {:?}\n", rate.trim()));
    }
    Ok(text)
}

/// Adds an entry to the file at `path`, which is made for this user alone where there is none.
///
/// # Errors
/// Says why the file cannot be used; it is as it was then.
pub fn append(path: &Path, entry: &str) -> Result<(), ConfigError> {
    let wrong = |why: String| ConfigError::new(format!("the file of keys {}: {why}", path.display()));
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
    };
    let gap = if before.is_empty() || before.ends_with("\n\n") {
        ""
    } else if before.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let text = format!("{before}{gap}{entry}");
    parse(&text).map_err(wrong)?;
    // A server that reads it meanwhile finds the old or the new one, and never a half.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        if let Ok(metadata) = std::fs::metadata(path) {
            file.as_file().set_permissions(metadata.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok::<_, std::io::Error>(())
    };
    write().map_err(|error| wrong(format!("cannot be written: {error}")))
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn digest(salt: &[u8; 16], key: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(key).finalize().into()
}

fn random<const N: usize>() -> Result<[u8; N], ConfigError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| ConfigError::new(format!("the system gives no random numbers: {error}")))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(file: &Path) -> Result<Keys, ConfigError> {
        Keys::new(&config::Access {
            keys_file: Some(file.into()),
            keys: vec!["clear".into()],
            ..config::Access::default()
        })
    }

    #[test]
    fn a_key_is_found_by_its_hash_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let (one, two) = (new_key().unwrap(), new_key().unwrap());
        assert!(one.starts_with("el_") && one.len() == 46 && one != two);
        append(&path, &entry("one", &one, Some("3/minute")).unwrap()).unwrap();
        append(&path, &entry("two", &two, None).unwrap()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&one) && !text.contains(&two), "{text}");
        let keys = keys(&path).unwrap();
        let holder = keys.find(one.as_bytes()).unwrap();
        assert_eq!((holder.name.as_ref(), holder.rate), ("one", Some(Rate::parse("3/minute").unwrap())));
        assert_eq!(keys.find(two.as_bytes()).unwrap().name.as_ref(), "two");
        assert_eq!(keys.find(b"clear").unwrap().name.as_ref(), "key-1");
        let long = format!("{one}{}", "x".repeat(LONGEST));
        for wrong in ["", "one", "el_", &one[1..], &format!("{one} "), &one.to_uppercase(), &long] {
            assert!(keys.find(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(!format!("{keys:?}").contains(&hex(&keys.file.load().0 .0[0].0.digest)));
    }

    #[test]
    fn the_same_key_has_another_hash_each_time() {
        assert_ne!(Hash::of(b"same").unwrap(), Hash::of(b"same").unwrap());
        let hash = Hash::of(b"same").unwrap();
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        let (old, new) = (new_key().unwrap(), new_key().unwrap());
        append(&path, &entry("old", &old, None).unwrap()).unwrap();
        let keys = keys(&path).unwrap();
        let put = |text: &str, seconds: u64| {
            std::fs::write(&path, text).unwrap();
            let time = SystemTime::now() + std::time::Duration::from_secs(seconds);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            keys.refresh();
        };
        put("[[keys]]\nname = ", 10);
        assert!(keys.find(old.as_bytes()).is_some());
        put(&entry("new", &new, None).unwrap(), 20);
        assert!(keys.find(old.as_bytes()).is_none() && keys.find(new.as_bytes()).is_some());
        std::fs::remove_file(&path).unwrap();
        keys.refresh();
        assert!(keys.find(new.as_bytes()).is_some());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let good = entry("a", &new_key().unwrap(), None).unwrap();
        for (text, told) in [
            (good.replace("\"a\"", "\"a b\""), "no name"),
            (good.replace("\"a\"", "\"\""), "no name"),
            (format!("{good}{good}"), "twice"),
            (good.replace("sha256:", "md5:"), "hash of a"),
            (good.replace("sha256:", "sha256:é"), "hash of a"),
            (format!("{good}rate = \"fast\""), "rate of a"),
            (format!("{good}rights = [\"all\"]"), "all"),
            (format!("{good}right = 1"), "right"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        for (name, key, rate) in [
            ("a b", "0123456789abcdef", None),
            ("a", "short", None),
            ("a", "0123456789 abcdef", None),
            ("a", "0123456789abcdef", Some("x")),
        ] {
            assert!(entry(name, key, rate).is_err(), "{name} {key}");
        }
        let metrics = parse(&format!("{good}rights = [\"metrics\"]")).unwrap();
        assert!(metrics.0[0].1.may(Right::Metrics) && !metrics.0[0].1.may(Right::Analyze));
    }
}
