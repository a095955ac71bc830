//! Identity, access rules, pins and tests. The language is complete here; what the data plane
//! does not enforce yet is refused by the compiler (`MCPC6001`), never ignored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Glob, Secret, Url};

/// How callers prove who they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Callers that present a key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<ApiKey>,
    /// Issuers whose tokens are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<JwtIssuer>,
}

/// A key, by its hash, and the roles that it gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// The name of the principal.
    pub name: String,
    /// SHA-256 of the key, 64 hexadecimal digits.
    pub sha256: Secret,
    /// The roles of the principal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// An issuer of JSON Web Tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuer {
    /// The `iss` that tokens carry.
    pub issuer: Url,
    /// The `aud` that tokens must carry.
    pub audience: Audience,
    /// Where the issuer publishes its keys.
    pub jwks: Url,
    /// The claim that lists the roles, for example `claims.groups`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<String>,
}

/// The audience that a token must name.
pub type Audience = Url;

/// Who may use what: default deny, a deny always wins, order never matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One rule: `allow` or `deny` for roles, over `server/name` patterns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The roles that may; `*` is every role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// The roles that may not; `*` is every role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<String>>,
    /// Tools, as `server/pattern`, in the server's own names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Glob>,
    /// Prompts, as `server/pattern`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<Glob>,
    /// Resources, as `server/pattern`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Glob>,
    /// Only tools with these annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<AnnotationMatch>,
    /// A condition in CEL over `args`, `claims` and `headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// Tool annotations that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnotationMatch {
    /// `destructiveHint` of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// `readOnlyHint` of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// `idempotentHint` of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// `openWorldHint` of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}

/// What happens when a definition differs from `mcpc.lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// The reaction to a change.
    pub on_change: OnChange,
}

/// The reaction to a definition that differs from its pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// Calls are refused.
    Block,
    /// The definition is left out of lists.
    Hide,
    /// The change is logged.
    Warn,
}

/// One expectation about access and routing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The role that calls.
    #[serde(rename = "as")]
    pub role: String,
    /// The endpoint that is called. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The tool, as `server/name`.
    pub call: String,
    /// What must happen.
    pub expect: Verdict,
}

/// The outcome of an access decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The call goes through.
    Allowed,
    /// The call is refused.
    Denied,
}
