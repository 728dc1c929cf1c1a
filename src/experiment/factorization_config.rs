//! `[factorization]`: how listening data becomes latent factors.

use std::borrow::Cow;
use std::path::PathBuf;

use models::factorization::wmf::WmfConfig;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// The keys of [`WmfConfig`], and `root`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table", into = "toml::Table")]
pub struct Factorization {
    /// Directory of existing factors, relative to `--data-dir`.
    pub root: Option<PathBuf>,
    /// The other keys, each with its default.
    pub config: WmfConfig,
}

impl TryFrom<toml::Table> for Factorization {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let root = match table.remove("root") {
            None => None,
            Some(toml::Value::String(root)) if !root.is_empty() => Some(PathBuf::from(root)),
            Some(other) => return Err(format!("root is {other}: name a directory of factors")),
        };
        // `root` must be among the keys that are suggested for a misspelt one.
        let config = WmfConfig::deserialize(table).map_err(|error| {
            error.message().replacen("expected one of ", "expected one of `root`, ", 1)
        })?;
        Ok(Self { root, config })
    }
}

impl From<Factorization> for toml::Table {
    fn from(factorization: Factorization) -> Self {
        let mut table =
            toml::Table::try_from(&factorization.config).expect("plain data becomes TOML");
        if let Some(root) = factorization.root {
            table.insert("root".into(), root.to_string_lossy().into_owned().into());
        }
        table
    }
}

impl JsonSchema for Factorization {
    fn schema_name() -> Cow<'static, str> {
        "Factorization".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        /// How listening data becomes latent factors (weighted matrix factorization).
        #[derive(JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code, reason = "describes the keys of a table")]
        struct Keys {
            /// Directory of factors that `tonotopy factorize` or another program computed, relative to
            /// `--data-dir`. With it, nothing is factorized, and only `alpha`, `epsilon` and `regularization` of
            /// the other keys are used.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            root: Option<PathBuf>,
            #[serde(flatten)]
            config: WmfConfig,
        }
        Keys::json_schema(generator)
    }
}
