//! Listeners and endpoints: where clients and operators connect, and what an endpoint selects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Address, Host};

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port, for example `127.0.0.1:8080` or `[::1]:8080`. Port 0 picks a free one.
    #[serde(default = "Listen::default_address")]
    pub address: Address,

    /// Serve HTTPS with this certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// Host names that `Host` and `Origin` may carry, besides the loopback names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,

    /// Let callers in without identity although the address is not a loopback address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_anonymous: bool,
}

impl Listen {
    fn default_address() -> Address {
        Address::trusted("127.0.0.1:8080")
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: Self::default_address(),
            tls: None,
            hosts: Vec::new(),
            allow_anonymous: false,
        }
    }
}

/// A certificate chain and its private key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate chain, leaf first.
    pub certificate: String,
    /// PEM file with the private key.
    pub key: String,
}

/// Where operators connect. Must be a loopback address unless `allow_anonymous` is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address and port of the health and status pages.
    #[serde(default = "Admin::default_address")]
    pub address: Address,

    /// Serve the admin pages on an address that is not a loopback address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_anonymous: bool,
}

impl Admin {
    fn default_address() -> Address {
        Address::trusted("127.0.0.1:8081")
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: Self::default_address(),
            allow_anonymous: false,
        }
    }
}

/// A path that clients connect to, and the servers behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The path, for example `/mcp`.
    #[schemars(regex(pattern = r"^/[A-Za-z0-9._~/-]{0,255}$"))]
    pub path: String,

    /// The servers that this endpoint exposes, in the order of its lists. Absent: all, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<String>>,

    /// Put in front of every tool and prompt name; `{server}` stands for the server's name.
    /// Absent: `{server}__` if the endpoint has more than one server, otherwise nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([A-Za-z0-9_.-]|\{server\}){0,64}$"))]
    pub prefix: Option<String>,

    /// Text that clients show to the model as the server's instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub instructions: Option<String>,

    /// A ceiling for the size of the tool surface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// A ceiling for what the tool definitions of an endpoint cost in a model's context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The largest number of tokens.
    #[schemars(range(min = 1))]
    pub tokens: u64,
}
