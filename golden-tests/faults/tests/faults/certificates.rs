//! Certificates of a test: an authority that nobody trusts who is not told to, and what it signs.
//!
//! Owns certificates that are good or wrong on purpose. They are written byte by byte (X.690, RFC 5280
//! section 4.1): what a test needs of them is a page, and a crate for all of it brings twenty others.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Who signs certificates.
pub(crate) struct Authority {
    name: String,
    key: EcdsaKeyPair,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Valid {
    Now,
    /// Until a day that is over.
    NoLonger,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            key: new_key(),
        }
    }

    /// Writes its certificate as operators keep it.
    pub(crate) fn write(&self, path: &Path) {
        let may_sign = sequence(&[&tagged(BOOLEAN, &[0xff])]);
        let extension = sequence(&[&BASIC_CONSTRAINTS, &tagged(OCTETS, &may_sign)]);
        let certificate = self.sign(&self.name, &self.key, Valid::Now, &extension);
        let text = STANDARD.encode(certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(path, pem).unwrap();
    }

    /// What a server shows that is called this: a name, or an address.
    pub(crate) fn issue(&self, name: &str, valid: Valid) -> Arc<ServerConfig> {
        let name_of_it = match name.parse() {
            Ok(IpAddr::V4(address)) => tagged(0x87, &address.octets()),
            Ok(IpAddr::V6(address)) => tagged(0x87, &address.octets()),
            Err(_) => tagged(0x82, name.as_bytes()),
        };
        let names = sequence(&[&name_of_it]);
        let extension = sequence(&[&SUBJECT_ALT_NAME, &tagged(OCTETS, &names)]);
        let key = new_key();
        let certificate = self.sign(name, &key, valid, &extension);
        let key = key.to_pkcs8v1().unwrap();
        let key = PrivatePkcs8KeyDer::from(key.as_ref().to_vec());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(certificate)],
                PrivateKeyDer::Pkcs8(key),
            );
        Arc::new(config.unwrap())
    }

    fn sign(&self, subject: &str, key: &EcdsaKeyPair, valid: Valid, extension: &[u8]) -> Vec<u8> {
        let (from, to) = match valid {
            Valid::Now => ("200101000000Z", "491231235959Z"),
            Valid::NoLonger => ("200101000000Z", "210101000000Z"),
        };
        let algorithm = sequence(&[&ECDSA_WITH_SHA256]);
        let public = [&[0], key.public_key().as_ref()].concat();
        let to_be_signed = sequence(&[
            &tagged(0xa0, &tagged(INTEGER, &[2])),
            &tagged(INTEGER, &[1]),
            &algorithm,
            &distinguished(&self.name),
            &sequence(&[&tagged(TIME, from.as_bytes()), &tagged(TIME, to.as_bytes())]),
            &distinguished(subject),
            &sequence(&[&sequence(&[&EC_KEY, &P256]), &tagged(BITS, &public)]),
            &tagged(0xa3, &sequence(&[extension])),
        ]);
        let signature = self.key.sign(&SystemRandom::new(), &to_be_signed).unwrap();
        let signature = [&[0], signature.as_ref()].concat();
        sequence(&[&to_be_signed, &algorithm, &tagged(BITS, &signature)])
    }
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const UTF8: u8 = 0x0c;
const TIME: u8 = 0x17;

// Object identifiers, with their tag and length.
const COMMON_NAME: [u8; 5] = [0x06, 3, 0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: [u8; 5] = [0x06, 3, 0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: [u8; 5] = [0x06, 3, 0x55, 0x1d, 0x13];
const EC_KEY: [u8; 9] = [0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: [u8; 10] = [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ECDSA_WITH_SHA256: [u8; 10] = [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

fn distinguished(name: &str) -> Vec<u8> {
    let attribute = sequence(&[&COMMON_NAME, &tagged(UTF8, name.as_bytes())]);
    sequence(&[&tagged(0x31, &attribute)])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match (high, low) {
        (0, 0..=127) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}
