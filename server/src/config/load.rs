//! From a file, the environment and flags to a [`Config`]: each may overrule the one before.

use std::fmt;
use std::path::Path;

use toml::{Table, Value};

use super::{Config, Flags};

/// What every variable begins with; then comes the section, `_`, and the field: `EMOTION_LLAMA_LISTEN_PORT`.
const VARIABLES: &str = "EMOTION_LLAMA_";

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    /// With one sentence for a person: what, where, what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The configuration that the flags' file (if they name one), then `variables`, then the flags give.
///
/// # Errors
/// Names the file, variable or flag, and what is wrong with it.
pub fn load(flags: &Flags, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    let mut table = match &flags.config {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    let mut variables: Vec<_> = variables.into_iter().filter(|(name, _)| name.starts_with(VARIABLES)).collect();
    variables.sort();
    let sections = defaults();
    for (name, value) in variables {
        let lower = name[VARIABLES.len()..].to_ascii_lowercase();
        // Others, such as EMOTION_LLAMA_PACKS, belong to the command; those that a cluster sets for a service name no section either.
        let Some((section, field)) = lower.split_once('_').filter(|(section, _)| sections.contains_key(*section))
        else {
            continue;
        };
        set(&mut table, section, field, &value);
        parse(table.clone(), &format!("the variable {name}"))?;
    }
    for (name, value) in flags.values()? {
        let (section, field) = name.split_once('.').ok_or_else(|| {
            ConfigError::new(format!("--set {name}={value}: {name:?} is no setting; write section.field=value"))
        })?;
        set(&mut table, section, field, &value);
        parse(table.clone(), &format!("the flag for {name}"))?;
    }
    let config = parse(table, "the configuration")?;
    config.validate()?;
    Ok(config)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let wrong = |why: String| ConfigError::new(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    parse(table.clone(), &path.display().to_string())?;
    Ok(table)
}

fn parse(table: Table, place: &str) -> Result<Config, ConfigError> {
    Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        ConfigError::new(format!(
            "{place}: {}; `emotion-llama serve --print-config` shows every setting",
            error.message()
        ))
    })
}

/// Every section with those of its fields that have a default.
fn defaults() -> Table {
    Table::try_from(Config::default()).unwrap_or_default()
}

/// Puts `text` at `section.field`, as what the default of that field is.
fn set(table: &mut Table, section: &str, field: &str, text: &str) {
    let usual = defaults().get(section).and_then(|fields| fields.get(field)).cloned();
    let value = match usual {
        Some(Value::String(_)) => Value::String(text.into()),
        Some(Value::Array(_)) if !text.trim_start().starts_with('[') => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.into())).collect())
        }
        // The other way round is an error of the types.
        Some(Value::Float(_)) => text.parse().map_or_else(|_| guess(text), Value::Float),
        _ => guess(text),
    };
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(fields) = section {
        fields.insert(field.into(), value);
    }
}

/// A number, a truth value or a list where it reads as one, else text.
fn guess(text: &str) -> Value {
    let whole: Option<Table> = format!("v = {}", text.trim()).parse().ok();
    match whole.and_then(|mut table| table.remove("v")) {
        Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_))) => value,
        _ => Value::String(text.into()),
    }
}

impl Config {
    /// All settings as the file that gives them; what is secret is not shown.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn flags_overrule_variables_and_variables_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "[listen]\nport = 1\ngrace_s = 5\nfastapi_port = 9\n[queue]\nrunning = 3").unwrap();
        let flags = Flags {
            config: Some(file.path().into()),
            port: Some(3),
            set: vec!["cache.bytes=7".into()],
            ..Flags::default()
        };
        let given = variables(&[
            ("EMOTION_LLAMA_LISTEN_PORT", "2"),
            ("EMOTION_LLAMA_LISTEN_GRACE_S", "6"),
            ("EMOTION_LLAMA_FILES_MEDIA_ROOTS", "/a,/b"),
            ("EMOTION_LLAMA_ACCESS_KEYS", "12345"),
            ("EMOTION_LLAMA_API_KEY", "of the client"),
            ("EMOTION_LLAMA_PORT_7889_TCP", "tcp://10.0.0.1:7889"),
            ("PATH", "/bin"),
        ]);
        let config = load(&flags, given).unwrap();
        assert_eq!((config.listen.port, config.listen.grace_s, config.listen.fastapi_port), (3, 6.0, Some(9)));
        assert_eq!((config.queue.running, config.cache.bytes), (3, 7));
        assert_eq!(config.files.media_roots, ["/a", "/b"].map(std::path::PathBuf::from));
        assert_eq!(config.access.keys[0].reveal(), "12345");
    }

    #[test]
    fn what_is_not_known_or_of_another_type_is_named() {
        for (name, value, told) in [
            ("EMOTION_LLAMA_LISTEN_PROT", "1", "EMOTION_LLAMA_LISTEN_PROT"),
            ("EMOTION_LLAMA_LISTEN_PORT", "many", "EMOTION_LLAMA_LISTEN_PORT"),
            ("EMOTION_LLAMA_LISTEN_PORT", "70000", "EMOTION_LLAMA_LISTEN_PORT"),
            ("EMOTION_LLAMA_QUEUE_RUNNING", "0", "queue.running"),
            ("EMOTION_LLAMA_LIMITS_IDLE_S", "nan", "limits.idle_s"),
            ("EMOTION_LLAMA_TLS_KEY", "/key.pem", "tls.certificate"),
        ] {
            let error = load(&Flags::default(), variables(&[(name, value)])).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let flags = Flags { set: vec!["port".into()], ..Flags::default() };
        assert!(load(&flags, []).unwrap_err().to_string().contains("section.field=value"));
    }

    #[test]
    fn a_public_address_wants_credentials_or_the_word_that_it_needs_none() {
        let public = [("EMOTION_LLAMA_LISTEN_HOST", "0.0.0.0")];
        let error = load(&Flags::default(), variables(&public)).unwrap_err().to_string();
        assert!(error.contains("--insecure"), "{error}");
        let insecure = Flags { insecure: true, ..Flags::default() };
        assert!(load(&insecure, variables(&public)).is_ok());
        let keys = [public[0], ("EMOTION_LLAMA_ACCESS_KEYS", "k")];
        assert!(load(&Flags::default(), variables(&keys)).is_ok());
    }

    #[test]
    fn the_printed_configuration_is_read_again_and_shows_no_secret() {
        let given =
            variables(&[("EMOTION_LLAMA_ACCESS_KEYS", "geheim"), ("EMOTION_LLAMA_CACHE_REDIS_URL", "redis://:pw@h")]);
        let config = load(&Flags::default(), given).unwrap();
        let text = config.to_toml();
        assert!(!text.contains("geheim") && !text.contains("pw@"), "{text}");
        let again: Config = toml::from_str(&text).unwrap();
        assert_eq!(again.to_toml(), text);
        assert!(!format!("{config:?}").contains("geheim"));
    }
}
