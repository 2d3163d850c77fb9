//! The flags of `emotion-llama serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::ConfigError;

/// Settings on the command line. Each overrules the file and the environment.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// A TOML file with settings; `--print-config` shows all of them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address to listen at [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<IpAddr>,
    /// The port to listen at [default: 7889]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// A second port with the same answers; the published FastAPI server's is 7887
    #[arg(long, value_name = "N")]
    pub fastapi_port: Option<u16>,
    /// Listen at a public address although nobody is asked for a key
    #[arg(long)]
    pub insecure: bool,
    /// A pack's name, or its directory [default: emotion-llama-mini]
    #[arg(long, value_name = "NAME|DIR")]
    pub pack: Option<String>,
    /// Threads of one analysis; 0 for one per processor
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Where it computes: `auto`, `cpu`, `cuda`, `cuda:NUMBER` or `cuda:UUID` [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Analyses that run side by side [default: 4]
    #[arg(long, value_name = "N")]
    pub running: Option<usize>,
    /// Analyses that wait; a further one is refused with 503 [default: 64]
    #[arg(long, value_name = "N")]
    pub waiting: Option<usize>,
    /// A directory below which clips may be named by path; may be given several times
    #[arg(long, value_name = "DIR")]
    pub media_root: Vec<PathBuf>,
    /// A file of hashed keys
    #[arg(long, value_name = "FILE")]
    pub keys_file: Option<PathBuf>,
    /// Calls of one address, for example 10/minute
    #[arg(long, value_name = "N/UNIT")]
    pub rate_limit: Option<String>,
    /// The certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// `text` or `json`
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Any other setting, for example `sessions.idle_s=60`; may be given several times
    #[arg(long, value_name = "SECTION.FIELD=VALUE")]
    pub set: Vec<String>,
    /// Print every setting as a file that can be given to --config, and stop
    #[arg(long)]
    pub print_config: bool,
}

impl Flags {
    /// What is given, as the name of the setting and its text.
    pub(super) fn values(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut values = Vec::new();
        let mut put = |name: &str, value: Option<String>| {
            values.extend(value.map(|value| (name.to_owned(), value)));
        };
        let path = |name: &str, path: &Option<PathBuf>| match path.as_deref().map(std::path::Path::to_str) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text.to_owned())),
            Some(None) => Err(ConfigError::new(format!("the path for {name} is not UTF-8; rename it"))),
        };
        put("listen.host", self.host.map(|host| host.to_string()));
        put("listen.port", self.port.map(|port| port.to_string()));
        put("listen.fastapi_port", self.fastapi_port.map(|port| port.to_string()));
        put("listen.insecure", self.insecure.then(|| "true".to_owned()));
        put("model.pack", self.pack.clone());
        put("model.threads", self.threads.map(|count| count.to_string()));
        put("model.device", self.device.clone());
        put("queue.running", self.running.map(|count| count.to_string()));
        put("queue.waiting", self.waiting.map(|count| count.to_string()));
        if !self.media_root.is_empty() {
            let roots: Option<Vec<&str>> = self.media_root.iter().map(|root| root.to_str()).collect();
            let roots = roots.ok_or_else(|| ConfigError::new("a --media-root is not UTF-8; rename the directory"))?;
            put("files.media_roots", Some(toml::Value::from(roots).to_string()));
        }
        put("access.keys_file", path("--keys-file", &self.keys_file)?);
        put("rates.per_address", self.rate_limit.clone());
        put("tls.certificate", path("--tls-certificate", &self.tls_certificate)?);
        put("tls.key", path("--tls-key", &self.tls_key)?);
        put("log.format", self.log_format.clone());
        for setting in &self.set {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            put(name, Some(value.to_owned()));
        }
        Ok(values)
    }
}
