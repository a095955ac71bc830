//! The registry of codes. Append-only: a code is never renumbered and never reused.
//!
//! The first digit names where the code comes from: 0 the tool itself, 1 parse, 2 expand, 3 shape,
//! 4 decode, 5 resolve, 6 check, 7 what servers say when they are asked, 8 plan loading, 9 the data plane's own replies. Each code has a
//! page `docs/errors/CODE.md`, built into the binary for `mcpc explain`.

#![expect(
    clippy::zero_prefixed_literal,
    reason = "a code has four digits, and its page is found by them"
)]

use crate::diagnostic::Code;

/// A code, its title and its page.
#[derive(Clone, Copy, Debug)]
pub struct CodeEntry {
    /// The code.
    pub code: Code,
    /// The code as it is written.
    pub name: &'static str,
    /// The title, as it stands in the index.
    pub title: &'static str,
    /// The page, in Markdown.
    pub page: &'static str,
}

/// The entry of a code.
pub fn code_entry(code: Code) -> Option<&'static CodeEntry> {
    CODES.iter().find(|entry| entry.code == code)
}

/// Declares each code once: name in the code, number, title; the page is found by the number.
macro_rules! codes {
    ($($name:ident $number:literal $title:literal)*) => {
        $(
            #[doc = $title]
            pub(crate) const $name: Code = Code($number);
        )*

        /// Every code there is, sorted.
        pub const CODES: &[CodeEntry] = &[$(CodeEntry {
            code: $name,
            name: concat!("MCPC", stringify!($number)),
            title: $title,
            page: include_str!(concat!("../../docs/errors/MCPC", stringify!($number), ".md")),
        }),*];
    };
}

codes! {
    FILE_MISSING 0001 "there is no such file"
    FILE_IS_DIRECTORY 0002 "a directory is given where a file is needed"
    FILE_UNREADABLE 0003 "the file cannot be read"
    OUTPUT_UNWRITABLE 0004 "the output cannot be written"
    CREDENTIALS_UNUSABLE 0005 "the credentials file cannot be used"
    URL_UNREADABLE 0006 "the URL cannot be read"
    DIRECTORY_EMPTY 0007 "there is no configuration in the directory"
    NOT_COMPILED 0008 "the configuration was not compiled"
    SYNTAX 1001 "the text is not valid YAML"
    NOT_UTF8 1002 "the text is not valid UTF-8"
    CONTROL_CHARACTER 1003 "the text contains a control character"
    TOO_LARGE 1004 "the text is too large"
    EMPTY 1005 "the text holds no configuration"
    SEVERAL_DOCUMENTS 1006 "the text holds more than one document"
    TAB 1007 "a tab is used where YAML wants spaces"
    DUPLICATE_KEY 1008 "a key is given twice"
    KEY_NOT_TEXT 1009 "a key is not text"
    TOO_DEEP 1010 "lists and maps lie too deep"
    TOO_MANY_NODES 1011 "the text has too many values"
    ALIAS_BUDGET 1012 "aliases stand for too many values"
    UNKNOWN_ALIAS 1013 "an alias names no anchor"
    ANCHOR_IN_ITSELF 1014 "an anchor contains itself"
    MERGE_OF_NO_MAP 1015 "something that is not a map is merged"
    TAG 1016 "a YAML tag is used"
    DIRECTIVE 1017 "a YAML directive is used"
    NOT_FINITE 1018 "a number is not finite"

    PLACEHOLDER 2001 "a placeholder is not well formed"
    UNSET 2002 "a variable is not set"
    VAULT 2003 "values from a vault are not supported"
    FILE_OUTSIDE_SECRET 2004 "only a secret can come from a file"
    STRAY_DOLLAR 2005 "a dollar sign starts no placeholder"
    TOO_MANY_PLACEHOLDERS 2006 "the text has too many placeholders"
    SECRET_WITHOUT_VALUE 2007 "a secret has no value"

    UNKNOWN_KEY 3001 "a key is not known"
    MISSING_KEY 3002 "a key is missing"
    WRONG_TYPE 3003 "a value has the wrong type"
    CHOICE 3004 "a value is not one of the choices"
    OUT_OF_RANGE 3005 "a number is out of range"
    LENGTH 3006 "a value is empty or too long"
    BAD_NAME 3007 "a name has characters that are not allowed"
    FORM 3008 "a text does not have the allowed form"
    SHAPELESS_SERVER 3009 "a server does not say how it is reached"
    SERVER_OF_TWO_SHAPES 3010 "a server says in two ways how it is reached"
    LOOK_ALIKE 3011 "a text looks like something else to other tools"
    VERSION 3012 "the version of the language is not known"
    PLAN_GIVEN 3013 "a plan is given where a configuration is needed"

    DURATION 4001 "not a duration"
    SIZE 4002 "not a size"
    RATE 4003 "not a rate"
    PERCENT 4004 "not a share"
    ADDRESS 4005 "not an address to listen on"
    URL 4006 "not a URL"
    GLOB 4007 "not a pattern"
    HOST 4008 "not a host name"
    NOT_DECODED 4009 "a sound configuration cannot be decoded"

    UNKNOWN_SERVER 5001 "a name refers to no server"
    DUPLICATE_SERVER 5002 "a server is listed twice in one endpoint"
    DUPLICATE_PATH 5003 "two endpoints have the same path"
    UNKNOWN_ROLE 5004 "a name refers to no role"
    UNKNOWN_ENDPOINT 5005 "a name refers to no endpoint"
    TARGET_WITHOUT_SERVER 5006 "a rule or test does not say which server it means"
    TOO_MANY_EXPOSED 5007 "the endpoints expose too much"

    NOT_SUPPORTED_YET 6001 "something is not supported yet"
    NAME_OF_TWO_SERVERS 6002 "two servers expose the same name"
    UNDECIDABLE_SERVERS 6003 "a name could belong to two servers"
    UNDECIDABLE_NAME 6004 "a known name could also come from another server"
    SAME_TO_CLIENTS 6005 "two tool names are the same to some clients"
    NAME_TOO_LONG 6006 "a tool name is too long for some clients"
    PREFIX_TOO_LONG 6007 "a prefix leaves little room for names"
    REDUNDANT_PATTERN 6008 "a pattern is covered by another one"
    ALLOWED_AND_DENIED 6009 "a name is allowed and denied"
    NEEDLESS_DENY 6010 "a deny takes nothing away"
    RENAME_OF_HIDDEN 6011 "a name that is not exposed has a new name"
    SERVER_EXPOSES_NOTHING 6012 "a server exposes nothing"
    NEW_NAME_TWICE 6013 "two names of one server become the same"
    RENAME_CHAIN 6014 "a new name is the own name of something else"
    UNUSED_SERVER 6015 "a server is in no endpoint"
    EMPTY_ENDPOINT 6016 "an endpoint has no server"
    TOO_MANY_PATTERNS 6017 "a list has too many patterns with a star"
    PREFIX_SAYS_NONE 6018 "a prefix reads as if there were none"
    RULE_WITHOUT_EFFECT 6020 "a rule does not say whether it allows or denies"
    GRANTS_NOTHING 6021 "a rule is about nothing"
    SHADOWED_RULE 6022 "a rule never applies"
    MISPLACED_SECRET 6030 "a secret would stand in the plan"
    LITERAL_CREDENTIAL 6031 "a credential is written in plain text"
    CREDENTIAL_IN_THE_CLEAR 6032 "a credential is sent unencrypted"
    CREDENTIAL_TO_TWO_HOSTS 6033 "one credential goes to two hosts"
    OWNED_HEADER 6034 "a header belongs to the gateway"
    HEADER_TWICE 6035 "a header is given twice"
    PART_LONGER_THAN_TOTAL 6040 "a part of a call may take longer than the whole"
    ZERO_DURATION 6041 "a time is zero"
    BACKOFF_SHRINKS 6042 "the first pause is longer than the longest one"
    START_OUTLASTS_CALL 6043 "a call may end before its server has started"
    OUT_OF_BOUNDS 6050 "a bound is larger or smaller than a plan can hold"
    OPEN_LISTENER 6060 "a listener lets other machines in without identity"
    NO_HOSTS 6061 "an open listener accepts no host name"
    NEEDLESS_ANONYMOUS 6062 "a permission is given that is not needed"
    SAME_PORT 6063 "two listeners use the same port"
    UNREACHABLE_PATH 6064 "the path of an endpoint cannot be reached"
    REPLICA_TWICE 6070 "a replica is listed twice"
    ONLY_BACKUPS 6071 "every replica is a backup"
    NO_EFFECT 6072 "a setting has no effect"
    COMMAND_LINE 6073 "a command holds its arguments"

    SERVER_UNUSABLE 7001 "a server cannot be used"
    LIST_NOT_GIVEN 7002 "a server does not list what it has"
    NAME_NOT_THERE 7003 "a server does not have what a name stands for"
    PATTERN_WITHOUT_NAME 7004 "a pattern matches nothing that a server has"
    HIDDEN_NAME 7005 "something that a server has is hidden"
    RESOURCE_OF_TWO_SERVERS 7006 "two servers have the same resource"
    REPLICAS_DIFFER 7007 "replicas of a server have different things"
    LIST_CUT 7008 "a server lists more than a gateway takes"

    PLAN_NOT_JSON 8001 "a plan is not a JSON object with a format"
    PLAN_FORMAT 8002 "a plan has a format that this build does not read"
    PLAN_SHAPE 8003 "a plan does not have the shape of its format"
    PLAN_DIGEST 8004 "a plan's digest does not match its content"
    PLAN_INCONSISTENT 8005 "a plan contradicts itself"
    PLAN_NOT_CANONICAL 8006 "a plan holds a number that is not an integer"
    PLAN_OPENED 8007 "a flag opens a plan to other machines"
    NOT_WHOLE 8008 "the compiler made a plan that is not whole"

    NO_SUCH_PATH 9001 "no endpoint has this path"
    METHOD_NOT_ALLOWED 9002 "an endpoint does not answer this HTTP method"
    BAD_HOST 9003 "the Host header is missing or malformed"
    FOREIGN_HOST 9004 "this Host is not accepted here"
    FOREIGN_ORIGIN 9005 "this Origin is not accepted here"
    BODY_TOO_LARGE 9006 "a request body is too large"
    NOT_JSON_TYPE 9007 "a request body is not declared as JSON"
    NOT_ACCEPTABLE 9008 "a client accepts neither kind of reply"
    BODY_CUT 9009 "a request body ended early"
    FRAMING 9010 "a request could be read in two ways"
    HEAD_TOO_LARGE 9011 "a request head is too large"
    BODY_NOT_JSON 9101 "a message is not valid JSON"
    NOT_A_MESSAGE 9102 "a JSON document is not a JSON-RPC message"
    BATCH 9103 "a batch is sent"
    BAD_PARAMS 9104 "params are not what the method needs"
    HEADER_MISMATCH 9105 "a header is missing or does not match the body"
    VERSION_UNSUPPORTED 9106 "a protocol version is not supported"
    META_MISSING 9107 "a required field of params._meta is missing"
    UNKNOWN_METHOD 9108 "there is no such method"
    UNKNOWN_TOOL 9109 "there is no such tool"
    UNKNOWN_PROMPT 9110 "there is no such prompt"
    UNKNOWN_RESOURCE 9111 "there is no such resource"
    BAD_CURSOR 9112 "a cursor is not valid"
    CAPABILITY_MISSING 9113 "a server needs a capability that the client did not declare"
    STATE_UNKNOWN 9114 "a requestState was not given out here, or was altered"
    STATE_FOREIGN 9115 "a requestState belongs to another request"
    STATE_EXPIRED 9116 "a requestState is too old"
    PARKED_GONE 9117 "the call that waited for an answer has ended"
    UNWATCHABLE 9118 "this resource cannot be subscribed to"
    SESSION_REQUIRED 9201 "a request needs a session"
    SESSION_UNKNOWN 9202 "there is no such session"
    SESSIONS_FULL 9203 "there are too many sessions"
    DUPLICATE_ID 9204 "a request id is in flight twice"
    STREAMS_FULL 9205 "there are too many notification streams"
    STOPPING 9206 "the gateway is stopping"
    CHANNEL_FULL 9207 "there are too many requests in flight on one channel"
    PARKED_FULL 9208 "too many calls wait for their clients"
    WATCHES_FULL 9209 "too many subscriptions"
    EVENT_UNKNOWN 9210 "there is no stream that goes on after this event"
    SESSION_SHED 9211 "under pressure, no session begins"
    CALL_SHED 9212 "under pressure, no call is taken"
    CALL_CUT_OFF 9213 "the gateway stopped before the call was finished"
    UNREACHABLE 9301 "a server cannot be reached"
    CONNECT_TIMEOUT 9302 "a connection did not stand in time"
    FIRST_BYTE_TIMEOUT 9303 "a server did not begin to answer in time"
    IDLE_TIMEOUT 9304 "a server stopped in the middle of its answer"
    TOTAL_TIMEOUT 9305 "a call took too long"
    CLOSED 9306 "a server went away before it had answered"
    GARBAGE 9307 "a server's answer is not an MCP message"
    WRONG_ID 9308 "a server answered a request that was not sent"
    REPLY_TOO_LARGE 9309 "a server's answer is too large"
    UPSTREAM_STATUS 9310 "a server answered with an HTTP error"
    UPSTREAM_UNAUTHORIZED 9311 "a server refused the gateway's credentials"
    UPSTREAM_SESSION_LOST 9312 "a server lost its session in the middle of a call"
    HANDSHAKE 9313 "the handshake with a server failed"
    DEGRADED 9314 "a server ended too often"
    OVERLOADED 9315 "a server has too much to do"
    ASK_REFUSED 9316 "a server asks for something that the client cannot be asked"
    UPSTREAM_STOPPED 9317 "a server left the configuration"
    UPSTREAM_REFUSED 9318 "a server refused a request of the gateway"
    ASKS_TOO_OFTEN 9319 "a server asks the client again and again"
    CIRCUIT_OPEN 9320 "a server failed too often"
    NOT_CONFINED 9321 "a server cannot be held to its sandbox or its limits"
    LIST_TIMEOUT 9322 "a server did not give its list in time"
    SESSION_SERVERS_FULL 9330 "no further session can have a server of its own"
    SECRET_MISSING 9601 "a secret is missing"
    SECRET_UNUSABLE 9602 "a secret cannot stand where it is used"
    ADDRESS_UNAVAILABLE 9603 "an address cannot be listened on"
    NO_RANDOMNESS 9604 "the system gives no randomness"
    NO_THREAD 9605 "the system gives no thread"
    ADDRESS_CHANGED 9606 "a listen address differs from the running one"
    NO_ENDPOINT_FOR_STDIO 9607 "it is not clear which endpoint standard input is for"
    STATE_DIRECTORY_UNUSABLE 9608 "the state directory cannot be used"
    KEY_FILE_UNUSABLE 9609 "a key file cannot be used"
    ROLLED_BACK 9610 "the plan was rolled back by an operator"
    FAILED_PROBATION 9611 "the plan broke what worked, and was rolled back"
    NO_EARLIER_PLAN 9612 "there is no earlier plan"
    PLANS_NOT_KEPT 9613 "plans cannot be kept on disk"
    ORDER_NOT_TAKEN 9614 "an order to the gateway was not taken"
    NO_DESCRIPTOR 9615 "no descriptor is left"
    NO_PROCESS 9616 "the system starts no process"
    LOG_LOST 9617 "lines of the log are lost"
    NOWHERE_TO_FALL_BACK 9618 "there is no state directory to start from"
}
