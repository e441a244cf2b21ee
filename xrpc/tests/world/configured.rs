//! What an operator decides, where a test does not say otherwise.

use murmuration_xrpc::Config;
use murmuration_xrpc::config::ConfigError;

use super::{MOD_SERVICE, PLC};

pub fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read(|name| {
        if let Some((_, value)) = variables.iter().find(|(known, _)| *known == name) {
            return Some((*value).to_owned());
        }
        let value = match name {
            "PDS_HOSTNAME" => "pds.example",
            "PUBLIC_URL" => "https://pds.example",
            "PLC_URL" => PLC,
            "USER_DOMAINS" => ".test",
            "REFUSED_WORDS" => "weasel",
            "MOD_SERVICE_DID" => MOD_SERVICE,
            "JWT_SECRET" => "a secret of sixteen bytes or more",
            "ADMIN_PASSWORD" => "admin",
            "KEK" | "PLC_ROTATION_KEY" => "0101010101010101010101010101010101010101010101010101010101010101",
            _ => return None,
        };
        Some(value.to_owned())
    })
}
